//! A model that waits uses no processor time.
#![cfg(target_os = "linux")]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use carat_engine::{CancelToken, GenerationRequest, LoadOptions, Model, SessionOptions};

/// Time that the threads of this process have had a processor: the first field of `schedstat`, in
/// nanoseconds (the kernel's sched-stats.rst). The ticks of `stat` would be too coarse: one more can
/// be a rounding.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let nanoseconds = threads.map(|thread| {
        let path = thread.expect("a folder").path().join("schedstat");
        let text = std::fs::read_to_string(path).expect("no thread ends here");
        let first = text.split_whitespace().next().expect("three fields");
        first.parse::<u64>().expect("a number")
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn an_idle_model_uses_no_processor_time() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/carat-default.gguf");
    let options = LoadOptions { threads: Some(4) };
    let model = Model::load(&path, &options).expect("the embedded model loads");
    let mut session = model
        .new_session(&SessionOptions::default())
        .expect("the session starts");
    let request = GenerationRequest {
        max_tokens: 64,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let prompt = [model.tokenizer().bos().expect("a model of Gemma")];
    session
        .generate(&prompt, &request, &CancelToken::new(), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect("the model generates");
    std::thread::sleep(Duration::from_millis(200));
    let before = processor_time();
    assert!(
        before > Duration::from_millis(1),
        "loading and generating took time"
    );
    std::thread::sleep(Duration::from_secs(5));
    let idle = processor_time().saturating_sub(before);
    // What this thread does before and after its sleep; a thread that spins takes seconds.
    assert!(idle < Duration::from_millis(5), "{idle:?} of 5 s of idling");
}

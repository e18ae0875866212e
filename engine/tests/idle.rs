//! A model that waits uses no processor time.
#![cfg(target_os = "linux")]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use carat_engine::{CancelToken, GenerationRequest, LoadOptions, Model, SessionOptions};

/// Time of this process on processors, in ticks of the system: fields 14 and 15 of
/// `/proc/self/stat`, see proc(5).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let (_, behind_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let tick = |field: usize| fields[field].parse::<u64>().expect("a number");
    tick(11) + tick(12)
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
    let prompt = [model.tokenizer().bos()];
    session
        .generate(&prompt, &request, &CancelToken::new(), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect("the model generates");
    std::thread::sleep(Duration::from_millis(200));
    let before = processor_ticks();
    assert!(before > 0, "loading and generating took time");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(processor_ticks(), before, "ticks of idling");
}

//! A decoded token allocates nothing once everything has its place.
#![expect(unsafe_code, reason = "an allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use carat_engine::{
    CancelToken, ContinuationSource, Continuations, GenerationRequest, LoadOptions, Mixing, Model,
    Session, SessionOptions,
};

/// Allocations of all threads.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Always has something to say: what stands in a text behind the last byte, wherever it occurs.
struct LastByte(&'static [u8]);

impl ContinuationSource for LastByte {
    fn continuations(&mut self, text: &[u8], into: &mut Continuations) -> f32 {
        let last = text.last();
        for (at, byte) in self.0.iter().enumerate() {
            if Some(byte) == last {
                into.push(&self.0[at + 1..], 1.0 / (at + 1) as f32);
            }
        }
        0.6
    }
}

const BEFORE: &str = "fn main() {\n    let mut total = 0;\n";

/// At least as many tokens of context.
const SHORT: usize = 2;
/// From 257 on, attention of one token is split by positions: this is three parts.
const LONG: usize = 560;

/// Rounds in which threads may do tasks of a kind for the first time.
const FIRST: usize = 30;
/// Rounds that set nothing aside, one after the other.
const LAST: usize = 10;
/// Rounds, at most.
const MOST: usize = 120;

/// Allocations of a generation of `tokens` tokens behind the same prompt.
fn allocations(session: &mut Session, prompt: &[u32], tokens: usize, mixed: bool) -> usize {
    let mut source = LastByte(b"for row in rows.iter() { let sum = row + total; } total -= 1;");
    let request = GenerationRequest {
        max_tokens: tokens,
        begins_with: "    for ro".to_owned(),
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let cancel = CancelToken::new();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let summary = session
        .generate_mixed(
            prompt,
            &request,
            mixed.then_some(Mixing {
                source: &mut source,
                before: BEFORE.as_bytes(),
            }),
            &cancel,
            &mut |_| ControlFlow::Continue(()),
        )
        .expect("the model generates");
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(summary.tokens.len() >= tokens);
    after - before
}

// One test: another one beside it would be counted as well.
#[test]
fn decoding_allocates_nothing() {
    if carat_engine::cpu_level() == "candle" {
        // Its products round activations into memory of their own.
        println!("skipped: the portable level allocates");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/carat-default.gguf");
    let cases = [
        (1, false, SHORT),
        (2, false, SHORT),
        (1, true, SHORT),
        (2, true, SHORT),
        (1, false, LONG),
        (2, false, LONG),
    ];
    for (threads, mixed, context) in cases {
        let options = LoadOptions {
            threads: Some(threads),
        };
        let model = Model::load(&path, &options).expect("the embedded model loads");
        let mut session = model
            .new_session(&SessionOptions::default())
            .expect("the session starts");
        let mut prompt = Vec::from_iter(model.tokenizer().bos());
        while prompt.len() < context {
            prompt.extend(model.tokenizer().encode(BEFORE));
        }
        // Which thread does a task is chance: in the first rounds some still set memory aside, in more of
        // them where other programs keep a thread waiting. From then on none does.
        let mut of_a_token: Vec<usize> = Vec::new();
        while of_a_token.len() < FIRST + LAST
            || of_a_token.len() < MOST && of_a_token[of_a_token.len() - LAST..] != [0; LAST]
        {
            let short = allocations(&mut session, &prompt, 8, mixed);
            let long = allocations(&mut session, &prompt, 72, mixed);
            of_a_token.push(long.saturating_sub(short));
        }
        assert_eq!(
            of_a_token[of_a_token.len() - LAST..],
            [0; LAST],
            "{threads} threads, mixed: {mixed}, behind {}, 64 more tokens: {of_a_token:?}",
            prompt.len()
        );
    }
}

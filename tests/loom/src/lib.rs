//! The synchronization of the engine's worker pool under loom, which tries the orders in which its
//! threads can meet and what they can then see; and the same code with one ordering weakened at a
//! time, which has to be found.
#![cfg(test)]

use std::process::Command;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sync::Fences;

mod sync;

/// What the scenarios call of a pool.
trait Pool: Send + Sync + 'static {
    fn new(threads: usize) -> Self;
    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync));
    fn take_tasks(&self, number: u32, thread: usize);
    fn next_loop(&self, seen: u32) -> Option<u32>;
    fn end(&self);
}

/// The pool's code in a module, and a test of it.
macro_rules! case {
    ($name:ident, $expected:ident) => {
        #[allow(dead_code, reason = "stalls are of no interest here")]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }

        impl Pool for $name::Shared {
            fn new(threads: usize) -> Self {
                Self::new(threads)
            }
            fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
                self.run(tasks, body);
            }
            fn take_tasks(&self, number: u32, thread: usize) {
                self.take_tasks(number, thread, || false);
            }
            fn next_loop(&self, seen: u32) -> Option<u32> {
                self.next_loop(seen)
            }
            fn end(&self) {
                self.end();
            }
        }

        #[test]
        fn $name() {
            $expected::<$name::Shared>(stringify!($name));
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/cases.rs"));

/// The pool does what it should, wherever the fences stand.
fn holds<P: Pool>(_name: &str) {
    for fences in [Fences::Before, Fences::Behind] {
        loops::<P>(fences, &[2, 3], run);
        loops::<P>(fences, &[2, 2], meet);
    }
}

/// Set in the process that looks for what a weakening breaks: loom cannot clean up after a deadlock, and
/// then ends the process.
const SEARCHES: &str = "CARAT_LOOM_SEARCHES";

/// Something is found.
fn fails<P: Pool>(name: &str) {
    if std::env::var_os(SEARCHES).is_some() {
        return holds::<P>(name);
    }
    let program = std::env::current_exe().expect("this test has a file");
    let search = Command::new(program)
        .args([name, "--exact"])
        .env(SEARCHES, "1")
        .output()
        .expect("this test starts");
    assert!(!search.status.success(), "loom finds nothing wrong");
}

/// Preemptions in one execution, at most. Races that need more are not found; the time grows steeply.
const PREEMPTIONS: usize = 3;

/// A caller runs loops of so many tasks by `run`, while a worker sleeps, comes late, or helps.
fn loops<P: Pool>(fences: Fences, loops: &'static [usize], run: fn(&P, usize)) {
    sync::set_fences(fences);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(move || {
        let pool = Arc::new(P::new(2));
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut seen = 0;
                while let Some(number) = pool.next_loop(seen) {
                    pool.take_tasks(number, 1);
                    seen = number;
                }
            })
        };
        for &tasks in loops {
            run(&pool, tasks);
        }
        pool.end();
        worker.join().expect("the worker ends");
    });
}

/// Runs one loop; every task runs once, and what it did is seen when the loop is over.
fn run<P: Pool>(pool: &P, tasks: usize) {
    let counts: Vec<_> = (0..=tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    for (task, count) in counts.iter().enumerate() {
        let runs = count.load(Ordering::Relaxed);
        assert_eq!(runs, usize::from(task < tasks), "task {task} of {tasks}");
    }
}

/// Runs one loop whose tasks wait for one another: without the worker it never ends.
fn meet<P: Pool>(pool: &P, tasks: usize) {
    let (here, all_here) = (Mutex::new(0), Condvar::new());
    pool.run(tasks, &|_| {
        let mut here = here.lock().expect("nothing panics");
        *here += 1;
        all_here.notify_all();
        while *here < tasks {
            here = all_here.wait(here).expect("nothing panics");
        }
    });
}

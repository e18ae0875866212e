//! Keeps what was shown and taken, and writes it down now and then.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::statistics::{self, Counter, Tally};

/// A crash costs the counts of so much time; writing them down wakes the disk.
const INTERVAL: Duration = Duration::from_mins(1);

/// How long the last counts may take: an editor waits for the server to end.
const LAST: Duration = Duration::from_millis(200);

/// Who counts.
pub(super) struct Counts {
    tallies: mpsc::UnboundedSender<Tally>,
    counting: JoinHandle<()>,
}

/// Begins to count; call it in a runtime.
pub(super) fn keep() -> Counts {
    let (tallies, counted) = mpsc::unbounded_channel();
    let counting = tokio::spawn(count(counted));
    Counts { tallies, counting }
}

impl Counts {
    /// Counts something.
    pub(super) fn send(&self, tally: Tally) {
        // Who has stopped counting misses it.
        let _ = self.tallies.send(tally);
    }

    /// Writes down what is left.
    pub(super) async fn end(self) {
        drop(self.tallies);
        let _ = timeout(LAST, self.counting).await;
    }
}

async fn count(mut tallies: mpsc::UnboundedReceiver<Tally>) {
    let mut counter = Counter::default();
    // Without anything to count nothing wakes up.
    while let Some(first) = tallies.recv().await {
        counter.add(&first);
        let interval = tokio::time::sleep(INTERVAL);
        tokio::pin!(interval);
        let is_over = loop {
            tokio::select! {
                tally = tallies.recv() => match tally {
                    Some(tally) => counter.add(&tally),
                    None => break true,
                },
                () = &mut interval => break false,
            }
        };
        counter = flushed(counter).await;
        if is_over {
            return;
        }
    }
}

/// Writes counts down on a thread that may wait for the disk.
async fn flushed(mut counter: Counter) -> Counter {
    let flush = move || {
        if let Some(file) = statistics::file()
            && let Err(error) = counter.flush(&file)
        {
            tracing::debug!(%error, "counts cannot be written down");
        }
        counter
    };
    tokio::task::spawn_blocking(flush).await.unwrap_or_default()
}

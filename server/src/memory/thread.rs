//! The thread that reads workspaces, at a low priority: typing and models go first.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use carat_engine::CancelToken;

use super::{Filled, Limits, Memory, Store, is_too_wide};
use crate::echo::Index;
use crate::priority::Priority;
use crate::workspace::Folder;

/// Files that change within this time of each other are read together.
const TOGETHER: Duration = Duration::from_millis(40);

/// If more files than this changed, looking at all costs less than looking for each.
const SINGLE_FILES_MAX: usize = 50;

/// A workspace to read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Counts them: what is told of an older one is out of date.
    pub number: u64,
    /// Where it is; nothing is remembered without a folder.
    pub folders: Vec<Folder>,
    /// How much of it is remembered.
    pub limits: Limits,
    /// Ends it early.
    pub stop: CancelToken,
}

/// What the thread is to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Read a workspace. If it is the one that was read last, what differs is read.
    Read(Reading),
    /// Look at a file or a folder that may have changed.
    Look(PathBuf),
}

/// What is known of a workspace by now.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// Which reading it is of.
    pub number: u64,
    /// The texts.
    pub index: Index,
    /// How many files.
    pub files: usize,
    /// Memory that they take, in bytes.
    pub bytes: usize,
    /// Files that have no room.
    pub no_room: usize,
    /// Whether all files were looked at.
    pub is_whole: bool,
}

/// Starts the thread. It ends when the sender is dropped and the reading under way is stopped.
pub fn spawn(
    store: Option<Store>,
    report: impl Fn(Recalled) + Send + 'static,
) -> std::io::Result<Sender<Order>> {
    let (sender, orders) = mpsc::channel();
    let thread = std::thread::Builder::new().name("carat-memory".to_owned());
    thread.spawn(move || {
        Priority::Background.take();
        let mut worker = Worker {
            store,
            report: Box::new(report),
            reading: None,
        };
        worker.work(&orders);
    })?;
    Ok(sender)
}

struct Worker {
    store: Option<Store>,
    report: Box<dyn Fn(Recalled) + Send>,
    /// The last one, with what came of it.
    reading: Option<(Reading, Memory, Filled)>,
}

impl Worker {
    fn work(&mut self, orders: &Receiver<Order>) {
        let mut next = None;
        while let Some(order) = next.take().or_else(|| orders.recv().ok()) {
            let mut changed = HashSet::new();
            match order {
                Order::Read(reading) => self.survive(|worker| worker.read(reading)),
                Order::Look(path) => {
                    changed.insert(path);
                    next = loop {
                        match orders.recv_timeout(TOGETHER) {
                            Ok(Order::Look(path)) => drop(changed.insert(path)),
                            Ok(order) => break Some(order),
                            Err(RecvTimeoutError::Timeout) => break None,
                            Err(RecvTimeoutError::Disconnected) => return,
                        }
                    };
                    self.survive(|worker| worker.look(&changed));
                }
            }
        }
    }

    /// A bug in reading costs the memory, not the server.
    fn survive(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!("reading the workspace panicked; it is not remembered");
            self.reading = None;
        }
    }

    fn read(&mut self, reading: Reading) {
        let last = self.reading.take();
        let last = last.filter(|(last, ..)| last.folders == reading.folders);
        let mut memory = last.map_or_else(
            || {
                let folders = reading.folders.iter();
                let narrow = folders.filter(|folder| !is_too_wide(&folder.root));
                Memory::of(narrow.cloned().collect())
            },
            |(_, memory, _)| memory,
        );
        let report = &self.report;
        let mut heard = |index: &Index| {
            let filled = Filled::default();
            report(recalled(&reading, index, &filled, false));
        };
        let store = self.store.as_ref();
        let filled = memory.fill(store, &reading.limits, &reading.stop, &mut heard);
        tracing::debug!(
            ?filled,
            bytes = memory.index().bytes(),
            "read the workspace"
        );
        report(recalled(&reading, memory.index(), &filled, true));
        self.reading = Some((reading, memory, filled));
    }

    fn look(&mut self, changed: &HashSet<PathBuf>) {
        let Some((reading, mut memory, filled)) = self.reading.take() else {
            return;
        };
        if changed.len() > SINGLE_FILES_MAX {
            self.reading = Some((reading.clone(), memory, filled));
            return self.read(reading);
        }
        for path in changed {
            memory.refresh(path, &reading.limits);
        }
        (self.report)(recalled(&reading, memory.index(), &filled, true));
        self.reading = Some((reading, memory, filled));
    }
}

fn recalled(reading: &Reading, index: &Index, filled: &Filled, is_whole: bool) -> Recalled {
    Recalled {
        number: reading.number,
        index: index.clone(),
        files: index.paths().count(),
        bytes: index.bytes(),
        no_room: filled.no_room,
        is_whole,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    fn reading(root: &std::path::Path, number: u64, bytes_max: u64) -> Order {
        Order::Read(Reading {
            number,
            folders: vec![Folder {
                root: root.to_owned(),
                prefix: String::new(),
                left_out: std::sync::Arc::default(),
            }],
            limits: Limits {
                bytes_max,
                ..Limits::default()
            },
            stop: CancelToken::new(),
        })
    }

    #[test]
    fn what_changes_on_disk_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a folder").join("w");
        fs::create_dir_all(root.join("src")).expect("a folder");
        fs::write(root.join("src/a.rs"), "fn first() {}\n").expect("written");
        let (tell, told) = channel();
        let store = Store::in_folder(folder.path().join("memory"));
        let orders = spawn(Some(store.clone()), move |recalled| {
            drop(tell.send(recalled));
        });
        let orders = orders.expect("a thread");
        let until = |is_it: &dyn Fn(&Recalled) -> bool| loop {
            let recalled = told.recv_timeout(WAIT).expect("it is told");
            if is_it(&recalled) {
                return recalled;
            }
        };
        let send = |order| orders.send(order).expect("it lives");
        send(reading(&root, 1, 1 << 20));
        let whole = until(&|recalled| recalled.is_whole);
        assert_eq!((whole.number, whole.files), (1, 1));
        assert_eq!(store.all().len(), 1, "it is kept");

        fs::write(root.join("src/a.rs"), "fn second() {}\n").expect("written");
        fs::write(root.join("src/b.rs"), "fn third() {}\n").expect("written");
        send(Order::Look(root.join("src/a.rs")));
        send(Order::Look(root.join("src/b.rs")));
        let text = |recalled: &Recalled, path: &str| recalled.index.text(path).map(str::to_owned);
        let told = until(&|recalled| recalled.files == 2);
        assert_eq!(text(&told, "src/a.rs").as_deref(), Some("fn second() {}\n"));

        // Editors tell of a folder that was moved, not of its files.
        fs::rename(root.join("src"), root.join("moved")).expect("moved");
        send(Order::Look(root.join("src")));
        send(Order::Look(root.join("moved")));
        let told = until(&|recalled| text(recalled, "moved/b.rs").is_some());
        assert_eq!((told.files, text(&told, "src/b.rs")), (2, None));

        // There is room for less.
        send(reading(&root, 2, 0));
        let told = until(&|recalled| recalled.number == 2 && recalled.is_whole);
        assert_eq!((told.files, told.no_room), (0, 2));
    }
}

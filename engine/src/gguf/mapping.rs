//! The bytes of a model: a mapped file, or a model compiled into the binary.
//!
//! A file that is truncated while it is mapped has no bytes any more where it had some, and whoever
//! touches them is sent SIGBUS, which ends a process. Here zeros take their place, and what was mapped
//! says that it [is lost](Bytes::is_lost).
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; this is the only place that does it"
)]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::{Mmap, MmapMut};

/// Bytes that stay in place for as long as a clone of this handle lives.
#[derive(Clone)]
pub(super) enum Bytes {
    File(Arc<MappedFile>),
    Memory(Arc<Mmap>),
    Static(&'static [u8]),
}

pub(super) struct MappedFile {
    map: Mmap,
    /// Open, so that it can be asked about also after it got another name.
    file: File,
    stamp: Stamp,
    #[cfg(unix)]
    region: faults::Region,
}

/// Another length or time says that a file was written to.
type Stamp = (u64, Option<SystemTime>);

fn stamp(file: &File) -> io::Result<Stamp> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

impl Bytes {
    /// Maps the file at `path`; pages are read from the disk when they are first touched.
    pub(super) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let stamp = stamp(&file)?;
        // SAFETY: the map is private and read-only, so this process cannot write through it. Another
        // process can still change the file: then weights change under us, which `has_changed` tells,
        // or are gone, which gives zeros (below). Model files are written once, under another name, and
        // renamed when they are complete; nothing here derives lengths or offsets from the map a
        // second time after the header was checked.
        let map = unsafe { Mmap::map(&file)? };
        // Decoding touches every page once per token; large pages spare it the walks. Where the
        // file system has none (Linux before 6.16 with ext4), the advice has no effect.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self::File(Arc::new(MappedFile {
            #[cfg(unix)]
            region: faults::Region::new(&map),
            map,
            file,
            stamp,
        })))
    }

    /// Whether bytes were touched that the file has no more, or that the disk did not give: there are
    /// zeros now.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::File(mapped) => mapped.region.is_lost(),
            _ => false,
        }
    }

    /// Whether the file was written to since it was mapped, or is lost. Asks the system.
    pub(super) fn has_changed(&self) -> bool {
        let Self::File(mapped) = self else {
            return false;
        };
        self.is_lost() || stamp(&mapped.file).is_ok_and(|now| now != mapped.stamp)
    }

    /// Copies `bytes` into anonymous pages, so that they are aligned as a mapped file is.
    pub(super) fn copy(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::Static(&[]));
        }
        let mut map = MmapMut::map_anon(bytes.len())?;
        map.copy_from_slice(bytes);
        let map = map.make_read_only()?;
        Ok(Self::Memory(Arc::new(map)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(mapped) => &mapped.map,
            Self::Memory(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

/// The bytes of one tensor, in the map; clones share the map and keep it alive.
#[derive(Clone)]
pub struct TensorData {
    bytes: Bytes,
    range: Range<usize>,
}

impl TensorData {
    /// A range outside of `bytes` gives no bytes at all.
    pub(super) fn new(bytes: Bytes, range: Range<usize>) -> Self {
        let range = if bytes.get(range.clone()).is_some() {
            range
        } else {
            0..0
        };
        Self { bytes, range }
    }
}

impl Deref for TensorData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl std::fmt::Debug for TensorData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorData({} bytes)", self.range.len())
    }
}

/// Zeros for bytes that a mapped file has no more.
///
/// A fault can come on any thread at any instruction, so its handler takes no lock and no memory: it
/// walks a list that only grows, of places that never change.
#[cfg(unix)]
mod faults {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
    use std::sync::{Once, OnceLock};

    use libc::{c_int, c_void, sigaction, siginfo_t};

    /// Where a file is mapped; an entry of the list, which outlives the map.
    struct Place {
        start: usize,
        end: usize,
        /// Whether the map is still there.
        is_mapped: AtomicBool,
        is_lost: AtomicBool,
        next: *const Place,
    }

    /// The newest place.
    static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());
    /// What was done about the signal before.
    static PREVIOUS: OnceLock<sigaction> = OnceLock::new();
    static INSTALLED: Once = Once::new();

    /// A map whose faults are survived; ends before the map does.
    pub(super) struct Region(&'static Place);

    // SAFETY: `next` is written before others see the place, and what it points to is never freed.
    unsafe impl Sync for Place {}

    impl Region {
        pub(super) fn new(map: &[u8]) -> Self {
            INSTALLED.call_once(install);
            let range = map.as_ptr_range();
            let place = Box::leak(Box::new(Place {
                start: range.start.addr(),
                end: range.end.addr(),
                is_mapped: AtomicBool::new(true),
                is_lost: AtomicBool::new(false),
                next: PLACES.load(Ordering::Acquire),
            }));
            while let Err(newest) = PLACES.compare_exchange(
                place.next.cast_mut(),
                place,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                place.next = newest;
            }
            Self(place)
        }

        pub(super) fn is_lost(&self) -> bool {
            self.0.is_lost.load(Ordering::Acquire)
        }
    }

    impl Drop for Region {
        fn drop(&mut self) {
            self.0.is_mapped.store(false, Ordering::Release);
        }
    }

    fn install() {
        let mut before = MaybeUninit::<sigaction>::zeroed();
        // SAFETY: asks only; `before` has room for the answer, and zeros are one as well.
        let before = unsafe {
            libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr());
            before.assume_init()
        };
        // Before the handler is there, which looks at it.
        let _ = PREVIOUS.set(before);
        // SAFETY: a handler of the kind that `SA_SIGINFO` says; it does only what handlers may.
        unsafe {
            let mut action: sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
        }
    }

    extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the system hands over a valid description; for faults it has an address.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
        if code == libc::BUS_ADRERR && give_zeros(address) {
            return;
        }
        pass_on(signal, info, context);
    }

    /// Puts zeros in the place of all bytes of a map from the page of `address` on; false if it is in
    /// none, or that cannot be done.
    fn give_zeros(address: usize) -> bool {
        let mut place = PLACES.load(Ordering::Acquire).cast_const();
        // SAFETY: places are never freed.
        while let Some(here) = unsafe { place.as_ref() } {
            let is_here = (here.start..here.end).contains(&address);
            if is_here && here.is_mapped.load(Ordering::Acquire) {
                // Before anybody reads a zero.
                here.is_lost.store(true, Ordering::Release);
                // SAFETY: asks for a constant.
                let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
                let from = (address / page * page).max(here.start);
                // SAFETY: the pages are those of a map that its owner still has: the thread that
                // faulted reads it. They were only readable, and are again; behind the end of a file
                // that was cut off, there is nothing to keep.
                let mapped = unsafe {
                    libc::mmap(
                        ptr::with_exposed_provenance_mut(from),
                        here.end - from,
                        libc::PROT_READ,
                        libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED | libc::MAP_NORESERVE,
                        -1,
                        0,
                    )
                };
                return mapped != libc::MAP_FAILED;
            }
            place = here.next;
        }
        false
    }

    /// Does what was done about the signal before: of a fault that is not ours.
    fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        let previous = PREVIOUS.get();
        let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // The same access faults again, and ends the process as it would have.
            // SAFETY: as in `install`; zeros are the default action.
            unsafe {
                let default: sigaction = MaybeUninit::zeroed().assume_init();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
            return;
        }
        let takes_info = previous.is_some_and(|it| it.sa_flags & libc::SA_SIGINFO != 0);
        // SAFETY: the handler is one that somebody installed, with the arguments that its flags say.
        unsafe {
            if takes_info {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            } else {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    const LEN: usize = 1 << 20;

    fn mapped(byte: u8) -> (tempfile::NamedTempFile, Bytes) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), vec![byte; LEN]).expect("it can be written");
        let bytes = Bytes::map(file.path()).expect("it can be mapped");
        (file, bytes)
    }

    #[test]
    fn bytes_that_are_gone_are_zeros() {
        let ((file, bytes), (_other_file, other)) = (mapped(7), mapped(8));
        assert!(!bytes.is_lost() && !bytes.has_changed());
        file.as_file().set_len(100_000).expect("it can be cut off");
        assert!(bytes.has_changed() && !bytes.is_lost());
        assert_eq!((bytes[50_000], bytes[LEN - 1], bytes[LEN / 2]), (7, 0, 0));
        assert!(bytes.is_lost() && bytes.has_changed());
        assert!(!other.is_lost() && !other.has_changed());
        assert!(other.iter().all(|&byte| byte == 8));
        // What comes back later stays zero, and a new map has it.
        std::fs::write(file.path(), vec![9; LEN]).expect("it can be written");
        assert_eq!(bytes[LEN - 1], 0);
        let again = Bytes::map(file.path()).expect("it can be mapped");
        assert_eq!((again[LEN - 1], again.is_lost()), (9, false));
    }

    #[test]
    fn many_threads_may_fault_at_once() {
        let (file, bytes) = mapped(7);
        file.as_file().set_len(0).expect("it can be cut off");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let bytes = &bytes;
                scope.spawn(move || {
                    let mut pages = bytes.chunks(4096).skip(thread);
                    assert!(pages.all(|page| page.iter().all(|&byte| byte == 0)));
                });
            }
        });
        assert!(bytes.is_lost());
    }

    /// Set in the process that is to die.
    const DIES: &str = "CARAT_TEST_BUS_ERROR";

    #[test]
    fn other_bus_errors_end_the_process() {
        let (file, bytes) = mapped(7);
        if std::env::var_os(DIES).is_some() {
            // SAFETY: read-only, and nobody else has this file.
            let foreign = unsafe { Mmap::map(file.as_file()) }.expect("it can be mapped");
            file.as_file().set_len(0).expect("it can be cut off");
            assert_eq!(bytes[0], 0);
            std::hint::black_box(foreign[0]);
            return;
        }
        let program = std::env::current_exe().expect("this test has a file");
        let name = "gguf::mapping::tests::other_bus_errors_end_the_process";
        let child = Command::new(program)
            .args([name, "--exact"])
            .env(DIES, "1")
            .output()
            .expect("this test starts");
        assert_eq!(child.status.signal(), Some(libc::SIGBUS), "{child:?}");
    }
}

//! Notices that the process that started the server has died: not every client closes our input.

use std::time::Duration;

/// How often the parent is looked for. An orphan may live this long.
const POLL: Duration = Duration::from_secs(1);

/// Resolves when process `id` is gone; never where that cannot be told.
pub(super) async fn death(id: u32) {
    loop {
        tokio::time::sleep(POLL).await;
        if is_dead(id) {
            return;
        }
    }
}

/// Whether a process is known to be gone, or to wait only for its own parent to notice.
#[cfg(target_os = "linux")]
fn is_dead(id: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{id}/stat")) {
        // The state follows the name, which stands in brackets and may hold brackets.
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        // A /proc that hides other users' processes does not tell; one without ours is none.
        Err(error) => {
            error.kind() == std::io::ErrorKind::NotFound
                && std::path::Path::new("/proc/self/stat").exists()
        }
    }
}

/// Elsewhere on Unix only our own parent can be watched: an orphan gets another one.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_dead(id: u32) -> bool {
    use std::sync::OnceLock;
    static FIRST: OnceLock<u32> = OnceLock::new();
    let now = std::os::unix::process::parent_id();
    *FIRST.get_or_init(|| now) == id && now != id
}

/// Where nothing can be told, the end of standard input has to do.
#[cfg(not(unix))]
fn is_dead(_id: u32) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn tells_the_living_from_the_dead() {
        assert!(!is_dead(std::process::id()));
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("the command true");
        let id = child.id();
        // Dead, but not yet collected.
        while !is_dead(id) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.wait().expect("a child");
        assert!(is_dead(id));
    }
}

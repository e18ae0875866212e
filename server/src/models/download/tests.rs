//! Downloads from a real server on this machine that cuts, stalls, lies and refuses.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use carat_tests::{HttpReply, HttpRequest, HttpServer};

use super::*;
use crate::models::http::Settings;

const ETAG: &str = "\"one\"";
/// Long enough for a busy machine to answer, short enough for a test to wait.
const TIMEOUT: Duration = Duration::from_millis(600);

/// Bytes without a pattern that a wrong offset could repeat.
fn content(seed: u64) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(300_000)
    .collect()
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.update(bytes);
    digest.hex()
}

/// One model, one folder, and what was told on the way.
struct Case {
    _folder: tempfile::TempDir,
    store: Store,
    request: Request,
    settings: Settings,
    told: Mutex<Vec<Progress>>,
}

impl Case {
    /// Asks `server` for a file whose digest is known to be that of `expected`.
    fn new(server: &HttpServer, expected: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            store: Store::in_folder(folder.path().join("models")),
            _folder: folder,
            request: Request {
                name: "m".to_owned(),
                url: format!("{}/m.gguf", server.url()),
                page: "https://example.org/m".to_owned(),
                sha256: Some(digest(expected)),
                size_bytes: None,
            },
            settings: Settings {
                endpoint: server.url(),
                token: None,
                timeout: TIMEOUT,
                proxies: false,
            },
            told: Mutex::default(),
        }
    }

    fn pull(&self) -> Result<Pulled, PullError> {
        let client = Client::new(self.settings.clone()).expect("a client");
        let mut tell = |progress| self.told.lock().expect("no panic").push(progress);
        pull(&self.request, &self.store, &client, &mut tell)
    }

    #[track_caller]
    fn assert_pulls(&self, expected: &[u8]) -> Pulled {
        let pulled = self.pull().expect("it comes");
        let found = std::fs::read(&pulled.path).expect("a file");
        assert!(found == expected, "the file is right");
        assert_eq!(pulled.sha256, Some(digest(expected)));
        assert_eq!(self.store.partial("m"), None);
        assert!(!self.store.part("m").exists(), "nothing is left over");
        pulled
    }

    #[track_caller]
    fn assert_fails(&self) -> PullError {
        let error = self.pull().expect_err("it fails");
        assert!(!self.store.file("m").exists(), "no file: {error}");
        error
    }

    fn again(&self) -> usize {
        let told = self.told.lock().expect("no panic");
        told.iter()
            .filter(|progress| matches!(progress, Progress::Again { .. }))
            .count()
    }

    fn new_beginnings(&self) -> Vec<&'static str> {
        let told = self.told.lock().expect("no panic");
        let whys = told.iter().filter_map(|progress| match progress {
            Progress::FromTheBeginning { why } => Some(*why),
            _ => None,
        });
        whys.collect()
    }
}

/// A good server, but for what `spoil` does to its replies.
fn server(
    content: &[u8],
    spoil: impl Fn(HttpReply, &HttpRequest, usize) -> HttpReply + Send + Sync + 'static,
) -> HttpServer {
    let content = content.to_vec();
    HttpServer::start(move |request, number| {
        spoil(HttpReply::file(&content, ETAG, request), request, number)
    })
}

fn starts(server: &HttpServer) -> Vec<Option<usize>> {
    server
        .requests()
        .iter()
        .map(HttpRequest::range_start)
        .collect()
}

#[test]
fn a_good_server_is_asked_once() {
    let file = content(1);
    let server = server(&file, |reply, _, _| reply);
    let case = Case::new(&server, &file);
    assert!(!case.assert_pulls(&file).was_here);
    assert!(case.assert_pulls(&file).was_here);
    assert_eq!(starts(&server), [None]);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let file = content(2);
    let server = server(&file, |reply, _, number| HttpReply {
        cut_after: (number < 3).then_some(70_000),
        ..reply
    });
    let case = Case::new(&server, &file);
    case.assert_pulls(&file);
    let starts: Vec<_> = starts(&server).into_iter().flatten().collect();
    assert_eq!(starts, [70_000, 140_000, 210_000]);
    let requests = server.requests();
    assert!(
        requests[1..]
            .iter()
            .all(|request| request.header("if-range") == Some(ETAG))
    );
}

#[test]
fn a_stall_is_noticed_and_taken_up() {
    let file = content(3);
    let server = server(&file, |reply, _, number| HttpReply {
        stall_after: (number == 0).then_some(50_000),
        ..reply
    });
    let case = Case::new(&server, &file);
    let begin = Instant::now();
    case.assert_pulls(&file);
    assert!(begin.elapsed() >= TIMEOUT);
    assert_eq!(starts(&server), [None, Some(50_000)]);
}

#[test]
fn a_slow_server_is_no_stall() {
    let file = content(4);
    let server = server(&file, |reply, _, _| HttpReply {
        pause: Duration::from_millis(40),
        ..reply
    });
    let case = Case::new(&server, &file);
    let begin = Instant::now();
    case.assert_pulls(&file);
    assert!(begin.elapsed() > TIMEOUT, "it took longer than a stall may");
    assert_eq!(case.again(), 0);
}

#[test]
fn what_an_earlier_process_left_is_taken_up() {
    let file = content(5);
    let server = server(&file, |reply, _, number| HttpReply {
        cut_after: (number < 6).then_some(if number == 0 { 90_000 } else { 0 }),
        ..reply
    });
    let case = Case::new(&server, &file);
    let error = case.assert_fails();
    assert!(error.to_string().contains("5 times in a row"), "{error}");
    let state = State::Partial {
        bytes: 90_000,
        size_bytes: Some(300_000),
    };
    assert_eq!(case.store.state("m"), state);
    case.assert_pulls(&file);
    assert_eq!(starts(&server).last(), Some(&Some(90_000)));
}

#[test]
fn a_complete_part_needs_no_server() {
    let file = content(6);
    let server = server(&file, |_, _, _| HttpReply::status(500));
    let case = Case::new(&server, &file);
    std::fs::create_dir_all(case.store.folder()).unwrap();
    std::fs::write(case.store.part("m"), &file).unwrap();
    let partial = Partial {
        url: case.request.url.clone(),
        sha256: digest(&file),
        size_bytes: Some(file.len() as u64),
        etag: None,
    };
    case.store.write_partial("m", &partial).unwrap();
    case.assert_pulls(&file);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let file = content(7);
    let server = server(&file, |reply, _, _| reply);
    let case = Case::new(&server, &file);
    std::fs::create_dir_all(case.store.folder()).unwrap();
    std::fs::write(case.store.part("m"), b"of another revision").unwrap();
    let partial = Partial {
        url: case.request.url.clone(),
        sha256: digest(b"another"),
        ..Partial::default()
    };
    case.store.write_partial("m", &partial).unwrap();
    case.assert_pulls(&file);
    assert_eq!(starts(&server), [None]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let file = content(8);
    let whole = file.clone();
    let server = server(&file, move |_, _, number| HttpReply {
        cut_after: (number == 0).then_some(100_000),
        ..HttpReply::whole(&whole)
    });
    let case = Case::new(&server, &file);
    case.assert_pulls(&file);
    assert_eq!(case.new_beginnings().len(), 1);
}

#[test]
fn a_file_replaced_between_attempts_is_pulled_as_it_is_now() {
    let (old, new) = (content(9), content(10));
    let (first, second) = (old, new.clone());
    // No digest is known beforehand: the server's word counts, and it changes.
    let server = HttpServer::start(move |request, number| {
        let (file, etag) = if number == 0 {
            (&first, "\"old\"")
        } else {
            (&second, "\"new\"")
        };
        HttpReply {
            cut_after: (number == 0).then_some(100_000),
            ..HttpReply::file(file, etag, request)
        }
        .header("x-linked-etag", format!("\"{}\"", digest(file)))
    });
    let mut case = Case::new(&server, &new);
    case.request.sha256 = None;
    case.assert_pulls(&new);
    assert_eq!(case.new_beginnings().len(), 1);
}

#[test]
fn pieces_of_two_files_are_noticed() {
    let (old, new) = (content(11), content(12));
    let (first, second) = (old, new.clone());
    // A careless server: no tags, and a range of whatever it has.
    let server = HttpServer::start(move |request, number| {
        let file = if number == 0 { &first } else { &second };
        let mut reply = HttpReply::file(file, ETAG, request);
        reply.headers.retain(|(name, _)| *name != "etag");
        reply.cut_after = (number == 0).then_some(100_000);
        reply
    });
    let case = Case::new(&server, &new);
    case.assert_pulls(&new);
    assert_eq!(case.new_beginnings(), ["the pieces do not fit together"]);
    assert_eq!(starts(&server), [None, Some(100_000), None]);
}

#[test]
fn a_wrong_part_is_not_appended() {
    let file = content(13);
    let whole = file.clone();
    let server = server(&file, move |reply, request, number| {
        if number == 0 {
            return HttpReply {
                cut_after: Some(100_000),
                ..reply
            };
        }
        match request.range_start() {
            // The range of somebody else.
            Some(_) => HttpReply {
                status: 206,
                body: whole[7..].to_vec(),
                ..HttpReply::default()
            }
            .header("content-range", format!("bytes 7-299999/{}", whole.len())),
            None => reply,
        }
    });
    let case = Case::new(&server, &file);
    case.assert_pulls(&file);
    assert_eq!(starts(&server), [None, Some(100_000), None]);
}

#[test]
fn a_length_that_is_too_large_is_no_file() {
    let file = content(14);
    // Every body ends early, and there is no rest.
    let server = server(&file, |mut reply, _, _| {
        if reply.status == 200 {
            reply = reply.header("content-length", "400000");
        }
        reply
    });
    let case = Case::new(&server, &file);
    let error = case.assert_fails();
    assert!(matches!(error, PullError::Restarts { .. }), "{error}");
}

#[test]
fn a_file_without_a_length_needs_one_from_the_catalogue() {
    let file = content(27);
    let server = server(&file, |reply, _, _| HttpReply {
        without_length: true,
        ..reply
    });
    let mut case = Case::new(&server, &file);
    case.request.size_bytes = Some(300_000);
    case.assert_pulls(&file);
    let mut case = Case::new(&server, &file);
    case.request.size_bytes = None;
    let error = case.assert_fails();
    assert!(matches!(error, PullError::NoLength { .. }), "{error}");
}

#[test]
fn a_length_that_is_too_small_is_no_file() {
    let file = content(15);
    let server = server(&file, |reply, _, _| {
        reply.header("content-length", "200000")
    });
    let case = Case::new(&server, &file);
    let error = case.assert_fails();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
    assert_eq!(case.store.state("m"), State::Absent);
}

#[test]
fn a_wrong_file_is_thrown_away() {
    let (file, wrong) = (content(16), content(17));
    let server = server(&wrong, |reply, _, _| reply);
    let case = Case::new(&server, &file);
    let error = case.assert_fails();
    let said = error.to_string();
    assert!(
        said.contains(&digest(&file)) && said.contains(&digest(&wrong)),
        "{said}"
    );
    assert_eq!(case.store.state("m"), State::Absent);
}

#[test]
fn what_the_server_states_is_compared_before_a_byte_is_read() {
    let file = content(18);
    let other = digest(b"other");
    for (name, value, said) in [
        ("x-linked-etag", format!("\"{other}\""), "SHA-256 digest"),
        ("x-linked-size", "7".to_owned(), "length in bytes"),
    ] {
        let server = server(&file, move |reply, _, _| HttpReply {
            stall_after: Some(0),
            ..reply.header(name, value.clone())
        });
        let case = Case::new(&server, &file);
        let error = case.assert_fails();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(case.store.state("m"), State::Absent);
    }
    let server = server(&file, |reply, _, _| reply);
    let mut case = Case::new(&server, &file);
    case.request.size_bytes = Some(299_999);
    let error = case.assert_fails();
    assert!(matches!(error, PullError::Other { .. }), "{error}");
}

#[test]
fn without_any_digest_nothing_is_pulled() {
    let file = content(19);
    let server = server(&file, |reply, _, _| reply);
    let mut case = Case::new(&server, &file);
    case.request.sha256 = None;
    let error = case.assert_fails();
    assert!(matches!(error, PullError::NoDigest { .. }), "{error}");
}

#[test]
fn statuses_say_what_to_do() {
    for (status, said, asked) in [
        (401, "HF_TOKEN", 1),
        (403, "https://example.org/m", 1),
        (404, "--revision main", 1),
        (418, "status 418", 1),
        (500, "status 500", 5),
        (503, "5 times in a row", 5),
    ] {
        let server = HttpServer::start(move |_, _| HttpReply::status(status));
        let mut case = Case::new(&server, b"");
        case.settings.timeout = TIMEOUT / 6;
        let error = case.assert_fails();
        assert!(error.to_string().contains(said), "{status}: {error}");
        assert_eq!(server.requests().len(), asked, "{status}");
    }
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let file = content(20);
    let server = server(&file, |reply, _, number| {
        if number == 0 {
            HttpReply::status(429).header("retry-after", "1")
        } else {
            reply
        }
    });
    let case = Case::new(&server, &file);
    let begin = Instant::now();
    case.assert_pulls(&file);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_redirect_is_followed_and_the_token_stays() {
    let file = content(21);
    let storage = server(&file, |reply, _, _| reply);
    let to = format!("{}/signed?key=1", storage.url());
    let stated = format!("\"{}\"", digest(&file));
    let endpoint = HttpServer::start(move |request, _| {
        if request.path == "/m.gguf" {
            // A renamed repository: a path on the same host.
            HttpReply::status(307).header("location", "/new/m.gguf")
        } else {
            HttpReply::status(302)
                .header("location", to.clone())
                .header("x-linked-etag", stated.clone())
                .header("x-linked-size", "300000")
        }
    });
    let mut case = Case::new(&endpoint, &file);
    case.request.sha256 = None;
    case.settings.token = Some("secret".to_owned());
    case.assert_pulls(&file);
    let tokens = |server: &HttpServer| -> Vec<Option<String>> {
        let requests = server.requests();
        let token = |request: &HttpRequest| request.header("authorization").map(str::to_owned);
        requests.iter().map(token).collect()
    };
    let sent = Some("Bearer secret".to_owned());
    assert_eq!(tokens(&endpoint), [sent.clone(), sent]);
    assert_eq!(tokens(&storage), [None]);
}

#[test]
fn storage_is_not_believed_what_a_file_is() {
    let (file, other) = (content(22), content(23));
    let stated = format!("\"{}\"", digest(&other));
    let storage = server(&other, move |reply, _, _| {
        reply.header("x-linked-etag", stated.clone())
    });
    let to = storage.url();
    let endpoint =
        HttpServer::start(move |_, _| HttpReply::status(302).header("location", to.clone()));
    let mut case = Case::new(&endpoint, &file);
    case.request.sha256 = None;
    let error = case.assert_fails();
    assert!(matches!(error, PullError::NoDigest { .. }), "{error}");
}

#[test]
fn a_circle_of_redirects_ends() {
    let server = HttpServer::start(|_, _| HttpReply::status(302).header("location", "/m.gguf"));
    let error = Case::new(&server, b"").assert_fails();
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[test]
fn a_disk_that_is_too_small_is_noticed_first() {
    let file = content(24);
    let server = server(&file, |reply, _, _| HttpReply {
        stall_after: Some(0),
        ..reply.header("content-length", "1000000000000000")
    });
    let error = Case::new(&server, &file).assert_fails();
    let said = error.to_string();
    assert!(said.contains("MB are missing"), "{said}");
}

/// Linux has a file that behaves as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_is_told_as_such() {
    let file = content(25);
    let server = server(&file, |reply, _, _| reply);
    let case = Case::new(&server, &file);
    std::fs::create_dir_all(case.store.folder()).unwrap();
    std::os::unix::fs::symlink("/dev/full", case.store.part("m")).unwrap();
    let error = case.assert_fails();
    assert!(matches!(error, PullError::Disk { .. }), "{error}");
}

#[test]
fn an_unreachable_server_is_named() {
    let server = HttpServer::start(|_, _| HttpReply::status(500));
    let case = Case::new(&server, b"");
    drop(server);
    let error = case.assert_fails();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn two_at_once_bring_one_file() {
    let file = content(26);
    let server = server(&file, |reply, _, _| HttpReply {
        pause: Duration::from_millis(10),
        ..reply
    });
    let case = Case::new(&server, &file);
    let pulled: Vec<_> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| case.assert_pulls(&file)))
            .collect();
        both.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    assert_eq!(pulled.iter().filter(|pulled| pulled.was_here).count(), 1);
    assert_eq!(starts(&server), [None]);
}

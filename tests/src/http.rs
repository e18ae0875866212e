//! A small HTTP server for tests, which can misbehave in every way that networks do.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 16 << 10;
/// How often a thread that waits looks whether it may go.
const TICK: Duration = Duration::from_millis(2);
/// No test waits longer for the other side.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// `GET`, and `CONNECT` for a proxy.
    pub method: String,
    /// What is asked for.
    pub path: String,
    headers: HashMap<String, String>,
}

impl HttpRequest {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that is asked for.
    pub fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What the server sends, and how.
#[derive(Clone, Debug, Default)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Headers; `content-length` is that of the body unless it stands here.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
    /// Sends nothing more after so many bytes of the body.
    pub stall_after: Option<usize>,
    /// Leaves `content-length` out: the end of the connection is the end of the body.
    pub without_length: bool,
    /// Waits before each piece of 16 KiB.
    pub pause: Duration,
}

impl HttpReply {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// The whole of a file.
    pub fn whole(content: &[u8]) -> Self {
        Self {
            status: 200,
            body: content.to_vec(),
            ..Self::default()
        }
    }

    /// A file as a good server sends it: the rest of it where that is asked for and still the same.
    pub fn file(content: &[u8], etag: &str, request: &HttpRequest) -> Self {
        let same = request.header("if-range").is_none_or(|tag| tag == etag);
        let reply = match request.range_start() {
            Some(start) if same && start >= content.len() => Self::status(416),
            Some(start) if same => Self {
                status: 206,
                body: content[start..].to_vec(),
                ..Self::default()
            }
            .header(
                "content-range",
                format!("bytes {start}-{}/{}", content.len() - 1, content.len()),
            ),
            _ => Self::whole(content),
        };
        reply.header("etag", etag)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Decides on a reply from the request and from how many there were before.
type Handler = dyn Fn(&HttpRequest, usize) -> HttpReply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<HttpRequest>>,
    /// Replies that have come to their stall.
    stalls: AtomicUsize,
    stopped: AtomicBool,
}

/// A server on a port of its own; it stops when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl HttpServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If no port is to be had.
    pub fn start(
        handler: impl Fn(&HttpRequest, usize) -> HttpReply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            stalls: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client that goes away is what many tests are about.
                std::thread::spawn(move || stream.map(|stream| shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    /// Where it is, such as `http://127.0.0.1:4321`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// Waits until `count` replies in all have come to their stall.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for_stalls(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.shared.stalls.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < deadline, "no client came that far");
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The accepting thread wakes up and leaves.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let Some(request) = read_request(&mut reader)? else {
                return Ok(());
            };
            let number = {
                let mut requests = self.requests.lock().expect("no panic");
                requests.push(request.clone());
                requests.len() - 1
            };
            if request.method == "CONNECT" {
                // A proxy that leads to this server itself, wherever the client wants to go.
                writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                continue;
            }
            return self.send(&mut writer, &(self.handler)(&request, number));
        }
    }

    fn send(&self, stream: &mut TcpStream, reply: &HttpReply) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Test\r\nconnection: close\r\n", reply.status);
        let has_length = |(name, _): &(&str, String)| *name == "content-length";
        if !reply.without_length && !reply.headers.iter().any(has_length) {
            head += &format!("content-length: {}\r\n", reply.body.len());
        }
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let end = [reply.cut_after, reply.stall_after]
            .into_iter()
            .flatten()
            .min()
            .map_or(reply.body.len(), |end| end.min(reply.body.len()));
        for piece in reply.body[..end].chunks(PIECE_BYTES) {
            std::thread::sleep(reply.pause);
            stream.write_all(piece)?;
        }
        if reply.stall_after.is_some() {
            self.stalls.fetch_add(1, Ordering::SeqCst);
            let deadline = Instant::now() + PATIENCE;
            while !self.stopped.load(Ordering::SeqCst) && Instant::now() < deadline {
                std::thread::sleep(TICK);
            }
        }
        Ok(())
    }
}

/// Reads a request without a body; `None` at the end of the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(HttpRequest {
        method,
        path,
        headers,
    }))
}

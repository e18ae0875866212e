//! HTTP, for `carat model pull` alone: no other file of the product opens a connection.
//!
//! One request is one GET whose redirects are followed here, so that the token for Hugging Face
//! stays with the host that it is for, and so that what that host says of the file is kept.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Proxy};

use super::catalogue::{HUGGING_FACE, is_digest};

/// The environment variable with seconds without a byte after which a connection counts as stalled.
pub const TIMEOUT_VARIABLE: &str = "CARAT_HTTP_TIMEOUT";

/// Longer than a busy server needs, shorter than a user waits.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Hugging Face needs two: to the new name of a repository, to the storage.
const REDIRECTS_MAX: usize = 8;

/// How to reach the server.
#[derive(Clone)]
pub struct Settings {
    /// The beginning of addresses, in the place of `https://huggingface.co`.
    pub endpoint: String,
    /// What proves to the endpoint who the user is.
    pub token: Option<String>,
    /// How long a connection may give no byte.
    pub timeout: Duration,
    /// Whether proxies of the environment are used.
    pub proxies: bool,
}

impl Settings {
    /// From `HF_ENDPOINT`, `HF_TOKEN` and `CARAT_HTTP_TIMEOUT`; proxies from `ALL_PROXY`, `HTTPS_PROXY`,
    /// `HTTP_PROXY` and `NO_PROXY`.
    pub fn of_user() -> Result<Self, HttpError> {
        let set = |variable: &str| {
            let value = std::env::var(variable).ok();
            value
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.to_owned());
        let timeout = match set(TIMEOUT_VARIABLE) {
            None => TIMEOUT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds: &f64| *seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or(HttpError::Timeout(text))?,
        };
        Ok(Self {
            endpoint,
            token: set("HF_TOKEN"),
            timeout,
            proxies: true,
        })
    }
}

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No digits.
    #[error("{TIMEOUT_VARIABLE} is `{0}`; give seconds, such as 30")]
    Timeout(String),
    /// What is asked for, or where a redirect leads, is no address for HTTP.
    #[error("`{0}` is no http or https address")]
    Address(String),
    /// A redirect would give up the protection of TLS.
    #[error("{host} redirects to {to}, which is not protected; refused")]
    Downgrade {
        /// Who redirects.
        host: String,
        /// Where to.
        to: String,
    },
    /// A circle, most likely.
    #[error("more than {REDIRECTS_MAX} redirects, the last from {0}")]
    Redirects(String),
    /// Without them no server can be trusted.
    #[error(
        "this system has no certificates to check servers with; install its package ca-certificates, or set SSL_CERT_FILE"
    )]
    NoCertificates,
    /// The connection failed or stalled; another attempt may go well.
    #[error("{host}: {what}")]
    Connection {
        /// With whom.
        host: String,
        /// How.
        what: String,
    },
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Who answered.
    pub host: String,
    /// The SHA-256 digest of the whole file, if the endpoint stated it.
    pub sha256: Option<String>,
    /// The length of the whole file, if the endpoint stated it apart from the body.
    pub stated_bytes: Option<u64>,
    /// The tag of the content, if it is a strong one.
    pub etag: Option<String>,
    /// Bytes of this body, if told.
    pub body_bytes: Option<u64>,
    /// Where this body begins in the file, and the length of the file, if it is a part of one.
    pub range: Option<(u64, Option<u64>)>,
    /// When to ask again, if told.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Which part of a file is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'a> {
    /// The first byte that is wanted.
    pub byte: u64,
    /// The tag of the content that the earlier bytes are of; the server sends all if it has other content now.
    pub etag: Option<&'a str>,
}

/// Sends requests.
pub struct Client {
    agent: Agent,
    settings: Settings,
}

impl Client {
    /// A client that has sent nothing yet.
    pub fn new(settings: Settings) -> Result<Self, HttpError> {
        // Without TLS in sight there is no need for certificates, and a mirror in a closed network may have none.
        let tls = tls(settings.endpoint.starts_with("http://"))?;
        let timeout = Some(settings.timeout);
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(settings.proxies.then(Proxy::try_from_env).flatten())
            .user_agent(concat!("carat/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout)
            .timeout_per_write(timeout)
            .build();
        Ok(Self {
            agent: config.into(),
            settings,
        })
    }

    /// How to reach the server.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks for a file or the rest of it, and follows redirects.
    pub fn get(&self, url: &str, from: Option<Resume<'_>>) -> Result<Answer, HttpError> {
        let mut uri = address(url)?;
        let (mut sha256, mut stated_bytes) = (None, None);
        for _ in 0..=REDIRECTS_MAX {
            let response = self.request(&uri, from)?;
            let headers = response.headers();
            // Only the endpoint knows the file; what storage calls its tag may be anything.
            if self.is_endpoint(&uri) {
                sha256 = sha256.or_else(|| stated_digest(headers));
                stated_bytes = stated_bytes.or_else(|| number(headers, "x-linked-size"));
            }
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = text(headers, "location").filter(|_| moved) else {
                return Ok(answer(&uri, response, sha256, stated_bytes));
            };
            let next = resolve(&uri, location)?;
            if is_protected(&uri) && !is_protected(&next) {
                return Err(HttpError::Downgrade {
                    host: host(&uri),
                    to: host(&next),
                });
            }
            uri = next;
        }
        Err(HttpError::Redirects(host(&uri)))
    }

    fn request(
        &self,
        uri: &Uri,
        from: Option<Resume<'_>>,
    ) -> Result<ureq::http::Response<Body>, HttpError> {
        // Compressed, the body would have another length and other ranges.
        let mut request = self.agent.get(uri).header("accept-encoding", "identity");
        if let Some(from) = from {
            request = request.header("range", format!("bytes={}-", from.byte));
            if let Some(etag) = from.etag {
                request = request.header("if-range", etag);
            }
        }
        if let Some(token) = self.token_for(uri) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|error| HttpError::Connection {
            host: host(uri),
            what: error.to_string(),
        })
    }

    /// The token, if `uri` is on the host that it is for and nobody on the way can read it.
    fn token_for(&self, uri: &Uri) -> Option<&str> {
        let safe = is_protected(uri) || is_this_machine(uri);
        self.settings
            .token
            .as_deref()
            .filter(|_| safe && self.is_endpoint(uri))
    }

    fn is_endpoint(&self, uri: &Uri) -> bool {
        let endpoint = self.settings.endpoint.parse::<Uri>();
        endpoint.is_ok_and(|endpoint| origin(&endpoint) == origin(uri))
    }
}

fn tls(may_be_empty: bool) -> Result<TlsConfig, HttpError> {
    let certificates: Vec<_> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    if certificates.is_empty() && !may_be_empty {
        return Err(HttpError::NoCertificates);
    }
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

fn answer(
    uri: &Uri,
    response: ureq::http::Response<Body>,
    sha256: Option<String>,
    stated_bytes: Option<u64>,
) -> Answer {
    let headers = response.headers();
    let range = (response.status() == StatusCode::PARTIAL_CONTENT)
        .then(|| text(headers, "content-range").and_then(content_range))
        .flatten();
    Answer {
        status: response.status().as_u16(),
        host: host(uri),
        sha256,
        stated_bytes,
        etag: text(headers, "etag")
            .filter(|etag| etag.starts_with('"'))
            .map(str::to_owned),
        body_bytes: number(headers, "content-length"),
        range,
        // The other form, a date, is of no use without trust in two clocks.
        retry_after: number(headers, "retry-after").map(Duration::from_secs),
        body: Box::new(response.into_body().into_reader()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// What Hugging Face says of a file in large file storage: its tag is its SHA-256 digest.
fn stated_digest(headers: &HeaderMap) -> Option<String> {
    ["x-linked-etag", "etag"].into_iter().find_map(|name| {
        let tag = text(headers, name)?;
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        let tag = tag.to_ascii_lowercase();
        is_digest(&tag).then_some(tag)
    })
}

/// Reads `bytes 7-99/100`; the length may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, length.trim().parse().ok()))
}

fn address(url: &str) -> Result<Uri, HttpError> {
    let wrong = || HttpError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(wrong()),
    }
}

/// Where a redirect leads: to an address, or to a path on the same host.
fn resolve(base: &Uri, location: &str) -> Result<Uri, HttpError> {
    let (scheme, host) = origin_text(base);
    if let Some(rest) = location.strip_prefix("//") {
        return address(&format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return address(&format!("{scheme}://{host}{location}"));
    }
    if location.contains("://") {
        return address(location);
    }
    let folder = base
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    address(&format!("{scheme}://{host}{folder}/{location}"))
}

fn origin_text(uri: &Uri) -> (&str, &str) {
    (
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |authority| authority.as_str()),
    )
}

/// Scheme, host and port.
fn origin(uri: &Uri) -> (String, String, u16) {
    let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    (scheme, host(uri).to_ascii_lowercase(), port)
}

fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().to_owned()
}

fn is_protected(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn is_this_machine(uri: &Uri) -> bool {
    matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved() {
        let base = address("https://a.example:1/x/y?z=1").expect("an address");
        for (location, expected) in [
            ("https://b.example/q", "https://b.example/q"),
            ("/q?r=2", "https://a.example:1/q?r=2"),
            ("//c.example/q", "https://c.example/q"),
            ("q", "https://a.example:1/x/q"),
        ] {
            let to = resolve(&base, location).expect(location);
            assert_eq!(to.to_string(), expected);
        }
        for wrong in ["ftp://b.example/q", "https:///q"] {
            assert!(resolve(&base, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |url: &str| origin(&address(url).expect(url));
        assert_eq!(of("https://A.example/x"), of("https://a.example:443/y"));
        assert_ne!(of("https://a.example"), of("https://a.example:444"));
        assert_ne!(of("https://a.example"), of("http://a.example"));
        assert_ne!(of("https://a.example"), of("https://a.example.org"));
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 7-99/100"), Some((7, Some(100))));
        assert_eq!(content_range("bytes 7-99/*"), Some((7, None)));
        for wrong in ["", "bytes */100", "lines 1-2/3", "bytes 1"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_digests_are_digests() {
        let digest = "3eca3b8f6d7baf218a7dd6bba5fb59a56ee25fe2d567b6f5f589b4f697eca51d";
        for (tag, expected) in [
            (format!("\"{digest}\""), Some(digest)),
            (format!("W/\"{}\"", digest.to_uppercase()), Some(digest)),
            ("\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-linked-etag", tag.parse().expect("a header"));
            assert_eq!(stated_digest(&headers).as_deref(), expected, "{tag}");
        }
    }
}

//! Standard input, cleaned before the framework reads it.
//!
//! The framework's reader ends at the first message that it cannot parse, and with it the server. Here
//! every frame is checked first. Text that is no Unicode is mended, since a lost edit would leave us
//! with another document than the editor's; a frame that is no message even then is replaced by one
//! that ingress answers with the error that JSON-RPC prescribes.
//!
//! The cause is in tower-lsp-server 0.24.0-rc.1, src/transport.rs, `Server::serve`: the loop
//! `while let Some(msg) = framed_stdin.next().await` reads tokio-util's `FramedRead`, which yields
//! `None` once after an error and could be read on. The repair there is one line in the arm of `Err(err)`:
//! `let _ = framed_stdin.next().await;`. It would make the stand-in needless, not the mending.

use std::sync::Arc;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
    DuplexStream,
};
use tokio::sync::Notify;
use tower_lsp::jsonrpc::{Error, ErrorCode, Request};

/// The method of the stand-in for a message that cannot be parsed; its parameters hold the error's code.
pub(super) const INVALID_MESSAGE: &str = "$carat/invalidMessage";

/// Messages above this are skipped. It is an `didOpen` of a file that no editor opens.
const MESSAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Header lines above this are garbage; real ones have some tens of bytes.
const HEADER_BYTES_MAX: u64 = 4096;

/// Room between the two readers: messages of typing fit whole.
const PIPE_BYTES: usize = 64 * 1024;

/// Reads `stdin` on a task; what comes out has frames of valid messages only. Rings `ended` at the end.
pub(super) fn clean(
    stdin: impl AsyncRead + Send + Unpin + 'static,
    ended: Arc<Notify>,
) -> DuplexStream {
    let (mut inlet, outlet) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        if let Err(error) = forward(&mut BufReader::new(stdin), &mut inlet).await {
            tracing::debug!(%error, "standard input ended");
        }
        drop(inlet);
        ended.notify_one();
    });
    outlet
}

async fn forward(
    input: &mut (impl AsyncBufRead + Unpin),
    output: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    while let Some(header) = read_header(input).await? {
        let checked = match header {
            Header::Length(length) if length <= MESSAGE_BYTES_MAX => {
                let mut body = Vec::new();
                (&mut *input).take(length).read_to_end(&mut body).await?;
                checked(body)
            }
            Header::Length(length) => {
                tokio::io::copy(&mut (&mut *input).take(length), &mut tokio::io::sink()).await?;
                Err(ErrorCode::InvalidRequest)
            }
            Header::Garbage => Err(ErrorCode::ParseError),
        };
        let body = checked.unwrap_or_else(stand_in);
        output
            .write_all(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes())
            .await?;
        output.write_all(&body).await?;
    }
    Ok(())
}

/// What stands before a body.
enum Header {
    Length(u64),
    /// Lines that give no length.
    Garbage,
}

async fn read_header(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Header>> {
    let (mut length, mut garbage) = (None, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut *input)
            .take(HEADER_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .await?
            == 0
        {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
        match text.trim_end() {
            "" => match length {
                Some(length) => return Ok(Some(Header::Length(length))),
                None if garbage => return Ok(Some(Header::Garbage)),
                None => {}
            },
            // Behind a body that is longer than its header says, the next header is in mid-line.
            line => match line.find("content-length:") {
                Some(at) => length = line[at..]["content-length:".len()..].trim().parse().ok(),
                None => garbage = true,
            },
        }
        garbage |= length.is_none() && !text.trim().is_empty();
    }
}

/// A body that the framework will be able to parse, mended if that helps.
fn checked(body: Vec<u8>) -> Result<Vec<u8>, ErrorCode> {
    let Err(error) = check(&body) else {
        return Ok(body);
    };
    let mended = mended(&String::from_utf8_lossy(&body)).into_bytes();
    check(&mended).map(|()| mended).map_err(|_| error)
}

/// JSON whose escapes all stand for characters: halves of surrogate pairs become U+FFFD, which counts
/// as much as they do in UTF-16.
fn mended(json: &str) -> String {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::with_capacity(json.len());
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        let escape = at + found;
        mended.push_str(&json[at..escape]);
        let (length, half) = match unit(escape) {
            Some(0xD800..=0xDBFF) => match unit(escape + 6) {
                Some(0xDC00..=0xDFFF) => (12, false),
                _ => (6, true),
            },
            Some(0xDC00..=0xDFFF) => (6, true),
            // Whatever is escaped is one character.
            _ => {
                let escaped = json[escape + 1..].chars().next();
                (1 + escaped.map_or(0, char::len_utf8), false)
            }
        };
        at = escape + length;
        if half {
            mended.push('\u{FFFD}');
        } else {
            mended.push_str(&json[escape..at]);
        }
    }
    mended.push_str(&json[at..]);
    mended
}

/// Whether the framework will be able to parse a body.
fn check(body: &[u8]) -> Result<(), ErrorCode> {
    // Its requests have no mandatory fields but the version, so answers parse as requests too.
    match serde_json::from_slice::<Request>(body) {
        Ok(_) => Ok(()),
        Err(error) if error.is_data() => Err(ErrorCode::InvalidRequest),
        Err(_) => Err(ErrorCode::ParseError),
    }
}

fn stand_in(code: ErrorCode) -> Vec<u8> {
    let message = serde_json::json!({ "jsonrpc": "2.0", "id": null, "method": INVALID_MESSAGE, "params": { "code": code } });
    message.to_string().into_bytes()
}

/// The error that a stand-in stands for.
pub(super) fn error_of(request: &Request) -> Error {
    let code = request
        .params()
        .and_then(|params| params.get("code"))
        .and_then(serde_json::Value::as_i64);
    Error::new(code.map_or(ErrorCode::ParseError, ErrorCode::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn run(input: &[u8]) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let mut output = Vec::new();
        runtime
            .block_on(forward(&mut BufReader::new(input), &mut output))
            .expect("no error in memory");
        let text = String::from_utf8(output).expect("text");
        text.split("Content-Length: ")
            .skip(1)
            .map(|frame| frame.split_once("\r\n\r\n").expect("a frame").1.to_owned())
            .collect()
    }

    fn frame(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    const GOOD: &str = r#"{"jsonrpc":"2.0","method":"exit"}"#;
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":null}"#;

    #[test]
    fn passes_messages_on() {
        let input = format!(
            "{}Content-Type: application/vscode-jsonrpc\r\n{}",
            frame(GOOD),
            frame(ANSWER)
        );
        assert_eq!(run(input.as_bytes()), [GOOD, ANSWER]);
        let no_space = format!("content-length:{}\r\n\r\n{GOOD}", GOOD.len());
        assert_eq!(run(no_space.as_bytes()), [GOOD]);
    }

    #[test]
    fn replaces_what_is_no_message() {
        for (body, code) in [
            ("{", -32700),
            ("nonsense", -32700),
            ("[]", -32600),
            ("{}", -32600),
            (r#"{"jsonrpc":"1.0"}"#, -32600),
        ] {
            let out = run(format!("{}{}", frame(body), frame(GOOD)).as_bytes());
            assert_eq!(out.len(), 2, "{body}");
            let request: Request = out[0].parse().expect("a request");
            assert_eq!(error_of(&request).code.code(), code, "{body}");
            assert_eq!(out[1], GOOD, "{body}");
        }
    }

    #[test]
    fn text_that_is_no_unicode_costs_a_character_and_not_the_message() {
        let with = |text: &str| {
            format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"text":"{text}"}}}}"#)
        };
        for (sent, read) in [
            (r"a\ud83db", "a\u{FFFD}b"),
            (r"\ude00", "\u{FFFD}"),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\\ud83d \ud83d\n", r"\\ud83d \u{FFFD}\n"),
            (r"\ud83d\ud83d\ude00", "\u{FFFD}\\ud83d\\ude00"),
        ] {
            let read = read.replace(r"\u{FFFD}", "\u{FFFD}");
            assert_eq!(run(frame(&with(sent)).as_bytes()), [with(&read)], "{sent}");
        }
        let mut latin1 = frame(&with("e")).into_bytes();
        let at = latin1.iter().rposition(|byte| *byte == b'e').expect("an e");
        latin1[at] = 0xE9;
        assert_eq!(run(&latin1), [with("\u{FFFD}")]);
    }

    #[test]
    fn finds_the_next_header_behind_garbage() {
        for garbage in [
            "foo\r\n\r\n",
            "Content-Length: x\r\n\r\n",
            "Content-Length: 2\r\n\r\n{}}}}",
        ] {
            let out = run(format!("{garbage}{}", frame(GOOD)).as_bytes());
            assert_eq!(out.last().map(String::as_str), Some(GOOD), "{garbage:?}");
        }
    }

    #[test]
    fn a_huge_length_allocates_nothing() {
        assert_eq!(
            run(b"Content-Length: 18446744073709551615\r\n\r\n{}").len(),
            1
        );
        assert_eq!(run(b"Content-Length: 200000000\r\n\r\n{}").len(), 1);
    }
}

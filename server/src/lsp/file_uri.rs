//! From `file:` URIs to paths.

use std::path::PathBuf;

/// The path that a URI names; `None` for other schemes and for what is no path.
pub(super) fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let bytes = decoded(rest.split(['?', '#']).next()?)?;
    let text = String::from_utf8(bytes).ok()?;
    if !text.starts_with('/') || text.contains('\0') {
        return None;
    }
    // `/C:/folder` is the path `C:/folder` of Windows.
    let drive = text[1..].split('/').next().is_some_and(
        |first| matches!(first.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic()),
    );
    let is_windows = cfg!(windows) && drive;
    Some(PathBuf::from(if is_windows { &text[1..] } else { &text }))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_file_uris_and_nothing_else() {
        let read = |uri| path(uri).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(read("file:///a/b%20c.rs").as_deref(), Some("/a/b c.rs"));
        assert_eq!(read("file:///%C3%A9%3A#x").as_deref(), Some("/é:"));
        assert_eq!(read("file://localhost/a").as_deref(), Some("/a"));
        for uri in [
            "untitled:a",
            "git:/a",
            "file://host/a",
            "file:///a%2",
            "file:///%FF",
            "file:///%00",
            "",
        ] {
            assert_eq!(read(uri), None, "{uri}");
        }
    }
}

//! How byte-level vocabularies spell bytes: each as one visible character.

/// The character that spells a byte: itself where it is visible, else one from U+0100 on, in order.
pub(super) fn char_of(byte: u8) -> char {
    let is_visible = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if is_visible(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|&byte| !is_visible(byte)).count() as u32;
    char::from_u32(0x100 + hidden_before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Appends the bytes that `text` spells.
pub(super) fn append_spelled(bytes: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn byte_of(character: char) -> Option<u8> {
    let hidden = match character as u32 {
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        code => {
            return u8::try_from(code)
                .ok()
                .filter(|&byte| char_of(byte) == character);
        }
    };
    u8::try_from(hidden).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_spelled_by_one_character() {
        for byte in 0..=u8::MAX {
            assert_eq!(byte_of(char_of(byte)), Some(byte), "{byte:#x}");
        }
        assert_eq!((char_of(b' '), char_of(b'\n')), ('\u{120}', '\u{10a}'));
        assert_eq!(byte_of('\u{2581}'), None);
    }
}

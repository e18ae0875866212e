//! Key-value metadata of a GGUF file: typed getters that forgive what real files differ in.

use std::ops::Range;

use super::mapping::Bytes;

/// Numeric arrays longer than this are not handed out. The longest that models need has one entry
/// for each token of the vocabulary (262,144); the bound keeps a hostile file from making a `Vec`
/// that is larger than itself.
const NUMERIC_ARRAY_LEN_MAX: usize = 1 << 22;

/// More programming languages, or longer names of them, nobody trains on.
const LANGUAGES_MAX: usize = 100;
const LANGUAGE_BYTES_MAX: usize = 40;

/// The type of a value, by its number in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueType {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, signed.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, signed.
    I32,
    /// Single precision.
    F32,
    /// One byte; everything but 0 is true.
    Bool,
    /// 64 bits of length, then the bytes.
    String,
    /// Type and count of the elements, then the elements.
    Array,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, signed.
    I64,
    /// Double precision.
    F64,
}

impl ValueType {
    pub(super) fn from_raw(raw: u32) -> Option<Self> {
        const ALL: [ValueType; 13] = [
            ValueType::U8,
            ValueType::I8,
            ValueType::U16,
            ValueType::I16,
            ValueType::U32,
            ValueType::I32,
            ValueType::F32,
            ValueType::Bool,
            ValueType::String,
            ValueType::Array,
            ValueType::U64,
            ValueType::I64,
            ValueType::F64,
        ];
        ALL.get(usize::try_from(raw).ok()?).copied()
    }

    /// Bytes of one value; `None` for strings and arrays.
    pub(super) fn fixed_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// Reads one value of fixed size; `None` for strings, arrays and short input.
    pub(super) fn read(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Self::U8 => Value::Unsigned(u64::from(*bytes.first()?)),
            Self::I8 => Value::Signed(i64::from(i8::from_le_bytes(*bytes.first_chunk()?))),
            Self::U16 => Value::Unsigned(u64::from(u16::from_le_bytes(*bytes.first_chunk()?))),
            Self::I16 => Value::Signed(i64::from(i16::from_le_bytes(*bytes.first_chunk()?))),
            Self::U32 => Value::Unsigned(u64::from(u32::from_le_bytes(*bytes.first_chunk()?))),
            Self::I32 => Value::Signed(i64::from(i32::from_le_bytes(*bytes.first_chunk()?))),
            Self::U64 => Value::Unsigned(u64::from_le_bytes(*bytes.first_chunk()?)),
            Self::I64 => Value::Signed(i64::from_le_bytes(*bytes.first_chunk()?)),
            Self::F32 => Value::Float(f64::from(f32::from_le_bytes(*bytes.first_chunk()?))),
            Self::F64 => Value::Float(f64::from_le_bytes(*bytes.first_chunk()?)),
            Self::Bool => Value::Bool(*bytes.first()? != 0),
            Self::String | Self::Array => return None,
        })
    }
}

/// Where the bytes of a string or of an array's elements lie in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// One value; strings and arrays stay in the map and are read through [`Metadata`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// Any unsigned width.
    Unsigned(u64),
    /// Any signed width.
    Signed(i64),
    /// Either float width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// The bytes of a string, without its length.
    String(Span),
    /// An array.
    Array {
        /// Type of each element.
        element: ValueType,
        /// Number of elements.
        len: usize,
        /// The bytes of the elements.
        span: Span,
    },
}

impl Value {
    fn as_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Bool(value) => Some(u64::from(value)),
            Self::Float(_) | Self::String(_) | Self::Array { .. } => None,
        }
    }

    fn as_f32(self) -> Option<f32> {
        match self {
            Self::Unsigned(value) => Some(value as f32),
            Self::Signed(value) => Some(value as f32),
            Self::Float(value) => Some(value as f32),
            Self::Bool(_) | Self::String(_) | Self::Array { .. } => None,
        }
    }

    fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            Self::Unsigned(_) | Self::Signed(_) => self.as_u64().map(|value| value != 0),
            Self::Float(_) | Self::String(_) | Self::Array { .. } => None,
        }
    }

    fn as_u32(self) -> Option<u32> {
        self.as_u64().and_then(|value| u32::try_from(value).ok())
    }
}

/// The metadata of one file.
///
/// Getters convert: every integer width and truth values read as integers if the value fits, integers
/// read as floats and as truth values, an array of one element reads as its element, and a scalar
/// reads as an array of one element. What cannot be converted reads as `None`, as a missing key does.
pub struct Metadata {
    bytes: Bytes,
    /// In file order.
    entries: Vec<(Span, Value)>,
    /// Indices into `entries`, sorted by key.
    by_key: Vec<u32>,
}

impl Metadata {
    /// `entries` whose keys are UTF-8 and inside of `bytes`; `Err` is the first key that occurs twice.
    pub(super) fn new(bytes: Bytes, entries: Vec<(Span, Value)>) -> Result<Self, String> {
        let mut by_key: Vec<u32> = (0..entries.len() as u32).collect();
        let key = |&index: &u32| &bytes[entries[index as usize].0.range()];
        by_key.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        let twice = by_key
            .windows(2)
            .find(|pair| key(&pair[0]) == key(&pair[1]));
        if let Some(&[index, _]) = twice {
            return Err(String::from_utf8_lossy(key(&index)).into_owned());
        }
        Ok(Self {
            bytes,
            entries,
            by_key,
        })
    }

    /// The keys in file order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .map(|&(key, _)| self.text(key).unwrap_or_default())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.by_key.binary_search_by(|&index| {
            self.bytes[self.entries[index as usize].0.range()].cmp(key.as_bytes())
        });
        let index = *self.by_key.get(found.ok()?)?;
        Some(&self.entries[index as usize].1)
    }

    /// A string without the zero bytes that some writers add; `None` also if it is not UTF-8.
    pub fn str(&self, key: &str) -> Option<&str> {
        match *self.get(key)? {
            Value::String(span) => self.text(span).map(|text| text.trim_end_matches('\0')),
            Value::Array {
                element: ValueType::String,
                len: 1,
                ..
            } => self.str_array(key)?.next(),
            _ => None,
        }
    }

    /// An integer that is not negative.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.scalar(key)?.as_u64()
    }

    /// An integer from 0 to 2³² - 1.
    pub fn u32(&self, key: &str) -> Option<u32> {
        self.scalar(key)?.as_u32()
    }

    /// A number.
    pub fn f32(&self, key: &str) -> Option<f32> {
        self.scalar(key)?.as_f32()
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.scalar(key)?.as_bool()
    }

    /// Integers; a scalar gives one element. `None` if one of them does not fit.
    pub fn u32_array(&self, key: &str) -> Option<Vec<u32>> {
        self.array(key, Value::as_u32)
    }

    /// Numbers; a scalar gives one element.
    pub fn f32_array(&self, key: &str) -> Option<Vec<f32>> {
        self.array(key, Value::as_f32)
    }

    /// Truth values; a scalar gives one element.
    pub fn bool_array(&self, key: &str) -> Option<Vec<bool>> {
        self.array(key, Value::as_bool)
    }

    /// The architecture, by which all keys of hyper-parameters begin; empty if the file names none.
    pub(crate) fn architecture(&self) -> &str {
        self.str("general.architecture").unwrap_or_default()
    }

    /// The model's name, if the file gives one.
    pub(crate) fn model_name(&self) -> Option<&str> {
        self.str("general.name")
    }

    /// The programming languages that the model was trained on, by their LSP identifiers, if the file
    /// says so. A file can claim anything, so what is too much is cut.
    pub(crate) fn languages(&self) -> Option<Vec<String>> {
        let named = self.str_array("carat.languages")?;
        let named = named.filter(|name| !name.is_empty() && name.len() <= LANGUAGE_BYTES_MAX);
        let named: Vec<String> = named.take(LANGUAGES_MAX).map(str::to_owned).collect();
        (!named.is_empty()).then_some(named)
    }

    /// Strings, read from the map one after the other; a scalar gives one element.
    pub fn str_array(&self, key: &str) -> Option<Strings<'_>> {
        match *self.get(key)? {
            Value::Array {
                element: ValueType::String,
                len,
                span,
            } => Some(Strings::new(&self.bytes[span.range()], len)),
            // The length stands before the bytes of a string, so it is an array of one element.
            Value::String(span) => {
                let start = span.start.checked_sub(size_of::<u64>())?;
                Some(Strings::new(&self.bytes[start..span.range().end], 1))
            }
            _ => None,
        }
    }

    /// The value as people read it; long strings and arrays are cut.
    pub fn display(&self, key: &str) -> Option<String> {
        const CHARS_MAX: usize = 80;
        const ELEMENTS_MAX: usize = 8;
        let cut = |text: &str| match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
            None => format!("{text:?}"),
        };
        Some(match *self.get(key)? {
            Value::Unsigned(value) => value.to_string(),
            Value::Signed(value) => value.to_string(),
            Value::Float(value) => (value as f32).to_string(),
            Value::Bool(value) => value.to_string(),
            Value::String(span) => match self.text(span) {
                Some(text) => cut(text),
                None => format!("{} bytes that are not UTF-8", span.len),
            },
            Value::Array { element, len, span } => {
                let shown: Vec<String> = match (element, element.fixed_bytes()) {
                    (ValueType::String, _) => {
                        self.str_array(key)?.take(ELEMENTS_MAX).map(cut).collect()
                    }
                    (_, Some(size)) => self.bytes[span.range()]
                        .chunks_exact(size)
                        .take(ELEMENTS_MAX)
                        .filter_map(|bytes| element.read(bytes))
                        .map(|value| match value {
                            Value::Signed(value) => value.to_string(),
                            Value::Bool(value) => value.to_string(),
                            Value::Float(value) => (value as f32).to_string(),
                            other => other.as_u64().unwrap_or_default().to_string(),
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                let more = if len > shown.len() { ", …" } else { "" };
                format!("[{}{more}] ({len} elements)", shown.join(", "))
            }
        })
    }

    fn text(&self, span: Span) -> Option<&str> {
        std::str::from_utf8(&self.bytes[span.range()]).ok()
    }

    fn scalar(&self, key: &str) -> Option<Value> {
        match *self.get(key)? {
            Value::Array {
                element,
                len: 1,
                span,
            } => element.read(&self.bytes[span.range()]),
            value => Some(value),
        }
    }

    fn array<T>(&self, key: &str, convert: fn(Value) -> Option<T>) -> Option<Vec<T>> {
        match *self.get(key)? {
            Value::Array { element, len, span } if len <= NUMERIC_ARRAY_LEN_MAX => self.bytes
                [span.range()]
            .chunks_exact(element.fixed_bytes()?)
            .map(|bytes| element.read(bytes).and_then(convert))
            .collect(),
            Value::Array { .. } => None,
            value => convert(value).map(|value| vec![value]),
        }
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.keys().map(|key| (key, self.display(key))))
            .finish()
    }
}

/// The strings of an array, in order. One that is not UTF-8 reads as U+FFFD.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Strings<'a> {
    /// `len` strings; before each one are 64 bits of length.
    pub(crate) fn new(bytes: &'a [u8], len: usize) -> Self {
        Self { rest: bytes, len }
    }

    /// No strings that are left have more bytes than this together.
    pub(crate) fn bytes_max(&self) -> usize {
        self.rest.len().saturating_sub(size_of::<u64>() * self.len)
    }

    /// The first `at` strings, and the rest.
    pub(crate) fn split_at(mut self, at: usize) -> (Self, Self) {
        let first = Self {
            len: self.len.min(at),
            ..self
        };
        for _ in 0..first.len {
            self.next_bytes();
        }
        (first, self)
    }

    fn next_bytes(&mut self) -> Option<&'a [u8]> {
        self.len = self.len.checked_sub(1)?;
        let (len, rest) = self.rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (bytes, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.next_bytes()?;
        Some(std::str::from_utf8(bytes).unwrap_or("\u{FFFD}"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl ExactSizeIterator for Strings<'_> {}

//! Parser of the GGUF header: every length is checked against the bytes that are there.

use super::mapping::Bytes;
use super::metadata::{Metadata, Span, Value, ValueType};
use super::tensor_type::{self, TensorType};

/// Arrays inside of arrays are legal; real files have none, so a few levels are plenty.
const ARRAY_DEPTH_MAX: usize = 4;

/// The longest key that the specification allows, in bytes; tensor names get the same room.
const NAME_BYTES_MAX: usize = 65_535;

/// Most axes that a tensor may have.
const AXES_MAX: u32 = 4;

/// Where tensor data begins and at what multiples, unless the file says otherwise.
const ALIGNMENT_DEFAULT: u64 = 32;

/// One tensor of the file: its name, shape and type, and where its bytes are.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// Row-major, slowest axis first (the file stores the axes the other way round). Never empty,
    /// no axis is 0.
    pub shape: Vec<usize>,
    /// The number of the type in the file.
    pub raw_type: u32,
    /// Which file of the model it is in.
    pub(super) part: usize,
    start: usize,
    len: usize,
}

impl TensorInfo {
    /// The type, if Carat runs it.
    pub fn tensor_type(&self) -> Option<TensorType> {
        TensorType::from_raw(self.raw_type)
    }

    /// Name of the type, also of types that Carat does not run.
    pub fn type_name(&self) -> String {
        match tensor_type::layout(self.raw_type) {
            Some(layout) => layout.name.to_owned(),
            None => format!("number {}", self.raw_type),
        }
    }

    /// Bytes in the file; 0 for a type that nobody here has heard of.
    pub fn len_bytes(&self) -> usize {
        self.len
    }

    /// Number of elements: the product of the shape.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

/// What the header says.
pub(super) struct Header {
    pub(super) metadata: Metadata,
    /// In file order.
    pub(super) tensors: Vec<TensorInfo>,
    /// Indices into `tensors`, sorted by name.
    pub(super) by_name: Vec<u32>,
}

/// Reads the header of a GGUF file of version 2 or 3; `Err` says what was expected and found.
pub(super) fn parse(bytes: &Bytes) -> Result<Header, String> {
    let mut cursor = Cursor { bytes, at: 0 };
    check_magic(bytes)?;
    cursor.at = 4;
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => {}
        1 => return Err("version 1 is from 2023 and no longer used".to_owned()),
        _ if (1..=3).contains(&version.swap_bytes()) => {
            return Err("it is written for big-endian processors".to_owned());
        }
        _ => return Err(format!("version {version}, expected 2 or 3")),
    }
    let n_tensors = cursor.u64("the number of tensors")?;
    let n_entries = cursor.u64("the number of metadata keys")?;

    // Both lists grow as entries are read, so a count in the file cannot make them large.
    let mut entries = Vec::new();
    for index in 0..n_entries {
        let key = cursor
            .name()
            .map_err(|what| format!("metadata key {} of {n_entries}: {what}", index + 1))?;
        let name = std::str::from_utf8(&bytes[key.range()]).unwrap_or_default();
        let value = cursor
            .value()
            .map_err(|what| format!("metadata key `{name}`: {what}"))?;
        entries.push((key, value));
    }
    let metadata = Metadata::new(bytes.clone(), entries)
        .map_err(|key| format!("metadata key `{key}` occurs twice"))?;
    let mut tensors = Vec::new();
    for index in 0..n_tensors {
        let name = cursor
            .name()
            .map_err(|what| format!("tensor {} of {n_tensors}: {what}", index + 1))?;
        let name = std::str::from_utf8(&bytes[name.range()]).unwrap_or_default();
        match cursor.tensor(name) {
            Ok(tensor) => tensors.push(tensor),
            Err(what) => return Err(format!("tensor `{name}`: {what}")),
        }
    }
    let by_name = sort_by_name(&tensors)?;
    place(&mut tensors, &metadata, cursor.at, bytes.len())?;
    Ok(Header {
        metadata,
        tensors,
        by_name,
    })
}

/// Names what people download by mistake.
fn check_magic(bytes: &[u8]) -> Result<(), String> {
    if bytes.starts_with(b"GGUF") {
        return Ok(());
    }
    Err(match bytes {
        [] => "it is empty".to_owned(),
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "it is a Git LFS pointer, not the model itself".to_owned()
        }
        [b'<', ..] => "it is a web page".to_owned(),
        _ if bytes.starts_with(b"PK") => "it is an archive of another format".to_owned(),
        _ => format!(
            "it begins with \"{}\", expected \"GGUF\"",
            bytes[..bytes.len().min(4)].escape_ascii()
        ),
    })
}

pub(super) fn sort_by_name(tensors: &[TensorInfo]) -> Result<Vec<u32>, String> {
    let name = |&index: &u32| tensors[index as usize].name.as_str();
    let mut by_name: Vec<u32> = (0..tensors.len() as u32).collect();
    by_name.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    match by_name
        .windows(2)
        .find(|pair| name(&pair[0]) == name(&pair[1]))
    {
        Some(pair) => Err(format!("tensor `{}` occurs twice", name(&pair[0]))),
        None => Ok(by_name),
    }
}

/// Turns offsets into places in the file, and checks that each tensor lies inside of it.
fn place(
    tensors: &mut [TensorInfo],
    metadata: &Metadata,
    header_len: usize,
    file_len: usize,
) -> Result<(), String> {
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT_DEFAULT,
        Some(_) => metadata.u64("general.alignment").unwrap_or(0),
    };
    // A multiple of 8, says the specification; with a power of two every block type is aligned too.
    if alignment < 8 || !alignment.is_power_of_two() {
        return Err("`general.alignment` must be a power of two, 8 or more".to_owned());
    }
    let data_start = (header_len as u64).checked_next_multiple_of(alignment);
    for tensor in tensors {
        let offset = tensor.start as u64;
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor `{}`: its offset {offset} is not a multiple of the alignment {alignment}",
                tensor.name
            ));
        }
        let start = data_start.and_then(|start| start.checked_add(offset));
        let end = start.and_then(|start| start.checked_add(tensor.len as u64));
        match (start, end) {
            (Some(start), Some(end)) if end <= file_len as u64 => tensor.start = start as usize,
            _ => {
                let needed =
                    end.map_or("more than any file has".to_owned(), |end| format!("{end}"));
                return Err(format!(
                    "tensor `{}` ends at byte {needed}, but the file has {file_len} bytes: it is incomplete",
                    tensor.name
                ));
            }
        }
    }
    Ok(())
}

/// Reads forward; what does not fit is an error.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or_else(|| {
            format!(
                "{what} needs {len} bytes at byte {}, but only {} are left: the file is incomplete",
                self.at,
                rest.len()
            )
        })?;
        self.at += len;
        Ok(taken)
    }

    fn u32(&mut self, what: &str) -> Result<u32, String> {
        let mut value = [0; 4];
        value.copy_from_slice(self.take(4, what)?);
        Ok(u32::from_le_bytes(value))
    }

    fn u64(&mut self, what: &str) -> Result<u64, String> {
        let mut value = [0; 8];
        value.copy_from_slice(self.take(8, what)?);
        Ok(u64::from_le_bytes(value))
    }

    /// The bytes of a string, which its length precedes.
    fn string(&mut self, what: &str) -> Result<Span, String> {
        let len = self.u64(what)?;
        let start = self.at;
        // A length beyond `usize` is longer than the file as well.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.take(len, what)?;
        Ok(Span { start, len })
    }

    /// A key or the name of a tensor: short, and UTF-8.
    fn name(&mut self) -> Result<Span, String> {
        let span = self.string("its name")?;
        if span.len > NAME_BYTES_MAX {
            return Err(format!(
                "its name has {} bytes, at most {NAME_BYTES_MAX} are allowed",
                span.len
            ));
        }
        match std::str::from_utf8(&self.bytes[span.range()]) {
            Ok(_) => Ok(span),
            Err(_) => Err("its name is not UTF-8".to_owned()),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.value_type()? {
            ValueType::String => Ok(Value::String(self.string("a string")?)),
            ValueType::Array => {
                let element = self.value_type()?;
                let len = self.u64("the length of an array")?;
                let start = self.at;
                self.skip_elements(element, len, ARRAY_DEPTH_MAX)?;
                // `skip_elements` has seen every element, and each takes a byte at least.
                let len = len as usize;
                Ok(Value::Array {
                    element,
                    len,
                    span: Span {
                        start,
                        len: self.at - start,
                    },
                })
            }
            fixed => {
                let bytes = self.take(fixed.fixed_bytes().unwrap_or_default(), "a number")?;
                fixed
                    .read(bytes)
                    .ok_or_else(|| "a number cannot be read".to_owned())
            }
        }
    }

    fn value_type(&mut self) -> Result<ValueType, String> {
        let raw = self.u32("the type of a value")?;
        ValueType::from_raw(raw).ok_or_else(|| format!("unknown type of value {raw}"))
    }

    fn skip_elements(&mut self, element: ValueType, len: u64, depth: usize) -> Result<(), String> {
        match (element, element.fixed_bytes()) {
            (_, Some(size)) => {
                let bytes = usize::try_from(len)
                    .ok()
                    .and_then(|len| len.checked_mul(size));
                self.take(bytes.unwrap_or(usize::MAX), "an array")?;
            }
            (ValueType::String, _) => {
                for _ in 0..len {
                    self.string("a string of an array")?;
                }
            }
            _ if depth == 0 => return Err("arrays are nested too deeply".to_owned()),
            _ => {
                for _ in 0..len {
                    let element = self.value_type()?;
                    let len = self.u64("the length of an array")?;
                    self.skip_elements(element, len, depth - 1)?;
                }
            }
        }
        Ok(())
    }

    /// The description of a tensor after its name; `start` is still relative to the data section.
    fn tensor(&mut self, name: &str) -> Result<TensorInfo, String> {
        let n_axes = self.u32("the number of axes")?;
        if n_axes == 0 || n_axes > AXES_MAX {
            return Err(format!("it has {n_axes} axes, expected 1 to {AXES_MAX}"));
        }
        let mut shape = Vec::with_capacity(n_axes as usize);
        for _ in 0..n_axes {
            let axis = self.u64("an axis")?;
            let axis = usize::try_from(axis)
                .ok()
                .filter(|&axis| axis > 0)
                .ok_or_else(|| format!("an axis has {axis} elements"))?;
            shape.push(axis);
        }
        let columns = shape[0];
        shape.reverse();
        let too_large = || format!("its shape {shape:?} is too large for any file");
        let elements = shape
            .iter()
            .try_fold(1_usize, |product, &axis| product.checked_mul(axis))
            .ok_or_else(too_large)?;
        let raw_type = self.u32("its type")?;
        let offset = self.u64("its offset")?;
        let start =
            usize::try_from(offset).map_err(|_| format!("its offset {offset} is too large"))?;
        let len = match tensor_type::layout(raw_type) {
            Some(layout) if !columns.is_multiple_of(layout.block_len) => {
                return Err(format!(
                    "its rows have {columns} elements, which is not a multiple of the {} of a {} block",
                    layout.block_len, layout.name
                ));
            }
            Some(layout) => (elements / layout.block_len)
                .checked_mul(layout.block_bytes)
                .ok_or_else(too_large)?,
            None => 0,
        };
        Ok(TensorInfo {
            name: name.to_owned(),
            shape,
            raw_type,
            part: 0,
            start,
            len,
        })
    }
}

//! Writes small GGUF files, correct and hostile ones, for the tests of the reader.
#![allow(dead_code, reason = "each test binary uses the part that it needs")]

/// Numbers of value types in the file.
pub(crate) mod value {
    pub(crate) const U8: u32 = 0;
    pub(crate) const I16: u32 = 3;
    pub(crate) const U32: u32 = 4;
    pub(crate) const I32: u32 = 5;
    pub(crate) const F32: u32 = 6;
    pub(crate) const BOOL: u32 = 7;
    pub(crate) const STRING: u32 = 8;
    pub(crate) const ARRAY: u32 = 9;
    pub(crate) const U64: u32 = 10;
    pub(crate) const F64: u32 = 12;
}

/// A file in the making. Counts in the header are those of what was added, unless they are overruled.
pub(crate) struct Writer {
    version: u32,
    metadata: Vec<u8>,
    n_entries: u64,
    tensors: Vec<u8>,
    n_tensors: u64,
    data: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            version: 3,
            metadata: Vec::new(),
            n_entries: 0,
            tensors: Vec::new(),
            n_tensors: 0,
            data: Vec::new(),
        }
    }

    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn n_entries(mut self, n_entries: u64) -> Self {
        self.n_entries = n_entries;
        self
    }

    pub(crate) fn n_tensors(mut self, n_tensors: u64) -> Self {
        self.n_tensors = n_tensors;
        self
    }

    /// Any value, its bytes given as they stand in the file.
    pub(crate) fn raw(mut self, key: &[u8], value_type: u32, bytes: &[u8]) -> Self {
        push_string(&mut self.metadata, key);
        self.metadata.extend(value_type.to_le_bytes());
        self.metadata.extend(bytes);
        self.n_entries += 1;
        self
    }

    pub(crate) fn u32(self, key: &str, number: u32) -> Self {
        self.raw(key.as_bytes(), value::U32, &number.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, truth: bool) -> Self {
        self.raw(key.as_bytes(), value::BOOL, &[u8::from(truth)])
    }

    pub(crate) fn string(self, key: &str, text: &str) -> Self {
        let mut bytes = Vec::new();
        push_string(&mut bytes, text.as_bytes());
        self.raw(key.as_bytes(), value::STRING, &bytes)
    }

    /// An array; `len` is what its header says.
    pub(crate) fn array(self, key: &str, element: u32, len: u64, elements: &[u8]) -> Self {
        let mut bytes = element.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(elements);
        self.raw(key.as_bytes(), value::ARRAY, &bytes)
    }

    pub(crate) fn strings(self, key: &str, texts: &[impl AsRef<str>]) -> Self {
        let mut bytes = Vec::new();
        for text in texts {
            push_string(&mut bytes, text.as_ref().as_bytes());
        }
        self.array(key, value::STRING, texts.len() as u64, &bytes)
    }

    pub(crate) fn i32s(self, key: &str, numbers: &[i32]) -> Self {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        self.array(key, value::I32, numbers.len() as u64, &bytes)
    }

    pub(crate) fn f32s(self, key: &str, numbers: &[f32]) -> Self {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        self.array(key, value::F32, numbers.len() as u64, &bytes)
    }

    /// A tensor whose offset and axes (fastest first, as in the file) are given, without data.
    pub(crate) fn tensor_at(
        mut self,
        name: &str,
        axes: &[u64],
        raw_type: u32,
        offset: u64,
    ) -> Self {
        push_string(&mut self.tensors, name.as_bytes());
        self.tensors.extend((axes.len() as u32).to_le_bytes());
        for axis in axes {
            self.tensors.extend(axis.to_le_bytes());
        }
        self.tensors.extend(raw_type.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.n_tensors += 1;
        self
    }

    /// A tensor with data, at the next free offset.
    pub(crate) fn tensor(mut self, name: &str, axes: &[u64], raw_type: u32, data: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        let offset = self.data.len() as u64;
        self.data.extend(data);
        self.tensor_at(name, axes, raw_type, offset)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.n_tensors.to_le_bytes());
        file.extend(self.n_entries.to_le_bytes());
        file.extend(self.metadata);
        file.extend(self.tensors);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

fn push_string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

/// A vocabulary of the kind `gemma4`: control tokens, all bytes, and a few merges.
pub(crate) fn with_gemma4_vocabulary(writer: Writer) -> Writer {
    let mut tokens: Vec<String> = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<|channel>",
        "<turn|>",
        "<|image>",
        "<|fim_prefix|>",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut types = vec![3, 1, 3, 2, 4, 3, 3, 3];
    tokens.extend(["<|fim_suffix|>", "<|fim_middle|>"].map(str::to_owned));
    types.extend([3, 3]);
    for byte in 0..=255_u8 {
        tokens.push(format!("<0x{byte:02X}>"));
        types.push(6);
    }
    let characters = [
        "\n", "▁", "a", "b", "c", "é", "<", ">", "e", "o", "s", "(", ")",
    ];
    let merges = [
        "\n \n",
        "\n\n \n\n",
        "▁ ▁",
        "▁▁ ▁▁",
        "a b",
        "ab c",
        "▁ ab",
        "e o",
        "eo s",
        "< eos",
        "<eos >",
        "c é",
        "a missing",
    ];
    tokens.extend(characters.map(str::to_owned));
    for merge in merges {
        let merged: String = merge.split(' ').collect();
        if merge != "a missing" && !tokens.contains(&merged) {
            tokens.push(merged);
        }
    }
    types.resize(tokens.len(), 1);
    writer
        .string("tokenizer.ggml.model", "gemma4")
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .strings("tokenizer.ggml.merges", &merges)
        .u32("tokenizer.ggml.bos_token_id", 2)
        .u32("tokenizer.ggml.eos_token_id", 1)
        .u32("tokenizer.ggml.fim_pre_token_id", 7)
        .u32("tokenizer.ggml.fim_suf_token_id", 8)
        .u32("tokenizer.ggml.fim_mid_token_id", 9)
        .string("tokenizer.chat_template", "{{ messages }}")
}

/// A vocabulary of `kind`: the control tokens, of which the first begins texts, and all bytes in the place
/// of words.
pub(crate) fn with_bytes(
    writer: Writer,
    kind: &str,
    cut: Option<&str>,
    controls: &[&str],
    begins: bool,
) -> Writer {
    let mut tokens: Vec<String> = controls.iter().copied().map(str::to_owned).collect();
    let mut types = vec![3; tokens.len()];
    if kind == "gpt2" {
        tokens.extend(byte_spellings());
        types.resize(tokens.len(), 1);
    } else {
        tokens.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
        types.resize(tokens.len(), 6);
        tokens.push("\u{2581}".to_owned());
        types.push(1);
    }
    let writer = writer
        .string("tokenizer.ggml.model", kind)
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .f32s("tokenizer.ggml.scores", &vec![0.0; tokens.len()])
        .strings("tokenizer.ggml.merges", &[""; 0])
        .u32("tokenizer.ggml.bos_token_id", 0)
        .u32("tokenizer.ggml.eos_token_id", u32::from(begins))
        .bool("tokenizer.ggml.add_bos_token", begins)
        .bool("tokenizer.ggml.add_space_prefix", false);
    match cut {
        Some(cut) => writer.string("tokenizer.ggml.pre", cut),
        None => writer,
    }
}

/// A file of a model that was tuned for chats.
pub(crate) fn with_chat_template(writer: Writer, template: &str) -> Writer {
    writer.string("tokenizer.chat_template", template)
}

/// How byte-level vocabularies write the bytes: the visible ones of Latin-1 as themselves, the others,
/// in their order, from U+0100 on.
fn byte_spellings() -> impl Iterator<Item = String> {
    let mut hidden = 0x100;
    (0..=u8::MAX).map(move |byte| {
        let is_visible = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
        let spelled = if is_visible {
            char::from(byte)
        } else {
            hidden += 1;
            char::from_u32(hidden - 1).expect("a character")
        };
        spelled.to_string()
    })
}

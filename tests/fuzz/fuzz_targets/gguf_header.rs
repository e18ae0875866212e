//! Reads any bytes as a GGUF file, and walks all that the reader then offers.
#![no_main]

use carat_engine::{ModelFile, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = ModelFile::from_bytes("fuzz.gguf", bytes) else {
        return;
    };
    walk_metadata(&file);
    for tensor in file.tensors() {
        assert_eq!(file.data(tensor).len(), tensor.len_bytes());
        assert!(tensor.elements() > 0);
        assert!(!tensor.type_name().is_empty());
        assert!(file.tensor(&tensor.name).is_some());
    }
    if let Ok(tokenizer) = Tokenizer::from_model_file(&file) {
        walk_tokenizer(&tokenizer);
    }
});

fn walk_metadata(file: &ModelFile) {
    let metadata = file.metadata();
    for key in metadata.keys() {
        assert!(metadata.get(key).is_some());
        assert!(metadata.display(key).is_some());
        let _ = (
            metadata.str(key),
            metadata.u64(key),
            metadata.f32(key),
            metadata.bool(key),
        );
        let _ = (
            metadata.u32_array(key),
            metadata.f32_array(key),
            metadata.bool_array(key),
        );
        if let Some(texts) = metadata.str_array(key) {
            assert_eq!(texts.len(), texts.count());
        }
    }
}

fn walk_tokenizer(tokenizer: &Tokenizer) {
    let text = "fn main() {\n\n\t    println!(\"<eos> é 🦀\");\r\n}\0";
    for tokens in [tokenizer.encode(text), tokenizer.encode_special(text)] {
        let mut stream = tokenizer.stream();
        let mut streamed: String = tokens
            .iter()
            .map(|&token| stream.push(token).to_owned())
            .collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, tokenizer.decode(&tokens));
    }
    let n_tokens = tokenizer.vocabulary_len();
    assert!(tokenizer.bos().is_none_or(|bos| (bos as usize) < n_tokens));
    let roles = [tokenizer.end_of_generation(), tokenizer.banned()];
    assert!(
        roles
            .iter()
            .all(|list| list.iter().all(|&token| (token as usize) < n_tokens))
    );
}

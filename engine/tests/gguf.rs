//! The reader of GGUF files on correct files: values, shapes, data and what it forgives.

mod gguf_writer;

use carat_engine::ModelFile;
use carat_engine::gguf::{TensorInfo, TensorType, Value};
use gguf_writer::{Writer, value, with_gemma4_vocabulary};

fn read(writer: Writer) -> ModelFile {
    ModelFile::from_bytes("test.gguf", &writer.finish()).expect("the file is correct")
}

#[test]
fn integers_of_every_width_and_bools_read_as_integers() {
    let file = read(
        Writer::new()
            .u32("u32", 7)
            .raw(b"u8", value::U8, &[8])
            .raw(b"i16", value::I16, &9_i16.to_le_bytes())
            .raw(b"u64", value::U64, &(1_u64 << 40).to_le_bytes())
            .raw(b"negative", value::I32, &(-1_i32).to_le_bytes())
            .bool("truth", true),
    );
    let metadata = file.metadata();
    assert_eq!(metadata.u32("u32"), Some(7));
    assert_eq!(metadata.u32("u8"), Some(8));
    assert_eq!(metadata.u64("i16"), Some(9));
    assert_eq!(metadata.u64("u64"), Some(1 << 40));
    assert_eq!(metadata.u32("u64"), None);
    assert_eq!(metadata.u64("negative"), None);
    assert_eq!(metadata.get("negative"), Some(&Value::Signed(-1)));
    assert_eq!(metadata.f32("negative"), Some(-1.0));
    assert_eq!(metadata.u32("truth"), Some(1));
    assert_eq!(metadata.bool("truth"), Some(true));
    assert_eq!(metadata.bool("u32"), Some(true));
    assert_eq!(metadata.u32("missing"), None);
}

#[test]
fn scalars_read_as_arrays_and_arrays_of_one_as_scalars() {
    let file = read(
        Writer::new()
            .u32("scalar", 7)
            .i32s("one", &[5])
            .i32s("many", &[8, 8, 2])
            .array("bools", value::BOOL, 3, &[1, 0, 1])
            .f32s("floats", &[0.5, -1.0])
            .raw(b"double", value::F64, &0.25_f64.to_le_bytes())
            .string("text", "Gemma\0")
            .strings("texts", &["a", "", "Grüße"]),
    );
    let metadata = file.metadata();
    assert_eq!(metadata.u32_array("scalar"), Some(vec![7]));
    assert_eq!(metadata.u32("one"), Some(5));
    assert_eq!(metadata.u32("many"), None);
    assert_eq!(metadata.u32_array("many"), Some(vec![8, 8, 2]));
    assert_eq!(metadata.bool_array("bools"), Some(vec![true, false, true]));
    assert_eq!(metadata.f32_array("floats"), Some(vec![0.5, -1.0]));
    assert_eq!(metadata.f32_array("double"), Some(vec![0.25]));
    assert_eq!(metadata.f32_array("text"), None);
    assert_eq!(metadata.str("text"), Some("Gemma"));
    let texts = metadata.str_array("texts").expect("an array of strings");
    assert_eq!(texts.len(), 3);
    assert_eq!(texts.collect::<Vec<_>>(), ["a", "", "Grüße"]);
    assert_eq!(
        metadata
            .str_array("text")
            .expect("one string")
            .collect::<Vec<_>>(),
        ["Gemma\0"]
    );
    assert!(metadata.str_array("many").is_none());
    assert_eq!(
        metadata.display("many").as_deref(),
        Some("[8, 8, 2] (3 elements)")
    );
    assert_eq!(
        metadata.keys().collect::<Vec<_>>(),
        [
            "scalar", "one", "many", "bools", "floats", "double", "text", "texts"
        ]
    );
}

#[test]
fn strings_that_are_not_utf8_do_not_fail_the_file() {
    let mut bytes = 2_u64.to_le_bytes().to_vec();
    bytes.extend([0xFF, 0xFE]);
    let file = read(Writer::new().raw(b"bytes", value::STRING, &bytes).array(
        "array",
        value::STRING,
        1,
        &bytes,
    ));
    assert_eq!(file.metadata().str("bytes"), None);
    let texts: Vec<_> = file
        .metadata()
        .str_array("array")
        .expect("strings")
        .collect();
    assert_eq!(texts, ["\u{FFFD}"]);
    assert!(file.metadata().display("bytes").is_some());
}

#[test]
fn nested_arrays_are_skipped() {
    let mut inner = value::U8.to_le_bytes().to_vec();
    inner.extend(3_u64.to_le_bytes());
    inner.extend([1, 2, 3]);
    let file = read(
        Writer::new()
            .array("nested", value::ARRAY, 1, &inner)
            .u32("after", 1),
    );
    assert_eq!(file.metadata().u32("after"), Some(1));
    assert_eq!(file.metadata().u32_array("nested"), None);
}

#[test]
fn tensors_have_reversed_axes_and_their_own_bytes() {
    let first: Vec<u8> = (0..24_u8).collect();
    let second = [7_u8; 2 * 3 * 18];
    let file = read(
        Writer::new()
            .version(2)
            .tensor("norm.weight", &[6], 0, &first)
            .tensor("experts.weight", &[64, 3, 1], 2, &second),
    );
    let norm = file.tensor("norm.weight").expect("the tensor is there");
    assert_eq!(norm.shape, [6]);
    assert_eq!(norm.tensor_type(), Some(TensorType::F32));
    assert_eq!(&file.data(norm)[..], first);
    let experts = file.tensor("experts.weight").expect("the tensor is there");
    assert_eq!(experts.shape, [1, 3, 64]);
    assert_eq!(experts.elements(), 192);
    assert_eq!(experts.type_name(), "Q4_0");
    assert_eq!(experts.len_bytes(), 108);
    let data = file.data(experts);
    drop(file);
    assert_eq!(&data[..], second, "the data outlives the file handle");
}

#[test]
fn tensors_of_types_that_do_not_run_are_listed() {
    let file = read(
        Writer::new()
            .tensor("tq1", &[256], 34, &[0; 54])
            .tensor("tq2", &[256], 35, &[0; 66])
            .tensor("ints", &[5], 26, &[0; 20])
            .tensor("unheard", &[5], 4711, &[]),
    );
    let names: Vec<_> = file.tensors().iter().map(TensorInfo::type_name).collect();
    assert_eq!(names, ["TQ1_0", "TQ2_0", "I32", "number 4711"]);
    assert!(
        file.tensors()
            .iter()
            .all(|tensor| tensor.tensor_type().is_none())
    );
    let lens: Vec<_> = file.tensors().iter().map(TensorInfo::len_bytes).collect();
    assert_eq!(lens, [54, 66, 20, 0]);
    assert!(file.data(&file.tensors()[3]).is_empty());
}

#[test]
fn the_alignment_of_the_file_is_used() {
    let mut bytes = Writer::new()
        .u32("general.alignment", 64)
        .tensor_at("t", &[4], 24, 0)
        .finish();
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes.extend([1, 2, 3, 4]);
    let file = ModelFile::from_bytes("test.gguf", &bytes).expect("the file is correct");
    assert_eq!(&file.data(&file.tensors()[0])[..], [1, 2, 3, 4]);
}

#[test]
fn a_file_on_disk_reads_like_one_in_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.gguf");
    let bytes = with_gemma4_vocabulary(Writer::new())
        .tensor("t", &[4], 24, &[1, 2, 3, 4])
        .finish();
    std::fs::write(&path, &bytes).expect("the directory is writable");
    let file = ModelFile::open(&path).expect("the file is correct");
    assert_eq!(file.path(), path);
    assert_eq!(file.len_bytes(), bytes.len() as u64);
    assert_eq!(&file.data(&file.tensors()[0])[..], [1, 2, 3, 4]);
    assert_eq!(file.metadata().str("tokenizer.ggml.model"), Some("gemma4"));
}

#[test]
fn row_bytes_follow_from_blocks() {
    assert_eq!(TensorType::F32.row_bytes(3), 12);
    assert_eq!(TensorType::Q4_0.row_bytes(64), 36);
    assert_eq!(TensorType::Q6K.row_bytes(512), 420);
    for raw_type in 0..64 {
        let Some(known) = TensorType::from_raw(raw_type) else {
            continue;
        };
        assert_eq!(
            known.row_bytes(known.block_len()),
            known.block_bytes(),
            "{}",
            known.name()
        );
    }
}

/// A model of two tensors in two files.
fn split(folder: &std::path::Path) -> [std::path::PathBuf; 2] {
    let part = |number: u32, tensor: &str, values: [f32; 2]| {
        let path = folder.join(format!("model-{:05}-of-00002.gguf", number + 1));
        let values: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut writer = Writer::new()
            .u32("split.no", number)
            .u32("split.count", 2)
            .u32("split.tensors.count", 2);
        if number == 0 {
            writer = writer.string("general.name", "in two files");
        }
        let bytes = writer.tensor(tensor, &[2], 0, &values).finish();
        std::fs::write(&path, bytes).expect("the folder is writable");
        path
    };
    [part(0, "b", [1.0, 2.0]), part(1, "a", [3.0, 4.0])]
}

#[test]
fn a_model_in_two_files_is_read_from_either() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for path in split(folder.path()) {
        let file = ModelFile::open(&path).expect("both files are there");
        assert_eq!(file.metadata().str("general.name"), Some("in two files"));
        assert_eq!(file.tensors().len(), 2);
        let first = |name: &str| {
            let data = file.data(file.tensor(name).expect("it is in one of the files"));
            f32::from_le_bytes(data[..4].try_into().expect("four bytes"))
        };
        assert_eq!((first("a"), first("b")), (3.0, 1.0));
    }
}

#[test]
fn a_file_of_a_split_model_that_is_missing_or_another_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = split(folder.path());
    std::fs::copy(&first, &second).expect("the folder is writable");
    let message = ModelFile::open(&first)
        .expect_err("twice the same part")
        .to_string();
    assert!(message.contains("model-00002-of-00002.gguf"), "{message}");
    assert!(message.contains("not part 2 of 2"), "{message}");
    std::fs::remove_file(&second).expect("it is there");
    let message = ModelFile::open(&first)
        .expect_err("a part is missing")
        .to_string();
    assert!(message.contains("model-00002-of-00002.gguf"), "{message}");
}

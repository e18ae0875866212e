//! Models without the rounding of activations to 8 bits, which makes large differences of tiny ones: a
//! sum that is added in another order tips a step, and the step is some percent of a probability.
#![expect(
    clippy::unwrap_used,
    reason = "a model that cannot be written fails the test"
)]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content};
use candle_core::quantized::{GgmlDType, QTensor};

/// The file with all its weights in F32, made once and kept under this name for the next run.
pub(crate) fn unrounded(path: &Path, name: &str) -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let time = |path: &Path| path.metadata().and_then(|about| about.modified());
    if time(&made).is_ok_and(|made| made >= time(path).unwrap()) {
        return made;
    }
    let mut file = File::open(path).unwrap();
    let content = Content::read(&mut file).unwrap();
    let tensors: Vec<(&str, QTensor)> = content
        .tensor_infos
        .keys()
        .map(|name| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
            let values = tensor.dequantize(&Device::Cpu).unwrap();
            (
                name.as_str(),
                QTensor::quantize(&values, GgmlDType::F32).unwrap(),
            )
        })
        .collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor))
        .collect();
    let metadata: Vec<_> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    // Renamed last: a file with this name is complete.
    let part = made.with_extension(format!("{}.part", std::process::id()));
    let mut out = BufWriter::new(File::create(&part).unwrap());
    gguf_file::write(&mut out, &metadata, &tensors).unwrap();
    out.flush().unwrap();
    std::fs::rename(&part, &made).unwrap();
    made
}

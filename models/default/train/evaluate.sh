#!/bin/sh
# Measures ../carat-default.gguf with the engine, beside the edition before: results.csv, agreement with the trainer, the card.
#   sh evaluate.sh RUN [REVISION]     the revision that has the edition before; the last one, if it is not given
set -e
cd "$(dirname "$0")"
run=$1
before=${2:-HEAD}
work=${CARAT_TRAIN_WORK:-$HOME/.cache/carat-train}
figures=$work/figures
root=../../..
(cd $root && cargo build --release -p carat)
carat=$root/target/release/carat
mkdir -p "$figures"
git -C $root show "$before:models/default/carat-default.gguf" > "$figures/before.gguf"
git -C $root show "$before:tests/quality/results.csv" > "$figures/before-shipped.csv"
python3 -m carat_train.export --run "$run" --recipe f32 --out "$work/float.gguf"
alone() {
    "$carat" eval $root/tests/quality/cases --csv --without healing,echo,lines,beam,filter "$@"
}
alone > "$figures/alone.csv"
# A model from a file writes one line at a time, so only this of the edition before is measured again.
alone --model "$figures/before.gguf" > "$figures/before-alone.csv"
"$carat" eval $root/tests/quality/cases --csv > "$figures/shipped.csv"
cp "$figures/shipped.csv" $root/tests/quality/results.csv
python3 -m carat_train.check_engine --carat "$carat" --float "$work/float.gguf" --quantized ../carat-default.gguf --before "$figures/before.gguf" --json "$figures/checks.json"
python3 -m carat_train.card --run "$run" --figures "$figures" --gguf ../carat-default.gguf

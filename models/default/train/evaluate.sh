#!/bin/sh
# Measures ../carat-default.gguf with the engine, beside the edition before: results.csv, agreement with the trainer, the card.
#   sh evaluate.sh RUN BEFORE.gguf
set -e
cd "$(dirname "$0")"
run=$1
before=$2
work=${CARAT_TRAIN_WORK:-$HOME/.cache/carat-train}
figures=$work/figures
root=../../..
(cd $root && cargo build --release -p carat)
carat=$root/target/release/carat
mkdir -p "$figures"
python3 -m carat_train.export --run "$run" --recipe f32 --out "$work/float.gguf"
alone() {
    "$carat" eval $root/tests/quality/cases --csv --without healing,echo,lines,beam,filter "$@"
}
alone > "$figures/alone.csv"
alone --model "$before" > "$figures/before-alone.csv"
# Only the embedded model writes several lines at once, so what the edition before did as it was shipped is in the history.
git -C $root show HEAD:tests/quality/results.csv > "$figures/before-shipped.csv"
"$carat" eval $root/tests/quality/cases --csv > "$figures/shipped.csv"
cp "$figures/shipped.csv" $root/tests/quality/results.csv
python3 -m carat_train.check_engine --carat "$carat" --float "$work/float.gguf" --quantized ../carat-default.gguf --before "$before" --json "$figures/checks.json"
python3 -m carat_train.card --run "$run" --figures "$figures" --gguf ../carat-default.gguf

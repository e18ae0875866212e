#!/bin/sh
# Measures ../carat-default.gguf with the engine: results.csv, agreement with the trainer, the card.
set -e
cd "$(dirname "$0")"
run=${1:-c2}
work=${CARAT_TRAIN_WORK:-$HOME/.cache/carat-train}
root=../../..
(cd $root && cargo build --release -p carat)
carat=$root/target/release/carat
python3 -m carat_train.export --run "$run" --recipe f32 --out "$work/float.gguf"
"$carat" eval $root/tests/quality/cases --csv > "$work/results.csv"
cp "$work/results.csv" $root/tests/quality/results.csv
python3 -m carat_train.check_engine --carat "$carat" --float "$work/float.gguf" --quantized ../carat-default.gguf --json "$work/checks.json"
python3 -m carat_train.card --run "$run" --checks "$work/checks.json" --gguf ../carat-default.gguf

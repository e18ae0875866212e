#!/bin/sh
# The model from nothing: an hour for the data, then as long as the steps take. Started again, it goes on.
set -e
cd "$(dirname "$0")"
python3 -m carat_train.fetch
python3 -m carat_train.corpus
[ -f "${CARAT_TRAIN_WORK:-$HOME/.cache/carat-train}/tokenizer.json" ] || python3 -m carat_train.tokenizer --vocab 8192
sh train.sh --config configs/c2.toml --run c2 --steps "${STEPS:-56000}"
python3 -m carat_train.export --run c2 --out ../carat-default.gguf
sh evaluate.sh c2

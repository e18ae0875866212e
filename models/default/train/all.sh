#!/bin/sh
# The model from nothing. On two cores: half an hour for the data, then as long as MINUTES says.
set -e
cd "$(dirname "$0")"
python3 -m carat_train.fetch
python3 -m carat_train.corpus
python3 -m carat_train.tokenizer --vocab 8192
python3 -m carat_train.cases
sh train.sh --config configs/a1.toml --run a1 --minutes "${MINUTES:-85}"
python3 -m carat_train.export --run a1 --out ../carat-default.gguf
sh evaluate.sh a1

#!/bin/sh
# Every stage on Python's standard library with a tiny model; five minutes on two cores, no network.
set -e
cd "$(dirname "$0")"
work=${1:-$(mktemp -d)}
export CARAT_TRAIN_WORK="$work"
python3 -m carat_train.corpus --standard-library
python3 -m carat_train.tokenizer --vocab 2048 --phrases 100 --megabytes 4 --languages python:1.0
rm -rf "$work/runs/smoke"
python3 -m carat_train.check_kernels
sh train.sh --config configs/smoke.toml --run smoke --steps 60 --stop-after 30
sh train.sh --config configs/smoke.toml --run smoke --steps 60
python3 -m carat_train.export --run smoke --out "$work/smoke.gguf"
python3 -m carat_train.export --run smoke --out "$work/smoke.f32.gguf" --recipe f32
mv "$work/tokenizer.json" "$work/tokenizer.first.json"
python3 -m carat_train.tokenizer --restore "$work/smoke.gguf"
rm -rf "$work/runs/again"
sh train.sh --config configs/smoke.toml --run again --from "$work/smoke.gguf" --steps 5
python3 -m carat_train.evaluate --gguf "$work/smoke.gguf" --cases ../../../tests/quality/cases/python.jsonl --limit 5
python3 -m carat_train.evaluate --gguf "$work/smoke.gguf" --bits --windows 8
echo "smoke run passed: $work"

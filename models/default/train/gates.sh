#!/bin/sh
# The comparisons that a recipe wants before its long run: equal steps from the same weights, each run with one
# setting changed. Started again it goes on; with more steps too, as long as these are below three quarters of $whole,
# where the decay would begin. `python -m carat_train.gates` compares what has come out.
#
#     sh gates.sh FROM.gguf [STEPS]
set -e
from=$(realpath "$1") steps=${2:-1000} whole=5100
cd "$(dirname "$0")"
work=${CARAT_TRAIN_WORK:-$HOME/.cache/carat-train}

# The step of a run's last checkpoint.
saved() {
    ls "$work/runs/$1" 2>/dev/null | sed -n 's/^checkpoint-0*\([0-9]*\)\.pt$/\1/p' | sort -n | tail -n 1
}

gate() {
    name=gate-$1
    shift
    at=$(saved "$name")
    [ "${at:-0}" -lt "$steps" ] || return 0
    sh train.sh --config configs/a2.toml --run "$name" --from "$from" --steps $whole --stop-after $((steps - ${at:-0})) \
        --set train.evaluate_tokens=4e6 "$@"
    at=$(saved "$name")
    [ "${at:-0}" -ge "$steps" ] || exit 1      # asked to stop
}

gate near --set fim.near_suffix=2
gate base
gate alone --set fim.with_chunks=0.0
gate window --set model.window=256

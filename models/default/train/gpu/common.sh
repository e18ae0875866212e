# What the scripts of this folder share; they run on the machine with the GPU, in the repository's root.
set -e
root=$(pwd)
train=$root/models/default/train
export CARAT_TRAIN_WORK=${CARAT_GPU_WORK:-/tmp/carat}
export PYTHONPATH=$train:$CARAT_TRAIN_WORK/site PYTHONUNBUFFERED=1
export TOKENIZERS_PARALLELISM=false
# Compiled kernels outlive the process that made them.
export TORCHINDUCTOR_CACHE_DIR=$CARAT_TRAIN_WORK/inductor
OUT=${OUT:-$CARAT_TRAIN_WORK/out}
mkdir -p "$CARAT_TRAIN_WORK" "$OUT"
# The lease: half an hour from before the first command, of which the start took up to three minutes.
[ -f "$CARAT_TRAIN_WORK/began" ] || echo $(($(date +%s) - ${CARAT_GPU_START:-150})) > "$CARAT_TRAIN_WORK/began"
began=$(cat "$CARAT_TRAIN_WORK/began")
left() { echo $((began + ${CARAT_GPU_LEASE:-1800} - $(date +%s))); }
# Does the process still run? One that has ended may be waiting for a parent that never asks.
running() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

#!/bin/sh
# check.sh CONFIG [settings]: is this machine fit? Gradients against plain operations, then a few steps for the speed.
. "$(dirname "$0")/common.sh"
config=$1
shift
nvidia-smi --query-gpu=name,memory.free --format=csv,noheader 2>/dev/null || echo "no GPU"
(cd "$train" && timeout 150 python3 -m unittest tests.test_ops.SameGradients.test_gpu 2>&1 | tail -4)
rm -rf "$CARAT_TRAIN_WORK/runs/check"
timeout 240 python3 -m carat_train.train --config "$train/configs/$config.toml" --run check --steps "${CHECK_STEPS:-24}" --set train.log_every=4 \
  --set train.evaluate_tokens=0 "$@" 2>&1 | cut -c1-200
rm -rf "$CARAT_TRAIN_WORK/runs/check"
echo "$(left) s of the lease are left"

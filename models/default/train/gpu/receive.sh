#!/bin/sh
# receive.sh PIECE...: unpack the pieces that came with this call (.gpu/0, .gpu/1, ..).
. "$(dirname "$0")/common.sh"
for piece in "$@"; do
  python3 -m carat_train.pack --unpack "$piece" --into "$CARAT_TRAIN_WORK"
done
if ls "$CARAT_TRAIN_WORK"/wheels/*.whl >/dev/null 2>&1 && [ ! -d "$CARAT_TRAIN_WORK/site" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$CARAT_TRAIN_WORK/site" "$CARAT_TRAIN_WORK"/wheels/*.whl
fi
echo "$(left) s of the lease are left"

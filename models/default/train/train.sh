#!/bin/sh
# carat_train.train with an allocator that keeps its memory: returning it to the system after every
# operation costs a CPU run a third of its time.
cd "$(dirname "$0")" || exit 1
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
export OMP_NUM_THREADS=1
exec python3 -m carat_train.train "$@"

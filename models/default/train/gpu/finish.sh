#!/bin/sh
# finish.sh RUN: end the run if it has not ended, quantize, compare with the engine, and leave the file in $OUT in
# parts of 15 MiB (`cat RUN.gguf.* > RUN.gguf`), with its digest, the logs and what the comparison found.
. "$(dirname "$0")/common.sh"
run=$1
trainer=$(cat "$CARAT_TRAIN_WORK/log/$run.pid" 2>/dev/null || echo)
if [ -n "$trainer" ] && kill -TERM "$trainer" 2>/dev/null; then
  for _ in $(seq 60); do running "$trainer" || break; sleep 1; done
fi
cd "$CARAT_TRAIN_WORK"
python3 -m carat_train.export --run "$run" --out "$run.gguf"
split -b 15m -d -a 1 "$run.gguf" "$OUT/$run.gguf."
{ sha256sum "$run.gguf"; ls -l "$run.gguf"; } > "$OUT/digest.txt"
tar -czf "$OUT/logs.tar.gz" -C "$CARAT_TRAIN_WORK" log "runs/$run/log.jsonl" "runs/$run/progress.jsonl" "runs/$run/tokenizer.json"
cat "$OUT/digest.txt"
# What follows may fail or be cut off: the file is safe.
if [ -x bin/carat ]; then
  python3 -m carat_train.export --run "$run" --recipe f32 --out float.gguf
  timeout "${CHECK_SECONDS:-120}" python3 -m carat_train.check_engine --carat bin/carat --float float.gguf --quantized "$run.gguf" \
    --prompts "${PROMPTS:-6}" --files 6 --json "$OUT/checks.json" || echo "the comparison with the engine failed or took too long"
fi
echo "$(left) s of the lease are left"

#!/bin/sh
# watch.sh RUN SECONDS: stay in the foreground, so that the machine is not given back; ends early with the run.
. "$(dirname "$0")/common.sh"
run=$1
until=$(($(date +%s) + $2))
trainer=$(cat "$CARAT_TRAIN_WORK/log/$run.pid")
while [ "$(date +%s)" -lt "$until" ] && running "$trainer"; do
  sleep "${EVERY:-20}"
  tail -n 1 "$CARAT_TRAIN_WORK/log/$run.log" | cut -c1-220
done
tail -n 3 "$CARAT_TRAIN_WORK/log/$run.pace.log"
grep -h bits_per_byte "$CARAT_TRAIN_WORK/log/$run.log" | tail -n 1 || true
running "$trainer" && echo "it goes on" || echo "the run has ended"
echo "$(left) s of the lease are left"

#!/bin/sh
# start.sh CONFIG RUN STEPS [settings]: train in a process that outlives this command; STEPS is a first guess,
# which `pace` corrects so that the run ends RESERVE seconds (300) before the lease does.
. "$(dirname "$0")/common.sh"
config=$1 run=$2 steps=$3
shift 3
mkdir -p "$CARAT_TRAIN_WORK/log"
setsid nohup python3 -m carat_train.train --config "$train/configs/$config.toml" --run "$run" --steps "$steps" "$@" \
  > "$CARAT_TRAIN_WORK/log/$run.log" 2>&1 < /dev/null &
trainer=$!
echo $trainer > "$CARAT_TRAIN_WORK/log/$run.pid"
setsid nohup python3 -m carat_train.pace --run "$run" --trainer $trainer --deadline $((began + ${CARAT_GPU_LEASE:-1800} - ${RESERVE:-300})) \
  > "$CARAT_TRAIN_WORK/log/$run.pace.log" 2>&1 < /dev/null &
echo "started as process $trainer; $(left) s of the lease are left"

"""Keep a run's end before a deadline: lay its schedule anew by the speed that its log shows.

    python -m carat_train.pace --run b2 --deadline 1795280000

Until the decay begins, the number of steps is written again and again (see schedule.Control), so that
the last step falls shortly before the deadline, a time in seconds since 1970. Once the decay has begun
its length stands; if the run is late all the same, it is asked at the deadline to save and end, which
costs the last part of the decay. A run's own arithmetic never reads the clock.
"""

import json
import os
import signal
import time
from pathlib import Path

from .schedule import Control
from .workdir import parser

MARGIN = 0.94       # of the speed seen so far: the last phase quantizes weights, and evaluations take time


def speed(lines):
    """Steps in a second, over the last lines of a log, or None if it has too few."""
    recent = lines[-30:]
    if len(recent) < 3 or recent[-1]["time"] <= recent[0]["time"]:
        return None
    return (recent[-1]["step"] - recent[0]["step"]) / (recent[-1]["time"] - recent[0]["time"])


def steps_until(lines, deadline):
    """Where a run can end by the deadline, or None if that is not known yet."""
    rate = speed(lines)
    if rate is None:
        return None
    last = lines[-1]
    return max(last["step"] + 1, last["step"] + int((deadline - last["time"]) * rate * MARGIN))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended may be waiting for a parent that never asks.
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "\nState:\tZ" not in status.read_text()


def main():
    p = parser(__doc__)
    p.add_argument("--run", required=True)
    p.add_argument("--deadline", type=float, required=True)
    p.add_argument("--trainer", type=int, help="process to ask for an end at the deadline")
    p.add_argument("--every", type=float, default=10, help="seconds between looks")
    args = p.parse_args()
    folder = args.work / "runs" / args.run
    control = Control(folder)
    while time.time() < args.deadline and (args.trainer is None or alive(args.trainer)):
        path = folder / "log.jsonl"
        lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []
        decaying = bool(lines) and lines[-1]["lr"] < 1 and len(lines) > 30
        steps = None if decaying else steps_until(lines, args.deadline)
        if steps:
            control.write(steps)
            print(f"step {lines[-1]['step']}, {speed(lines):.2f} steps a second: the run ends at {steps}", flush=True)
        time.sleep(args.every)
    if args.trainer and alive(args.trainer):
        print("the deadline has come: asking the trainer to end", flush=True)
        os.kill(args.trainer, signal.SIGTERM)


if __name__ == "__main__":
    main()

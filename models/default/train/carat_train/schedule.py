"""How far a run has come: everything follows from the number of steps, nothing from the clock.

Warm-up, a constant rate, a linear decay to zero over the last part with samples of its own
(`[decay.fim]`), and at its end weights as the file will hold them.
"""

import json
import os

import torch

STEPS, DECAY_FROM, QAT_FROM = range(3)


class Schedule:
    """The three step numbers that shape a run, in memory that all its processes share."""

    def __init__(self, steps, c):
        self.warmup, self.decay_share, self.qat_share = c.warmup, c.decay_share, c.qat_share
        self.at = torch.zeros(3, dtype=torch.int64).share_memory_()
        self.lay(steps)

    def lay(self, steps, not_before=0):
        """Lay the schedule over `steps`; the decay does not begin before the step `not_before`."""
        self.at[STEPS] = steps
        self.at[DECAY_FROM] = max(not_before, steps - round(steps * self.decay_share))
        self.at[QAT_FROM] = max(not_before, steps - round(steps * self.qat_share))

    @property
    def steps(self):
        return int(self.at[STEPS])

    def decaying(self, step):
        return step >= int(self.at[DECAY_FROM])

    def quantized(self, step):
        return step >= int(self.at[QAT_FROM])

    def factor(self, step):
        """The factor on the learning rates in `step`, from 0."""
        warm = min(1.0, (step + 1) / self.warmup)
        if not self.decaying(step):
            return warm
        steps, start = int(self.at[STEPS]), int(self.at[DECAY_FROM])
        return max(0.0, min(warm, (steps - step) / max(1, steps - start)))

    def saved(self):
        return self.at.tolist()

    def restore(self, saved):
        self.at.copy_(torch.tensor(saved))


class Control:
    """The file `steps` of a run's folder: written at the start, and read while the run goes on.

    Whoever writes another number there moves the end of the run, which is sound as long as the decay
    has not begun. With a deadline, `carat_train.pace` writes it by the speed that the log shows.
    """

    def __init__(self, folder):
        self.path, self.seen = folder / "steps", None

    def write(self, steps):
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(f"{steps}\n")
        os.replace(temporary, self.path)
        self.seen = self.changed_at()

    def changed_at(self):
        try:
            return self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def asked(self):
        """The number of steps that somebody has written since the last look, or None."""
        now = self.changed_at()
        if now is None or now == self.seen:
            return None
        self.seen = now
        try:
            steps = json.loads(self.path.read_text())
        except ValueError:
            return None
        return steps if isinstance(steps, int) and steps > 0 else None

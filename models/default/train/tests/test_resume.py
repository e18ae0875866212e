"""A run that is killed again and again ends with the weights of one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import torch

from carat_train import checkpoint
from carat_train.workdir import TRAIN_DIR
from tests import tiny

STEPS = 240
KILLS = 10


def start(work, config, run, *more):
    command = [sys.executable, "-m", "carat_train.train", "--work", work, "--config", config, "--run", run, "--steps", str(STEPS), *more]
    # A session of its own, so that a signal to the group reaches the workers and nobody else.
    return subprocess.Popen(list(map(str, command)), cwd=TRAIN_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


class Resume(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = Path(cls.folder.name)
        cls.config = tiny.make(cls.work)
        cls.whole = cls.left_alone("whole")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def left_alone(cls, run, *more):
        trainer = start(cls.work, cls.config, run, *more)
        output, _ = trainer.communicate(timeout=600)
        if trainer.returncode:
            raise AssertionError(output)
        return checkpoint.of_run(cls.work, run)

    def compare(self, run):
        found = checkpoint.of_run(self.work, run)
        self.assertEqual(found["step"], STEPS)
        for part in ("model", "states", "tokens", "schedule", "loads"):
            self.assertTrue(equal(found[part], self.whole[part]), f"{part} differs")

    def test_killed_at_random(self):
        rng = random.Random(os.environ.get("SEED", 5))
        ways, steps, kills = [], [], 0
        while kills < KILLS:
            trainer = start(self.work, self.config, "killed")
            step = 0
            target = (checkpoint.latest(self.work / "runs/killed") or {"step": 0})["step"] + rng.randint(1, 2 * STEPS // KILLS)
            for line in trainer.stdout:
                step = json.loads(line)["step"] if line.startswith('{"step"') else step
                if step >= target:
                    break
            if trainer.poll() is not None or step >= STEPS:
                trainer.communicate(timeout=120)
                break
            time.sleep(rng.random() * 0.3)      # anywhere within a step, a save or an evaluation
            way = ["kill all", "kill the parent", "kill a worker", "terminate all", "interrupt all", "terminate the parent"][kills % 6]
            if way == "kill all":
                os.killpg(trainer.pid, signal.SIGKILL)
            elif way == "kill the parent":
                trainer.kill()
            elif way == "kill a worker":
                os.kill(rng.choice(children(trainer.pid)), signal.SIGKILL)
            elif way == "terminate the parent":
                trainer.terminate()
            else:
                os.killpg(trainer.pid, signal.SIGTERM if way == "terminate all" else signal.SIGINT)
            rest, _ = trainer.communicate(timeout=120)
            saved = (checkpoint.latest(self.work / "runs/killed") or {"step": 0})["step"]
            if way.startswith(("terminate", "interrupt")) and trainer.returncode == 0:
                # Asked in good manners, it loses nothing that it had said to have done.
                self.assertGreaterEqual(saved, step, rest)
            ways.append(way)
            steps.append(saved)
            kills += 1
        self.assertGreaterEqual(kills, 6, "too few kills to show anything")
        self.left_alone("killed")
        self.compare("killed")
        self.assertLessEqual(len(checkpoint.existing(self.work / "runs/killed")), checkpoint.KEPT)
        lines = [json.loads(line)["step"] for line in (self.work / "runs/killed/log.jsonl").read_text().splitlines()]
        self.assertEqual(lines, sorted(set(lines)), "a step is logged once")
        print(f"\n{kills} kills ({', '.join(ways)}), checkpoints at {steps}", file=sys.stderr)

    def test_chain_of_parts(self):
        for _ in range(3):
            self.left_alone("chain", "--stop-after", STEPS // 4)
        self.left_alone("chain")
        self.compare("chain")

    def test_samples_made_by_other_processes(self):
        self.left_alone("loaders", "--set", "train.loaders=2")      # it ends, and is the same
        self.compare("loaders")

    def test_refuses_what_has_changed(self):
        for change, word in ((("--set", "train.muon_lr=0.5"), "train.muon_lr"), (("--set", "model.ffn=64"), "model.ffn")):
            trainer = start(self.work, self.config, "whole", *change)
            output, _ = trainer.communicate(timeout=120)
            self.assertNotEqual(trainer.returncode, 0)
            self.assertIn(word, output)


if __name__ == "__main__":
    unittest.main()

"""Train, resume, anneal.

    python -m carat_train.train --config configs/a1.toml --run a1 --minutes 90
    python -m carat_train.train --config configs/a1.toml --run a1 --minutes 90          # goes on where it stopped
    python -m carat_train.train --config configs/a1.toml --run a2 --from carat-default.gguf --minutes 90

The schedule (warm-up, stable, linear decay to zero, quantization-aware at the very end) is laid over
the time that the run has, or over `--steps`. With `--no-decay` the run stays at full rate, so that a
later one can go on from it.

On CPU there are as many workers as cores, each with one thread and its own part of the batch. They
share weights and gradients in memory; each updates the parameters it owns. This wastes less than
threads inside operations do when the machine has other work.
"""

import json
import math
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import torch.multiprocessing as mp

from . import config, gguf_io, qat
from .kernels import KernelOps, library as compile_kernels
from .loader import Loader
from .model import HeadLoss, Model, Ops
from .optim import Optimizer, is_muon
from .workdir import parser


def trainable(model):
    return [(n, p) for n, p in model.named_parameters() if "layer_output_scale" not in n]


def owners(model, workers):
    """Parameters by worker, so that the cost of the update is even."""
    load, mine = [0.0] * workers, [[] for _ in range(workers)]
    for name, p in sorted(trainable(model), key=lambda np: -np[1].numel()):
        w = load.index(min(load))
        mine[w].append((name, p))
        load[w] += p.numel() * (8 if is_muon(name) else 1)
    return mine


class Schedule:
    """Progress from 0 to 1 by time or by steps, and the factor on the learning rates."""

    def __init__(self, args, c, start):
        self.args, self.c, self.start = args, c, start

    def progress(self, step):
        if self.args.steps:
            return step / self.args.steps
        return (time.time() - self.start) / (self.args.minutes * 60)

    def factor(self, step, progress):
        warm = min(1.0, (step + 1) / self.c.warmup)
        if self.args.no_decay or progress < 1 - self.c.decay_share:
            return warm
        return max(0.0, min(warm, (1 - progress) / self.c.decay_share))


class Worker:
    def __init__(self, rank, shared):
        self.rank, self.shared = rank, shared
        self.args, self.conf = shared["args"], shared["config"]
        self.c = self.conf.train
        self.model = shared["model"]
        # Before the device is touched: the loader may fork.
        self.loader = Loader(self.args.work, self.conf, rank, shared["step"] * self.c.micro_batches, self.c.loaders)
        self.model.ops = KernelOps() if self.c.device == "cpu" else Ops(compiled=True)
        if self.c.device != "cpu":
            self.model.to(self.c.device)
        self.params = trainable(self.model)
        self.grads = shared["grads"][rank] if self.c.device == "cpu" else torch.zeros(shared["size"], device=self.c.device)
        at = 0
        for _, p in self.params:
            p.grad = self.grads[at:at + p.numel()].view_as(p)
            at += p.numel()
        self.offsets = dict(zip([n for n, _ in self.params], self.running([p.numel() for _, p in self.params])))
        mine = owners(self.model, self.c.workers)[rank]
        self.optimizer = Optimizer(mine, self.c)
        if shared["states"]:
            for name, state in shared["states"].items():
                if name in self.optimizer.state:
                    self.optimizer.state[name] = {k: v.to(self.c.device) if torch.is_tensor(v) else v for k, v in state.items()}
    @staticmethod
    def running(sizes):
        at = 0
        for n in sizes:
            yield at
            at += n

    def accumulate(self, step, progress):
        """Gradients of this worker's part of the batch; returns loss sums and the routers' loads."""
        m, total = self.model, torch.zeros(4)
        loads = []
        self.loader.annealing.value = int(not self.args.no_decay and progress >= 1 - self.c.decay_share)
        for micro in range(self.c.micro_batches):
            x, y, w = (t.to(self.c.device) for t in self.loader.get(step * self.c.micro_batches + micro))
            norm = w.sum() * self.c.micro_batches * self.c.workers
            h, routers = m.hidden(x)
            loss, nll = HeadLoss.apply(h, m.use(m.token_embd), y, w / norm, m.c.softcap, 1024 if x.device.type == "cpu" else 8192, m.ops)
            balance = sum(b for b, _ in routers) / max(1, len(routers)) / (self.c.micro_batches * self.c.workers)
            (loss + self.c.balance * len(routers) * balance).backward()
            nll, inside = nll.detach(), w > 1.01
            total += torch.tensor([nll[w > 0].sum(), (w > 0).sum(), nll[inside].sum(), inside.sum()], dtype=torch.float32)
            loads.append(torch.stack([l for _, l in routers]).cpu())
        return total, torch.stack(loads).mean(0)

    def update(self, factor):
        """Sum the workers' gradients of the parameters that this worker owns, clip, step."""
        grads = {}
        for name, p in self.optimizer.named:
            if self.c.device == "cpu" and self.c.workers > 1:
                a = self.offsets[name]
                g = sum(buffer[a:a + p.numel()] for buffer in self.shared["grads"]).view_as(p)
            else:
                g = p.grad
            grads[name] = g
        self.shared["norms"][self.rank] = sum(g.square().sum() for g in grads.values()).cpu()
        self.shared["barrier"].wait()
        norm = self.shared["norms"].sum().sqrt().item()
        if not math.isfinite(norm):
            raise SystemExit("the gradient is not finite; the last save is from before this step")
        clip = min(1.0, self.c.clip / (norm + 1e-6))
        for g in grads.values():
            g.mul_(clip)
        self.optimizer.step(grads, factor)
        self.shared["barrier"].wait()
        self.grads.zero_()
        return norm

    def run(self):
        shared, c = self.shared, self.c
        schedule = Schedule(self.args, c, shared["start"])
        step, tokens, saved, began = shared["step"], shared["tokens"], time.time(), time.time()
        log = open(shared["folder"] / "log.jsonl", "a") if self.rank == 0 else None
        while True:
            # Rank 0 decides for all: clocks of processes may differ by a step.
            if self.rank == 0:
                shared["progress"][0] = schedule.progress(step)
                save = time.time() - saved > c.save_minutes * 60 or shared["progress"][0] >= 1 or shared["stop"].value
                shared["flags"][0], shared["flags"][1] = int(save), int(shared["progress"][0] >= 1 or shared["stop"].value)
            shared["barrier"].wait()
            progress = float(shared["progress"][0])
            if shared["flags"][0]:
                self.save(step, tokens, last=bool(shared["flags"][1]))
                saved = time.time()
            if shared["flags"][1]:
                return
            if not self.args.no_decay and progress >= 1 - c.qat_share and self.model.quantizer is None:
                self.model.quantizer = qat.fake_quantize
            total, load = self.accumulate(step, progress)
            shared["totals"][self.rank] = total
            shared["loads"][self.rank] = load
            shared["barrier"].wait()
            factor = schedule.factor(step, progress)
            norm = self.update(factor)
            step += 1
            tokens += c.tokens_per_batch * c.micro_batches * c.workers
            if self.rank == 0 and step % c.log_every == 0:
                t, l = shared["totals"].sum(0), shared["loads"].mean(0)
                line = {"step": step, "tokens": tokens, "loss": round(float(t[0] / t[1]), 4), "middle": round(float(t[2] / t[3].clamp(min=1)), 4),
                        "lr": round(factor, 4), "norm": round(norm, 3), "progress": round(progress, 4), "time": round(time.time()),
                        "tokens_per_s": round(c.log_every * c.tokens_per_batch * c.micro_batches * c.workers / (time.time() - began)),
                        "least_load": round(float(l.min() * l.shape[-1]), 3), "most_load": round(float(l.max() * l.shape[-1]), 3),
                        "qat": self.model.quantizer is not None}
                began = time.time()
                log.write(json.dumps(line) + "\n")
                log.flush()
                print(line, flush=True)

    def save(self, step, tokens, last):
        """Every worker writes the state of what it owns; rank 0 writes the weights."""
        folder = self.shared["folder"]
        self.write({"states": self.optimizer.state}, folder / f"optimizer.{self.rank}.pt")
        self.shared["barrier"].wait()
        if self.rank == 0:
            state = {n: p.detach().cpu() for n, p in self.model.state_dict().items()}
            self.write({"model": state, "config": asdict(self.conf.model), "step": step, "tokens": tokens,
                        "start": self.shared["start"], "loads": self.shared["loads"].mean(0)}, folder / "model.pt")
            print("saved at step", step, "the end" if last else "", flush=True)
        self.shared["barrier"].wait()

    @staticmethod
    def write(data, path):
        torch.save(data, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)


def work(rank, shared):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1 if shared["config"].train.device == "cpu" else 8)
    Worker(rank, shared).run()


def main():
    p = parser(__doc__)
    p.add_argument("--config", type=Path, required=True)
    p.add_argument("--run", required=True, help="name of the folder WORK/runs/NAME")
    p.add_argument("--minutes", type=float, default=60, help="length of the schedule by the clock, from the first start of the run")
    p.add_argument("--steps", type=int, help="length of the schedule in steps instead")
    p.add_argument("--from", dest="source", type=Path, help="start from a GGUF file (dequantized) or from a run's model.pt, with a fresh optimiser")
    p.add_argument("--no-decay", action="store_true")
    p.add_argument("--restart-clock", action="store_true", help="lay the schedule over the time from now on")
    args = p.parse_args()
    conf = config.load(args.config)
    c = conf.train
    folder = args.work / "runs" / args.run
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(c.seed)
    model = Model(conf.model, torch.bfloat16)
    model.load_state_dict(model.state_dict())
    step, tokens, start, states = 0, 0, time.time(), {}
    if (folder / "model.pt").exists():
        saved = torch.load(folder / "model.pt", weights_only=False)
        model.load_state_dict(saved["model"])
        step, tokens, start = saved["step"], saved["tokens"], saved["start"]
        for path in sorted(folder.glob("optimizer.*.pt")):
            states |= torch.load(path, weights_only=False)["states"]
    elif args.source:
        state = gguf_io.read(args.source)[1] if args.source.suffix == ".gguf" else torch.load(args.source, weights_only=False)["model"]
        model.load_state_dict(state)
    if args.restart_clock:
        start = time.time()
    size = sum(p.numel() for _, p in trainable(model))
    L, E = len(conf.model.layers), max(1, conf.model.experts)
    context = mp.get_context("spawn")
    shared = {
        "args": args, "config": conf, "model": model, "folder": folder, "step": step, "tokens": tokens, "start": start,
        "states": states, "size": size, "barrier": context.Barrier(c.workers), "stop": context.Value("i", 0),
        "grads": torch.zeros(c.workers if c.device == "cpu" else 0, size).share_memory_(),
        "norms": torch.zeros(c.workers).share_memory_(), "totals": torch.zeros(c.workers, 4).share_memory_(),
        "loads": torch.zeros(c.workers, L, E).share_memory_(), "flags": torch.zeros(2, dtype=torch.int).share_memory_(),
        "progress": torch.zeros(1, dtype=torch.float64).share_memory_(),
    }
    if c.device == "cpu":
        compile_kernels()       # once, before the workers want it
    print(f"{size / 1e6:.1f}M parameters, step {step}, {tokens} tokens", flush=True)
    if c.device == "cpu":
        model.share_memory()
    workers = [context.Process(target=work, args=(rank, shared)) for rank in range(c.workers)]
    for w in workers:
        w.start()
    # Asked to stop, the workers save first.
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: setattr(shared["stop"], "value", 1))
    while any(w.is_alive() for w in workers):
        time.sleep(0.5)
        if any(w.exitcode for w in workers if w.exitcode is not None):
            for w in workers:
                w.terminate()
            raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()

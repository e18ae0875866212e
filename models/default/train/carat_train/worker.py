"""One worker of a run: its part of every batch, the update of the parameters it owns, and rank 0's duties."""

import json
import math
import signal
import time
from dataclasses import dataclass

import torch
import torch.multiprocessing as mp

from . import checkpoint, qat
from .follow import Follow
from .kernels import KernelOps
from .lifetime import die_with_parent
from .loader import Loader
from .model import HeadLoss, Ops
from .optim import Optimizer, is_muon
from .tokenizer import CodeTokenizer

SAVE, EVALUATE, END = range(3)      # what rank 0 tells all to do before a step


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


@dataclass
class Shared:
    """What all processes of a run have in common; tensors lie in shared memory."""
    config: object
    model: object
    work: object
    folder: object
    schedule: object
    control: object
    states: dict            # of the optimiser, by parameter
    step: int
    tokens: int
    size: int
    barrier: object
    stop: object
    grads: torch.Tensor     # a row for each worker (CPU)
    norms: torch.Tensor
    totals: torch.Tensor    # loss sums of each worker
    loads: torch.Tensor     # of the experts, by worker and layer
    found: torch.Tensor     # sums of the evaluation, by worker
    orders: torch.Tensor
    fixed: dict = None      # what every checkpoint says of the run
    stop_at: int = 0

    @classmethod
    def make(cls, conf, model, work_folder, folder, schedule, control, states, step, tokens):
        c, context = conf.train, mp.get_context("spawn")
        size = sum(p.numel() for _, p in trainable(model))
        layers, experts = len(conf.model.layers), max(1, conf.model.experts)
        languages = len(set(conf.fim.languages) | set(conf.decay_fim.languages))
        shared = lambda *shape, **kind: torch.zeros(*shape, **kind).share_memory_()
        return cls(conf, model, work_folder, folder, schedule, control, states, step, tokens, size,
                   context.Barrier(c.workers), context.Value("i", 0), shared(c.workers if c.device == "cpu" else 0, size),
                   shared(c.workers), shared(c.workers, 4), shared(c.workers, layers, experts),
                   shared(c.workers, languages, 8, dtype=torch.float64), shared(3, dtype=torch.int64))


class Worker:
    def __init__(self, rank, shared):
        self.rank, self.shared, self.conf = rank, shared, shared.config
        self.c = c = self.conf.train
        self.model = shared.model
        # Before the device is touched: the loader may fork.
        self.loader = Loader(shared.work, self.conf, shared.schedule, rank, shared.step * c.micro_batches, c.loaders)
        self.follow = Follow(shared.work, CodeTokenizer.load(shared.work), self.conf, rank) if c.evaluate_tokens else None
        self.model.ops = KernelOps(self.model.compute_dtype) if c.device == "cpu" else Ops(compiled=c.compile)
        states = shared.states
        if c.device != "cpu":
            self.model.to(c.device)
            # Counters stay here: reading them must not wait for the device.
            states = {n: {k: v if k == "t" else v.to(c.device) for k, v in s.items()} for n, s in states.items()}
        self.states = states
        self.params = trainable(self.model)
        self.grads = shared.grads[rank] if c.device == "cpu" else torch.zeros(shared.size, device=c.device)
        self.offsets, at = {}, 0
        for name, p in self.params:
            p.grad = self.grads[at:at + p.numel()].view_as(p)
            self.offsets[name] = at
            at += p.numel()
        self.optimizer = Optimizer(owners(self.model, c.workers)[rank], c, states)

    def accumulate(self, step):
        """Gradients of this worker's part of the batch; returns loss sums and the routers' loads."""
        m, c, total = self.model, self.c, torch.zeros(4, device=self.c.device)
        loads = []
        for micro in range(c.micro_batches):
            x, y, w = (t.to(c.device, non_blocking=True) for t in self.loader.get(step * c.micro_batches + micro))
            norm = w.sum() * c.micro_batches * c.workers
            h, routers = m.hidden(x)
            loss, nll = HeadLoss.apply(h, m.use(m.token_embd), y, w / norm, m.c.softcap, 1024 if c.device == "cpu" else 8192, m.ops)
            balance = sum(b for b, _ in routers) / max(1, len(routers)) / (c.micro_batches * c.workers)
            (loss + c.balance * len(routers) * balance).backward()
            nll, counted, inside = nll.detach(), w > 0, w > 1.01
            total += torch.stack([(nll * counted).sum(), counted.sum(), (nll * inside).sum(), inside.sum()]).float()
            loads += [torch.stack([l for _, l in routers])] if routers else []
        return total.cpu(), torch.stack(loads).mean(0).cpu() if loads else 0.0

    def update(self, factor):
        """Sum the workers' gradients of the parameters that this worker owns, clip, step."""
        shared, grads = self.shared, {}
        for name, p in self.optimizer.named:
            if self.c.workers > 1:
                a = self.offsets[name]
                grads[name] = sum(buffer[a:a + p.numel()] for buffer in shared.grads).view_as(p)
            else:
                grads[name] = p.grad
        shared.norms[self.rank] = sum(g.square().sum() for g in grads.values()).cpu()
        shared.barrier.wait()
        norm = shared.norms.sum().sqrt().item()
        if not math.isfinite(norm):
            raise SystemExit("the gradient is not finite; the last checkpoint is from before this step")
        clip = min(1.0, self.c.clip / (norm + 1e-6))
        for g in grads.values():
            g.mul_(clip)
        self.optimizer.step(grads, factor)
        shared.barrier.wait()
        self.grads.zero_()
        return norm

    def run(self):
        shared, c, schedule = self.shared, self.c, self.shared.schedule
        step, tokens = shared.step, shared.tokens
        per_step = c.tokens_per_batch * c.micro_batches * c.workers
        log = Log(shared.folder, step, per_step) if self.rank == 0 else None
        saved_at, saved_step, evaluated = time.monotonic(), step if step else -1, -1
        while True:
            if self.rank == 0:
                # Rank 0 decides for all, since a signal or the clock may reach the others a step later.
                if step % 10 == 0 and (asked := shared.control.asked()) and not schedule.decaying(step) and asked > step:
                    schedule.lay(asked, step)
                    print(f"the run now ends at step {asked}", flush=True)
                end = step >= schedule.steps or shared.stop.value or (shared.stop_at and step >= shared.stop_at)
                due = (time.monotonic() - saved_at) > c.save_minutes * 60
                passed = c.evaluate_tokens and tokens // c.evaluate_tokens > (tokens - per_step) // c.evaluate_tokens
                finished = c.evaluate_tokens and step >= schedule.steps
                shared.orders[SAVE] = int((end or due) and step != saved_step)
                shared.orders[EVALUATE] = int((step > shared.step and passed or finished) and evaluated != step)
                shared.orders[END] = int(end)
            shared.barrier.wait()
            save, evaluate, end = shared.orders.tolist()
            shared.barrier.wait()       # nobody overtakes the reading
            self.model.quantizer = qat.fake_quantize if schedule.quantized(step) else None
            if save:
                self.save(step, tokens)
                saved_at, saved_step = time.monotonic(), step
            if evaluate:
                self.evaluate(log, step, tokens)
                evaluated = step
            if end:
                return
            total, load = self.accumulate(step)
            shared.totals[self.rank] = total
            shared.loads[self.rank] = load
            shared.barrier.wait()
            factor = schedule.factor(step)
            norm = self.update(factor)
            step += 1
            tokens += per_step
            if log and (step % c.log_every == 0 or step == schedule.steps):
                log.step(step, tokens, shared.totals.sum(0), shared.loads.mean(0), factor, norm, self.model.quantizer is not None)

    def evaluate(self, log, step, tokens):
        """Held-out loss and exact match, each worker its share."""
        began, ops = time.monotonic(), self.model.ops
        if self.c.device != "cpu":
            self.model.ops = Ops()      # other shapes than those of training would be compiled anew
        self.shared.found[self.rank] = self.follow.measure(self.model, self.c.device)
        self.model.ops = ops
        self.shared.barrier.wait()
        if log:
            log.progress({"step": step, "tokens": tokens, **self.follow.line(self.shared.found.sum(0)),
                          "seconds": round(time.monotonic() - began, 1), "time": round(time.time())})

    def save(self, step, tokens):
        """Rank 0 writes; the others wait, so that nothing changes meanwhile."""
        if self.rank == 0:
            here = lambda t: t.detach().cpu()
            path = checkpoint.save(self.shared.folder, {
                "model": {n: here(p) for n, p in self.model.state_dict().items()},
                "states": {n: {k: here(v) for k, v in s.items()} for n, s in self.states.items()},
                "step": step, "tokens": tokens, "schedule": self.shared.schedule.saved(), "loads": self.shared.loads.mean(0), **self.shared.fixed})
            print(f"saved {path.name}", flush=True)
        self.shared.barrier.wait()


class Log:
    """`log.jsonl` (training) and `progress.jsonl` (held-out), both also printed.

    A run that was killed has lines of steps that its checkpoint does not know; they are dropped.
    """

    def __init__(self, folder, step, per_step):
        self.per_step, self.last, self.began = per_step, step, time.monotonic()
        self.files = {}
        for name in ("log.jsonl", "progress.jsonl"):
            path = folder / name
            lines = path.read_text().splitlines(keepends=True) if path.exists() else []
            kept = [line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= step]
            path.write_text("".join(kept))
            self.files[name] = open(path, "a")

    def write(self, name, line):
        self.files[name].write(json.dumps(line) + "\n")
        self.files[name].flush()
        print(json.dumps(line), flush=True)

    def step(self, step, tokens, totals, loads, factor, norm, quantized):
        now = time.monotonic()
        speed = (step - self.last) * self.per_step / (now - self.began)
        self.last, self.began = step, now
        self.write("log.jsonl", {
            "step": step, "tokens": tokens, "loss": round(float(totals[0] / totals[1]), 4), "middle": round(float(totals[2] / totals[3].clamp(min=1)), 4),
            "lr": round(factor, 4), "norm": round(norm, 3), "time": round(time.time()), "tokens_per_s": round(speed),
            "least_load": round(float(loads.min() * loads.shape[-1]), 3), "most_load": round(float(loads.max() * loads.shape[-1]), 3), "qat": quantized})

    def progress(self, line):
        self.write("progress.jsonl", line)


def work(rank, shared, parent):
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, signal.SIG_IGN)
    die_with_parent(parent)
    torch.set_num_threads(1 if shared.config.train.device == "cpu" else 8)
    worker = Worker(rank, shared)
    try:
        worker.run()
    finally:
        worker.loader.close()

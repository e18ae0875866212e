"""Micro-batches by number: made where they are needed (CPU), or by other processes ahead of time (GPU)."""

import multiprocessing as mp
import random

import torch

from .fim import Files, Sampler
from .tokenizer import CodeTokenizer


class Loader:
    """`get(i)` gives batch `i`, which depends on the seed, the worker and `i` alone.

    With `processes`, batches have to be asked for in order, and the switch to the samples of the
    decay takes effect a few batches late.
    """

    AHEAD = 4       # batches of one process

    def __init__(self, work, config, rank, first, processes):
        self.conf, self.rank = config, rank
        tok = CodeTokenizer.load(work)
        languages = set(config.fim.languages) | set(config.decay_fim.languages)
        files = {language: Files(work / f"corpus/train.{language}.jsonl") for language in sorted(languages)}
        self.samplers = [Sampler(files, tok, config.fim), Sampler(files, tok, config.decay_fim)]
        context = mp.get_context("fork")        # the texts are shared, not copied
        self.annealing = context.Value("b", 0)
        self.queues = [context.Queue(self.AHEAD) for _ in range(processes)]
        self.first = first
        for p, queue in enumerate(self.queues):
            context.Process(target=self.produce, args=(queue, first + p, processes), daemon=True).start()

    def make(self, i):
        c = self.conf.train
        seed = f"{c.seed}/{i}/{self.rank}"
        length = int(random.Random(seed).choices(list(c.lengths), list(c.lengths.values()))[0])
        x, y, w = self.samplers[self.annealing.value].batch(c.tokens_per_batch // length, length, seed)
        return torch.tensor(x), torch.tensor(y).flatten(), torch.tensor(w).flatten()

    def produce(self, queue, i, stride):
        torch.set_num_threads(1)
        while True:
            queue.put([t.numpy() for t in self.make(i)])
            i += stride

    def get(self, i):
        if not self.queues:
            return self.make(i)
        return [torch.from_numpy(a) for a in self.queues[(i - self.first) % len(self.queues)].get()]

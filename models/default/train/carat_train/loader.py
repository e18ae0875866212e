"""Micro-batches by number: made where they are needed (CPU), or by other processes ahead of time (GPU)."""

import multiprocessing as mp
import os
import random

import torch

from .fim import Files, Sampler
from .lifetime import die_with_parent
from .tokenizer import CodeTokenizer


def read_files(work, config):
    """Training files of every language that the configuration names, with an index where samples want chunks."""
    files = {}
    for fim in (config.fim, config.decay_fim):
        for language in sorted(fim.languages):
            if language not in files:
                files[language] = Files(work / f"corpus/train.{language}.jsonl")
            if fim.with_chunks and any(int(length) >= fim.chunk_rows for length in config.train.lengths):
                files[language].indexed()
    return files


class Loader:
    """`get(i)` gives batch `i`, which depends on the seed, the worker and `i` alone.

    With `processes`, batches have to be asked for in order. They are made ahead, so when a run's end is
    moved, the samples of the decay begin a few batches late.
    """

    AHEAD = 4       # batches of one process

    def __init__(self, work, config, schedule, rank, first, processes):
        self.conf, self.schedule, self.rank = config, schedule, rank
        tok = CodeTokenizer.load(work)
        files = read_files(work, config)
        self.samplers = [Sampler(files, tok, config.fim), Sampler(files, tok, config.decay_fim)]
        context = mp.get_context("fork")        # the texts are shared, not copied
        self.queues = [context.Queue(self.AHEAD) for _ in range(processes)]
        self.first = first
        self.processes = [context.Process(target=self.produce, args=(queue, first + p, processes, os.getpid()), daemon=True)
                          for p, queue in enumerate(self.queues)]
        for process in self.processes:
            process.start()

    def make(self, i):
        c = self.conf.train
        seed = f"{c.seed}/{i}/{self.rank}"
        length = int(random.Random(seed).choices(list(c.lengths), list(c.lengths.values()))[0])
        sampler = self.samplers[self.schedule.decaying(i // c.micro_batches)]
        x, y, w = sampler.batch(c.tokens_per_batch // length, length, seed)
        return torch.tensor(x), torch.tensor(y).flatten(), torch.tensor(w).flatten()

    def produce(self, queue, i, stride, parent):
        die_with_parent(parent)
        torch.set_num_threads(1)
        while True:
            queue.put([t.numpy() for t in self.make(i)])
            i += stride

    def get(self, i):
        if not self.queues:
            return self.make(i)
        return [torch.from_numpy(a) for a in self.queues[(i - self.first) % len(self.queues)].get()]

    def close(self):
        """End the processes. They ignore the signals that ask a run to end, since its last step needs them."""
        for process in self.processes:
            process.kill()

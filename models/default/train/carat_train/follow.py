"""Held-out loss and exact match while a run goes on: the curve that shows when to stop.

Bits per byte on fixed windows of held-out files, and exact match on fixed cases of
`tests/quality/cases`. The answer is not decoded: a greedy answer is the right one if, given the right
beginning, the most probable token is right at every place and the answer ends behind the last one,
which one forward pass over all places shows. All rows have the same length, since the matrix library
is slow at shapes that it meets for the first time.
"""

import hashlib
import json
import math
import random

import torch
import torch.nn.functional as F

from . import tokenizer as tk
from .filters import is_comment
from .layout import prompt
from .workdir import REPOSITORY

LENGTH, ROWS = 640, 4
CASES = {"rust": 0.5, "python": 0.2, "typescript": 0.15, "go": 0.075, "c": 0.075}
BITS, BYTES = 0, 1
NATS, TOKENS, RIGHT, ALL, HARD_RIGHT, HARD = range(6)


def trivial(middle, language):
    """Fewer than three letters or digits, or a comment; as `carat eval` counts."""
    text = middle.strip()
    return sum(c.isalnum() for c in text) < 3 or is_comment(text, language)


def by_digest(lines):
    """Lines in an order that has nothing to do with the file's and is the same if some are left out."""
    return sorted(lines, key=lambda line: hashlib.sha256(line.encode()).digest())


def ends(tok):
    """The tokens that end an answer of one line."""
    return torch.tensor([tk.EOS] + [i for i, t in enumerate(tok.tokens) if "\n" in t])


def judge(logits, middle, ends):
    """(nats of the answer, is it what greedy decoding writes), from the logits of the answer's places and the one behind."""
    middle, best = torch.tensor(middle), logits.argmax(-1)
    nats = F.cross_entropy(logits[:-1], middle, reduction="sum").item()
    return nats, bool((best[:-1] == middle).all()) and bool((ends == best[-1]).any())


@torch.no_grad()
def run(model, device, batch, wanted, length=LENGTH):
    """Each item with its logits at the places `wanted` says, in float32."""
    x = torch.full((ROWS, length), tk.PAD)
    for row, (_, ids, *_rest) in enumerate(batch):
        x[row, :len(ids)] = torch.tensor(ids)
    h = model.hidden(x.to(device))[0].view(ROWS, length, -1)
    for row, item in enumerate(batch):
        a, b = wanted(*item[1:])
        logits = F.linear(h[row, a:b], model.use(model.token_embd)).float()
        yield item, (model.c.softcap * torch.tanh(logits / model.c.softcap)).cpu()


def batches(items):
    return [items[a:a + ROWS] for a in range(0, len(items), ROWS)]


class Follow:
    """One worker's share of the windows and cases."""

    def __init__(self, work, tok, conf, rank, cases_folder=REPOSITORY / "tests/quality/cases"):
        self.languages = sorted(set(conf.fim.languages) | set(conf.decay_fim.languages))
        self.ends = ends(tok)
        windows, cases = [], []
        for index, language in enumerate(self.languages):
            held_out = work / f"corpus/held_out.{language}.jsonl"
            if held_out.exists():
                windows += [(index, *w) for w in self.windows(held_out, tok, conf.train.evaluate_windows)]
            path = cases_folder / f"{language}.jsonl"
            if path.exists():
                cases += [(index, *c) for c in self.cases(path, tok, conf, round(conf.train.evaluate_cases * CASES.get(language, 0)))]
        self.windows, self.cases = windows[rank::conf.train.workers], cases[rank::conf.train.workers]

    @staticmethod
    def windows(path, tok, count):
        """(ids, bytes) of windows that begin at a random line of a file."""
        rng = random.Random(7)
        for line in by_digest(path.read_text("utf-8").split("\n")[:-1])[:count]:
            text = json.loads(line)["text"]
            at = text.rfind("\n", 0, rng.randrange(len(text))) + 1
            ids = tok.encode(text[at:at + LENGTH * 5])[:LENGTH - 1]
            if len(ids) >= 32:
                yield [tk.BOS] + ids, len(tok.decode(ids).encode())

    @staticmethod
    def cases(path, tok, conf, count):
        """(ids, place of the first token of the answer, is it trivial)."""
        cases = [c for line in path.read_text("utf-8").split("\n")[:-1] if (c := json.loads(line))["kind"] == "line"]
        for case in random.Random(3).sample(cases, min(count, len(cases))):
            middle = tok.encode(case["middle"].rstrip())
            ids = prompt(tok, case, 400, 120, conf.fim.near_suffix)
            if len(ids) + len(middle) <= LENGTH:
                yield ids + middle, len(ids), trivial(case["middle"], case["language"])

    @torch.no_grad()
    def measure(self, model, device):
        """Sums by language: bits and bytes of windows, and what NATS to HARD say of cases."""
        found = torch.zeros(len(self.languages), 8, dtype=torch.float64)
        for batch in batches(self.windows):
            for (language, ids, size), logits in run(model, device, batch, lambda ids, *_: (0, len(ids) - 1)):
                found[language, BITS] += F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item() / math.log(2)
                found[language, BYTES] += size
        cases = found[:, 2:]
        for batch in batches(self.cases):
            for (language, ids, start, easy), logits in run(model, device, batch, lambda ids, start, _: (start - 1, len(ids))):
                nats, right = judge(logits, ids[start:], self.ends)
                cases[language, NATS] += nats
                cases[language, TOKENS] += len(ids) - start
                cases[language, RIGHT] += right
                cases[language, ALL] += 1
                cases[language, HARD_RIGHT] += right and not easy
                cases[language, HARD] += not easy
        return found

    def line(self, found):
        """The sums of all workers as a line of `progress.jsonl`."""
        out = {"bits_per_byte": {}, "cases": {}}
        for language, row in zip(self.languages, found.tolist()):
            if row[BYTES]:
                out["bits_per_byte"][language] = round(row[BITS] / row[BYTES], 4)
            case = row[2:]
            if case[ALL]:
                out["cases"][language] = {"nats_per_token": round(case[NATS] / case[TOKENS], 4), "right": int(case[RIGHT]), "of": int(case[ALL]),
                                          "non_trivial_right": int(case[HARD_RIGHT]), "non_trivial_of": int(case[HARD])}
        return out

"""Samples for training: windows of files, most of them with a hole to fill.

Layouts (README.md, "Prompt layout"), with the text cut at the caret before it is tokenised, so that
the model knows prefixes that end inside a word:

    PSM   <bos> chunks <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <eos>
    SPM   <bos> chunks <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle <eos>
    plain <bos> text

where chunks are `path \\n text <|file_separator|>`, of other files of the project.
"""

import bisect
import json
import random
import re
from itertools import accumulate

from . import tokenizer as tk

BYTES_PER_TOKEN = 3.6


class Files:
    """One language's training files; drawn in proportion to their size."""

    def __init__(self, path):
        self.texts, self.paths, self.projects, self.by_project = [], [], [], {}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                f = json.loads(line)
                self.by_project.setdefault(f["project"], []).append(len(self.texts))
                self.texts.append(f["text"])
                self.paths.append(re.sub(r"^[^/]*?-\d[^/]*/|^package/", "", f["path"]))
                self.projects.append(f["project"])
        self.ends = list(accumulate(map(len, self.texts)))

    def draw(self, rng):
        return bisect.bisect_right(self.ends, rng.randrange(self.ends[-1]))


def line_start(text, at):
    return text.rfind("\n", 0, at) + 1


def line_end(text, at):
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def code_start(text, at):
    """Behind the indentation of the line that begins at `at`."""
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def span(text, near, kind, c, rng):
    """(start, end) of a hole close to `near`, or None if there is none of this kind."""
    if kind == "character":
        length = min(c.longest, int(rng.lognormvariate(0, c.spread) * c.median) + 1)
        return near, min(len(text), near + length)
    start = line_start(text, near)
    end = line_end(text, start)
    first = code_start(text, start)
    if first >= end:
        return None
    if kind == "rest":
        return rng.randint(first, max(first, end - 1)), end
    anchor = first if rng.random() < 0.85 else start
    if kind == "line":
        return anchor, end
    if kind == "lines":
        for _ in range(rng.choice((1, 1, 2, 3))):
            end = line_end(text, min(end + 1, len(text)))
        return (anchor, end) if end - anchor <= c.longest else None
    # A block: the lines below an opening line that are indented further than it.
    below = end + 1
    if below >= len(text):
        return None
    body = code_start(text, below)
    if body - below <= first - start or body >= line_end(text, below):
        return None
    end = below
    while end < len(text):
        stop = line_end(text, end)
        inner = code_start(text, end)
        if inner < stop and inner - end <= first - start:
            break
        end = stop + 1
    end = min(end, len(text))
    stop = len(text[:end].rstrip("\n")) if end - below <= c.longest + 2 else 0
    return (body, stop) if body < stop <= body + c.longest else None


WORD = re.compile(r"[A-Za-z_]\w{3,}")


class Sampler:
    """Rows of ids with the weight of each target, drawn reproducibly from (seed, worker, step)."""

    def __init__(self, files, tok, fim):
        self.files, self.tok, self.fim = files, tok, fim

    def chunks(self, f, i, text, rng):
        """Ids of one or two pieces of other files of the project, of those tried the ones most like `text`."""
        here = f.by_project[f.projects[i]]
        if len(here) < 2:
            return []
        words = set(WORD.findall(text))
        found = []
        for _ in range(6):
            j = rng.choice(here)
            if j == i:
                continue
            other = f.texts[j]
            a = line_start(other, rng.randrange(len(other)))
            b = line_end(other, min(len(other), a + rng.randint(300, 1000)))
            found.append((len(words & set(WORD.findall(other[a:b]))), j, other[a:b]))
        found.sort(reverse=True)
        ids = []
        for _, j, piece in reversed(found[: rng.choice((1, 1, 2))]):
            ids += self.tok.encode(f"{f.paths[j]}\n{piece}\n") + [tk.SEPARATOR]
        return ids

    def sample(self, length, rng):
        """(ids, weights of these ids as targets) of at most `length` ids."""
        c = self.fim
        f = self.files[rng.choices(list(c.languages), list(c.languages.values()))[0]]
        i = f.draw(rng)
        text = f.texts[i]
        near = rng.randrange(len(text))
        if rng.random() >= c.rate:
            a = line_start(text, near) if rng.random() < 0.8 else 0
            ids = [tk.BOS] + self.tok.encode(text[a:a + int(length * BYTES_PER_TOKEN * 1.3)])
            return ids[:length], [1.0] * min(length, len(ids))
        for _ in range(8):
            kind = rng.choices(list(c.kinds), list(c.kinds.values()))[0]
            hole = span(text, near, kind, c, rng)
            if hole and hole[0] < hole[1]:
                break
            near = rng.randrange(len(text))
        else:
            hole = near, min(len(text), near + 20)
        start, end = hole
        middle = self.tok.encode(text[start:end])[: length // 2]
        extra = []
        if length >= 512 and rng.random() < c.with_chunks:
            extra = self.chunks(f, i, text[max(0, start - 500):end + 300], rng)[-length // 2:]
        room = length - len(middle) - len(extra) - 5
        want = 0 if rng.random() < c.empty_suffix else int(room * rng.uniform(0.05, 0.4))
        suffix = self.tok.encode(text[end:end + int(want * BYTES_PER_TOKEN * 1.5)])[:want]
        before = room - len(suffix)
        a = max(0, start - int(before * BYTES_PER_TOKEN * 1.5))
        prefix = self.tok.encode(text[a:start])[-before:]
        one = lambda ids: [1.0] * len(ids)
        m = [c.middle_weight] * (len(middle) + 1)
        head = [tk.BOS] + extra + [tk.PREFIX]
        weights = [0.0] + one(extra) + [0.0]
        if rng.random() < c.suffix_first:
            ids = head + [tk.SUFFIX] + suffix + [tk.MIDDLE] + prefix + middle + [tk.EOS]
            weights += [0.0] + one(suffix) + [0.0] + one(prefix) + m
        else:
            ids = head + prefix + [tk.SUFFIX] + suffix + [tk.MIDDLE] + middle + [tk.EOS]
            weights += one(prefix) + [0.0] + one(suffix) + [0.0] + m
        return ids, weights

    def row(self, length, rng):
        """Exactly `length` + 1 ids; what a short file leaves is filled with further samples."""
        ids, weights = [], []
        while length + 1 - len(ids) >= 48:
            more, w = self.sample(length + 1 - len(ids), rng)
            ids += more
            weights += w
        pad = length + 1 - len(ids)
        return ids + [tk.PAD] * pad, weights + [0.0] * pad

    def batch(self, rows, length, seed):
        """Lists of `rows` inputs, targets and target weights."""
        rng = random.Random(seed)
        drawn = [self.row(length, rng) for _ in range(rows)]
        return [r[:-1] for r, _ in drawn], [r[1:] for r, _ in drawn], [w[1:] for _, w in drawn]

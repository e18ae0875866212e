"""Samples for training: windows of files, most of them with a hole to fill.

Layouts (README.md, "Prompt layout"), with the text cut at the caret before it is tokenised. Most
holes begin where token healing cuts a prompt (`healed`), a few inside a word:

    PSM   <bos> chunks <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <eos>
    SPM   <bos> chunks <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle <eos>
    plain <bos> text

where chunks are `path \\n text <|file_separator|>`, of other files of the project. With `near_suffix`
the first lines of the suffix stand between the lines above the caret and the caret's own line a second
time: `.. <|fim_middle|> lines above <|fim_pad|> lines below <|fim_pad|> line to the caret, middle <eos>`.
"""

import bisect
import json
import random
import re
from itertools import accumulate

from . import retrieve
from . import tokenizer as tk

BYTES_PER_TOKEN = 3.6


class Files:
    """One language's training files; drawn in proportion to their size."""

    def __init__(self, path):
        self.path = path
        self.texts, self.paths, self.projects, self.by_project = [], [], [], {}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                f = json.loads(line)
                self.by_project.setdefault(f["project"], []).append(len(self.texts))
                self.texts.append(f["text"])
                self.paths.append(re.sub(r"^[^/]*?-\d[^/]*/|^package/", "", f["path"]))
                self.projects.append(f["project"])
        self.ends = list(accumulate(map(len, self.texts)))
        self.index = None       # made by `indexed`, if samples want chunks

    def indexed(self):
        self.index = self.index or retrieve.Index(self, self.path.with_suffix(".words.npz"))
        return self

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


def healed(text, caret):
    """Where token healing cuts a prompt that ends at `caret`: before the word, or the signs, or the single
    space there, and the space before them. Never into the indentation."""
    start = line_start(text, caret)
    line = text[start:caret]
    cut = trailing(line, is_word)
    if cut == 0:
        bare = line.rstrip(" ")
        spaces = len(line) - len(bare)
        if spaces > 1 or not bare.strip():
            return caret
        cut = spaces + min(4, trailing(bare, is_sign))
    if cut == 0 or cut > len(line.lstrip()):
        return caret
    before = line[:-cut]
    if before.endswith(" ") and before.strip():
        cut += 1
    return caret - cut


def is_word(c):
    return c.isalnum() or c == "_"


def is_sign(c):
    return not is_word(c) and c != " "


def trailing(text, belongs):
    """How many characters at the end of `text` belong."""
    n = 0
    while n < len(text) and belongs(text[-1 - n]):
        n += 1
    return n


def near_lines(text, end, count):
    """The first `count` lines with text below the line in which the hole ends."""
    found, at = [], line_end(text, end)
    while at < len(text) and len(found) < count:
        stop = line_end(text, at + 1)
        if text[at + 1:stop].strip():
            found.append(text[at + 1:stop])
        at = stop
    return "\n".join(found)


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
    if kind in ("rest", "healed"):
        caret = rng.randint(first, max(first, end - 1))
        return healed(text, caret) if kind == "healed" else caret, end
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


def piece_ids(tok, path, text):
    """A piece of another file, as it stands in a prompt."""
    return tok.encode(f"{path}\n{text}\n") + [tk.SEPARATOR]


class Sampler:
    """Rows of ids with the weight of each target, drawn reproducibly from (seed, worker, step)."""

    def __init__(self, files, tok, fim):
        self.files, self.tok, self.fim = files, tok, fim

    def chunks(self, f, i, text, rng):
        """Ids of one or two pieces of other files of the project that are like `text`."""
        ids = []
        for j, piece in f.index.similar(i, text, rng.choice((1, 1, 2)), rng):
            ids += piece_ids(self.tok, f.paths[j], piece)
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
        if length >= c.chunk_rows and rng.random() < c.with_chunks:
            # What a server knows when it asks: the text around the caret, not the answer.
            extra = self.chunks(f, i, text[max(0, start - 500):start] + text[end:end + 300], rng)[-((length - len(middle)) // 2):]
        near = []
        if c.near_suffix:
            lines = near_lines(text, end, c.near_suffix)[:300]
            near = [tk.FIM_PAD, *self.tok.encode(lines), tk.FIM_PAD] if lines else []
            if len(near) > (length - len(middle) - len(extra)) // 4:
                near = []
        room = length - len(middle) - len(extra) - len(near) - 5
        want = 0 if rng.random() < c.empty_suffix else int(room * rng.uniform(0.05, 0.4))
        suffix = self.tok.encode(text[end:end + int(want * BYTES_PER_TOKEN * 1.5)])[:want]
        before = room - len(suffix)
        a = max(0, start - int(before * BYTES_PER_TOKEN * 1.5))
        one = lambda ids: [1.0] * len(ids)
        above = line_start(text, start)
        if near and a < above:
            line = self.tok.encode(text[above:start])
            lines = self.tok.encode(text[a:above])[-max(1, before - len(line)):]
            prefix = (lines + near + line)[-(before + len(near)):]
            of_prefix = (one(lines) + [0.0] * len(near) + one(line))[-len(prefix):]
        else:
            prefix = self.tok.encode(text[a:start])[-before:]
            of_prefix = one(prefix)
        m = [c.middle_weight] * (len(middle) + 1)
        head = [tk.BOS] + extra + [tk.PREFIX]
        weights = [0.0] + one(extra) + [0.0]
        if rng.random() < c.suffix_first:
            ids = head + [tk.SUFFIX] + suffix + [tk.MIDDLE] + prefix + middle + [tk.EOS]
            weights += [0.0] + one(suffix) + [0.0] + of_prefix + m
        else:
            ids = head + prefix + [tk.SUFFIX] + suffix + [tk.MIDDLE] + middle + [tk.EOS]
            weights += of_prefix + [0.0] + one(suffix) + [0.0] + m
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

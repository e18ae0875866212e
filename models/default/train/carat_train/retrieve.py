"""Pieces of other files of a project that are most like the text around a caret.

What a server with an index would find: files are ranked by the identifiers that they share with the
text, rare ones first, and of the best files the best window of lines is taken. Of a large project a
random part is looked at. The identifiers of every file are kept as hashes in one array that all
processes map.
"""

import math
import multiprocessing
import os
import re
import zlib

import numpy as np

from . import digest

WORD = re.compile(r"[A-Za-z_]\w{3,}")
LOOKED_AT = 96          # files of a project
WINDOW, STRIDE = 700, 350       # characters, rounded to lines


def words_of(text):
    return set(WORD.findall(text))


def hashes(text):
    """Sorted hashes of the identifiers of a text."""
    return np.array(sorted(zlib.crc32(w.encode()) for w in words_of(text)), dtype=np.uint32)


def prepare(files, path):
    """Write the hashes of all files of a language to `path` (`.npz` of plain arrays), if they are not there."""
    stamp = digest.of_file(files.path)
    if path.exists():
        with np.load(path) as old:
            if str(old["corpus"]) == stamp:
                return
    with multiprocessing.get_context("fork").Pool(min(8, os.cpu_count() or 1)) as pool:
        each = pool.map(hashes, files.texts, chunksize=64)
    ends = np.cumsum([len(h) for h in each])
    temporary = path.with_name(path.stem + ".tmp.npz")
    np.savez(temporary, hashes=np.concatenate(each), ends=ends, corpus=np.array(stamp))
    temporary.replace(path)


class Index:
    """The hashes of one language's files."""

    def __init__(self, files, path):
        prepare(files, path)
        with np.load(path) as data:
            self.hashes, self.ends = data["hashes"], data["ends"]
        self.files = files

    def of(self, i):
        return self.hashes[self.ends[i - 1] if i else 0:self.ends[i]]

    def similar(self, i, text, count, rng):
        """[(file, piece)] of at most `count` other files of the project of file `i`, the best last."""
        here = self.files.by_project[self.files.projects[i]]
        others = [j for j in (rng.sample(here, LOOKED_AT) if len(here) > LOOKED_AT else here) if j != i]
        wanted = hashes(text)
        if not others or not len(wanted):
            return []
        each = [self.of(j) for j in others]
        inside = np.isin(np.concatenate(each), wanted)
        found = np.concatenate(each)[inside]
        owner = np.repeat(np.arange(len(others)), [len(h) for h in each])[inside]
        if not len(found):
            return []
        places = np.searchsorted(wanted, found)
        frequency = np.bincount(places, minlength=len(wanted))
        rarity = np.log1p(len(others) / np.maximum(1, frequency))
        scores = np.bincount(owner, weights=rarity[places], minlength=len(others))
        scores /= np.log(2.0 + np.array([len(self.files.texts[j]) for j in others]))
        best = [k for k in np.argsort(-scores, kind="stable")[:count] if scores[k] > 0]
        weight = dict(zip(wanted.tolist(), rarity.tolist()))
        return [(others[k], window(self.files.texts[others[k]], weight)) for k in reversed(best)]


def window(text, weight):
    """The lines of `text` in which the identifiers of `weight` (by hash) weigh most."""
    best, piece, at = -math.inf, text[:WINDOW], 0
    while at < len(text):
        end = text.find("\n", min(len(text), at + WINDOW))
        end = len(text) if end < 0 else end
        # An exact sum, since the order of a set is another one in every process.
        score = math.fsum(weight.get(zlib.crc32(w.encode()), 0.0) for w in words_of(text[at:end]))
        if score > best:
            best, piece = score, text[at:end]
        following = text.find("\n", min(len(text), at + STRIDE)) + 1
        if following <= at or end == len(text):
            break
        at = following
    return piece.strip("\n")

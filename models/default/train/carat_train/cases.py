"""Draw infill cases from held-out projects.

    python -m carat_train.cases --out ../../../tests/quality/cases

One JSON Lines file by language. A case is the text around a hole in a file as it was published:
`line` (a whole line of code, behind its indentation), `line-rest` (from a random column to the end
of the line) and `block` (the two to eight lines below an opening line). Lines of a file are drawn
evenly, and so are projects, so that no large one decides the figures.
"""

import functools
import json
import random
import re
from collections import defaultdict
from pathlib import Path

from .filters import is_comment
from .fim import code_start, line_end
from .workdir import REPOSITORY, parser

WANTED = {
    "rust": {"line": 480, "line-rest": 240, "block": 120},
    "python": {"line": 150, "line-rest": 90, "block": 50},
    "typescript": {"line": 110, "line-rest": 60, "block": 35},
    "go": {"line": 90, "line-rest": 50, "block": 30},
    "c": {"line": 90, "line-rest": 50, "block": 30},
}
PREFIX, SUFFIX = 3000, 1200     # bytes
NAMES = {".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
         ".cc": "cpp", ".cpp": "cpp", ".hpp": "cpp", ".cxx": "cpp"}


@functools.lru_cache(maxsize=4096)
def line_starts(text):
    return [0] + [m.end() for m in re.finditer("\n", text)]


def hole(text, kind, language, rng):
    """(start, end) of the hole, or None if the place is not fit for this kind."""
    # Every line is as likely as every other; a random character would prefer long lines.
    start = rng.choice(line_starts(text))
    end = line_end(text, start)
    first = code_start(text, start)
    if first >= end or end - first > 160 or is_comment(text[start:end], language):
        return None
    if kind == "line":
        return first, end
    if kind == "line-rest":
        return (rng.randint(first + 1, end - 1), end) if end - first > 2 else None
    below = end + 1
    body = code_start(text, below)
    if below >= len(text) or body - below <= first - start:
        return None
    at, lines = below, 0
    while at < len(text):
        stop = line_end(text, at)
        inner = code_start(text, at)
        if inner < stop and inner - at <= first - start:
            break
        lines += 1
        at = stop + 1
    end = len(text[:min(at, len(text))].rstrip())
    return (body, end) if 2 <= lines <= 8 and body < end <= body + 500 else None


def clip(prefix, suffix):
    """Whole lines of at most PREFIX and SUFFIX bytes."""
    while len(prefix.encode()) > PREFIX:
        prefix = prefix[max(1, len(prefix) - PREFIX):]
        prefix = prefix[prefix.find("\n") + 1:]
    while len(suffix.encode()) > SUFFIX:
        suffix = suffix[:min(SUFFIX, len(suffix) - 1)]
        suffix = suffix[:suffix.rfind("\n") + 1]
    return prefix, suffix


def draw(files, kind, number, language, rng):
    by_project = defaultdict(list)
    for f in files:
        by_project[f["project"]].append(f)
    # Small projects give few cases, so that lines of one file do not repeat.
    room = {p: max(1, min(number // 6, sum(len(f["text"]) for f in fs) // 3000)) for p, fs in by_project.items()}
    out, used, tries = [], set(), 0
    while len(out) < number and tries < number * 400:
        tries += 1
        open_ = [p for p in by_project if room[p]]
        if not open_:
            break
        project = rng.choice(sorted(open_))
        f = rng.choice(by_project[project])
        found = hole(f["text"], kind, language, rng)
        if not found or (f["path"], found) in used or len(f["text"][:found[0]]) < 150:
            continue
        used.add((f["path"], found))
        room[project] -= 1
        prefix, suffix = clip(f["text"][:found[0]], f["text"][found[1]:])
        path = f["path"].split("/", 1)[-1] if "/" in f["path"] else f["path"]
        out.append({"path": path, "language": NAMES.get(Path(path).suffix, language), "kind": kind, "prefix": prefix,
                    "middle": f["text"][found[0]:found[1]], "suffix": suffix, "project": f["project"],
                    "version": f["version"], "license": f["license"]})
    return out


def main():
    p = parser(__doc__)
    p.add_argument("--out", type=Path, default=REPOSITORY / "tests/quality/cases")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for language, wanted in WANTED.items():
        rng = random.Random(f"cases/{language}")
        lines = (args.work / f"corpus/held_out.{language}.jsonl").read_text("utf-8").split("\n")[:-1]
        files = [json.loads(line) for line in lines]
        cases = [c for kind, number in wanted.items() for c in draw(files, kind, number, language, rng)]
        with open(args.out / f"{language}.jsonl", "w", encoding="utf-8") as out:
            for c in cases:
                out.write(json.dumps(c, ensure_ascii=False) + "\n")
        count = {k: sum(c["kind"] == k for c in cases) for k in wanted}
        print(language, count, len({c["project"] for c in cases}), "projects,", (args.out / f"{language}.jsonl").stat().st_size, "bytes")


if __name__ == "__main__":
    main()

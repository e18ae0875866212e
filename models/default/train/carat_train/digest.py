"""Digests that say whether two runs had the same corpus and the same tokenizer."""

import hashlib
import json


def of_file(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def corpus(folder, languages=None):
    """Digest of the training files of these languages (of all files if none are named).

    From the digests that `carat_train.corpus` left; without them the files are read.
    """
    recorded = folder / "digests.json"
    found = json.loads(recorded.read_text()) if recorded.exists() else record(folder)
    names = sorted(found) if languages is None else [f"train.{language}.jsonl" for language in sorted(languages)]
    return hashlib.sha256("".join(f"{name} {found[name]}\n" for name in names).encode()).hexdigest()


def record(folder):
    """Write the digest of every corpus file beside them."""
    found = {p.name: of_file(p) for p in sorted(folder.glob("*.jsonl"))}
    (folder / "digests.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def tokenizer(tok):
    text = json.dumps([tok.tokens, list(map(int, tok.types)), [list(m) for m in tok.merges]], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()

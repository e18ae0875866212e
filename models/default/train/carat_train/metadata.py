"""What a model file says of itself, for the server and for people. README.md lists the keys."""

from . import digest
from .tokenizer import CodeTokenizer

# Language ids as editors send them, by the corpus that teaches them.
EDITOR_LANGUAGES = {
    "rust": ["rust"], "python": ["python"], "typescript": ["typescript", "typescriptreact", "javascript", "javascriptreact"],
    "go": ["go"], "c": ["c", "cpp"],
}
LAYOUT_VERSION = 1      # of the prompt layout in README.md
EDITION = 2


def of_checkpoint(saved):
    """(key, value) pairs for a run's file."""
    settings, tokens = saved["settings"], f"{saved['tokens'] / 1e6:.1f}M"
    fim = settings["fim"]
    lengths = sorted(map(int, settings["train"]["lengths"]))
    known = sorted(fim["languages"].items(), key=lambda item: -item[1])
    layouts = [name for name, share in (("suffix-first", fim["suffix_first"]), ("prefix-first", 1 - fim["suffix_first"])) if share > 0.01]
    chunks = fim["with_chunks"] > 0 and lengths[-1] >= fim["chunk_rows"]
    return [
        ("general.description", f"Code infilling model of Carat, trained from scratch on {tokens} tokens"),
        ("general.version", tokens),
        ("carat.edition", EDITION),
        ("carat.languages", [name for language, _ in known for name in EDITOR_LANGUAGES[language]]),
        ("carat.prompt.version", LAYOUT_VERSION),
        ("carat.prompt.layouts", layouts),
        ("carat.prompt.chunks", 2 if chunks else 0),
        ("carat.prompt.near_suffix_lines", fim["near_suffix"]),
        ("carat.prompt.row_tokens", lengths[-1]),
        ("carat.prompt.healing", "word-signs-space" if fim["kinds"].get("healed") else "none"),
        ("carat.training.configuration", saved["configuration"]),
        ("carat.training.steps", saved["step"]),
        ("carat.training.tokens", saved["tokens"]),
        ("carat.training.corpus", saved["corpus"]),
        ("carat.training.tokenizer", digest.tokenizer(CodeTokenizer.restore(saved["tokenizer"]))),
    ]

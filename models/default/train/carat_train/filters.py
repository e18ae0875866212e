"""What of a source file is worth training on: whole-file filters and the thinning of comments."""

import random
import re

MAX_BYTES, MIN_BYTES = 200_000, 200
SKIPPED_FOLDERS = re.compile(
    r"/(vendor|_vendor|_vendored|third_party|thirdparty|node_modules|fixtures?|testdata|test_data|snapshots|locales?|data|"
    r"generated|gen|bindings|benchdata|examples/data|deps|dist/(?:cjs|umd|iife))/", re.I)
SKIPPED_NAMES = re.compile(
    r"(_pb2(_grpc)?\.pyi?|\.pb\.(go|h|cc)|\.min\.js|\.bundle\.js|\.g\.rs|_generated\.\w+|tables?\.(rs|py|c|h)|lextab\.py|parsetab\.py|"
    r"unicode\w*\.(rs|py|c|h)|bindings\.rs|zz_generated\w*\.go)$", re.I)
GENERATED = re.compile(
    r"@generated|do not (?:edit|modify)|auto-?(?:matically )?generated|generated (?:by|from|automatically|file)|rust-bindgen|machine generated", re.I)
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{20,}|"
    r"\bsk_live_[A-Za-z0-9]{20,}|\bAIza[0-9A-Za-z_-]{35}|\beyJ[A-Za-z0-9_-]{20,}\.eyJ")
LICENCE = re.compile(r"copyright|licen[sc]ed?\b|spdx|all rights reserved", re.I)


def reject(path, text):
    """Why the file is left out, or None. `path` starts with a slash."""
    if SKIPPED_FOLDERS.search(path) or SKIPPED_NAMES.search(path):
        return "folder or name"
    if not MIN_BYTES <= len(text) <= MAX_BYTES:
        return "size"
    if GENERATED.search(text[:2000]):
        return "generated"
    if SECRET.search(text):
        return "secret"
    if "\0" in text or "\ufffd" in text:
        return "not text"
    lines = text.split("\n")
    longest = max(map(len, lines))
    if longest > 400 or len(text) / len(lines) > 80:
        return "long lines"
    letters = sum(map(str.isalpha, text))
    digits = sum(map(str.isdigit, text))
    if letters < 0.3 * len(text) or digits > 0.15 * len(text):
        return "table"
    return None


def is_comment(line, language):
    s = line.lstrip()
    if language == "python":
        return s.startswith("#")
    return s.startswith(("//", "/*", "* ", "*/")) or s == "*"


def thin_comments(text, language, seed):
    """Drop most comment blocks and every licence header; shorten long documentation.

    Comments are a fifth of all lines and have far more entropy than code, which a small model cannot
    afford. Documentation right above code is kept more often, since people write it in that place.
    """
    rng = random.Random(seed)
    if language == "python":
        text = shorten_docstrings(text, rng)
    out, block, first = [], [], True

    def flush():
        nonlocal first
        if block:
            head = block[0].lstrip()
            documents = head.startswith(("///", "/**", '#!', "//!"))
            keep = rng.random() < (0.5 if documents else 0.3)
            if keep and not (first and LICENCE.search("\n".join(block))):
                whole = head.startswith("/*")       # cutting inside would leave it open
                out.extend(block if whole and len(block) <= 8 else [] if whole else block[:5])
            block.clear()

    for line in text.split("\n"):
        if is_comment(line, language):
            block.append(line)
        else:
            flush()
            if line.strip():
                first = False
            out.append(line.rstrip())
    flush()
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(out)).strip("\n") + "\n"


DOCSTRING = re.compile(r'(:[ \t]*\n|\A\s*)([ \t]*)([rRuU]?)("""|\'\'\')(.*?)\4[ \t]*\n', re.S)


def shorten_docstrings(text, rng):
    """Keep the first line of most docstrings, and drop some."""
    def shorter(m):
        lead, indent, prefix, quote, body = m.groups()
        if "\n" not in body:
            return m.group()
        head = body.strip().split("\n")[0].strip().rstrip("\\")
        if not head or rng.random() < 0.3:
            return f"{lead}{indent}{quote}{quote}\n" if rng.random() < 0.02 else lead
        return f"{lead}{indent}{prefix}{quote}{head}{quote}\n"
    return DOCSTRING.sub(shorter, text)


def clean(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")

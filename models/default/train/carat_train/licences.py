"""Which licences may be trained on, and how each registry states them."""

import fnmatch
import json
import re
import tomllib
from email.parser import HeaderParser

ALLOWED = {
    "mit", "mit-0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsd-1-clause", "0bsd", "isc", "zlib", "unlicense",
    "cc0-1.0", "psf-2.0", "python-2.0", "postgresql", "apache-2.0 with llvm-exception", "bsl-1.0",
}
# Free-form names in Python and Debian metadata.
NAMES = [
    (r"\b(a|l)?gpl|gnu |affero|mozilla|mpl|cddl|eupl|creative commons attribution|proprietary|other", None),
    (r"apache", "Apache-2.0"), (r"\bmit\b|expat", "MIT"), (r"\bbsd\b.*3|3.clause|new bsd|modified bsd", "BSD-3-Clause"),
    (r"2.clause|simplified bsd", "BSD-2-Clause"), (r"\bbsd\b", "BSD-3-Clause"), (r"\bisc\b", "ISC"), (r"zlib", "Zlib"),
    (r"python software foundation|\bpsf", "PSF-2.0"), (r"unlicense", "Unlicense"), (r"cc0|public domain", "CC0-1.0"),
    (r"postgresql", "PostgreSQL"),
]


def permissive(expression):
    """Is there a way to read the SPDX expression in which every part is allowed?"""
    text = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ")
    text = re.sub(r"\s+with\s+", " WITH ", text, flags=re.I)
    tokens, at = re.findall(r"\(|\)|[^\s()]+", text), 0
    merged = []
    while at < len(tokens):
        if at + 2 < len(tokens) and tokens[at + 1] == "WITH":
            merged.append(f"{tokens[at]} with {tokens[at + 2]}")
            at += 3
        else:
            merged.append(tokens[at])
            at += 1
    position = 0

    def either():
        nonlocal position
        value = both()
        while position < len(merged) and merged[position].upper() == "OR":
            position += 1
            value = both() or value
        return value

    def both():
        nonlocal position
        value = single()
        while position < len(merged) and merged[position].upper() == "AND":
            position += 1
            value = single() and value
        return value

    def single():
        nonlocal position
        if position >= len(merged):
            return False
        token = merged[position]
        position += 1
        if token == "(":
            value = either()
            position += 1
            return value
        return token.lower().removesuffix("+") in ALLOWED

    return either() and position >= len(merged)


def by_name(text):
    """The SPDX name that a free-form licence text means, or None."""
    for pattern, name in NAMES:
        if re.search(pattern, text, re.I):
            return name
    return None


def rust(package):
    """(name, version, licence, repository) of an unpacked crate."""
    p = tomllib.loads((package / "Cargo.toml").read_text("utf-8"))["package"]
    return p["name"], p["version"], p.get("license") or "", p.get("repository") or p.get("homepage") or ""


def python(package):
    metadata = next(iter([*package.glob("*.dist-info/METADATA"), *package.glob("*/PKG-INFO")]))
    m = HeaderParser().parsestr(metadata.read_text("utf-8", "replace"))
    licence = m.get("License-Expression") or ""
    if not licence:
        classifiers = [c for c in m.get_all("Classifier") or [] if c.startswith("License ::") and c.count("::") > 1]
        stated = classifiers or [(m.get("License") or "")[:200]]
        found = [by_name(s.split("::")[-1]) for s in stated]
        licence = " OR ".join(found) if all(found) else ""
    urls = " ".join([m.get("Home-page") or ""] + (m.get_all("Project-URL") or []))
    repository = re.search(r"https?://(?:www\.)?(?:github|gitlab)\.com/[\w.-]+/[\w.-]+", urls)
    return m["Name"], m["Version"], licence, repository.group() if repository else ""


def npm(package):
    p = json.loads((package / "package/package.json").read_text("utf-8"))
    licence = p.get("license") or ""
    repository = p.get("repository") or ""
    return (p["name"], p["version"], licence if isinstance(licence, str) else licence.get("type", ""),
            repository if isinstance(repository, str) else repository.get("url", ""))


def debian_rules(copyright_text):
    """[(patterns, permissive, licence)] of a machine-readable debian/copyright; later rules win."""
    rules = []
    for stanza in re.split(r"\n\s*\n", copyright_text):
        fields = HeaderParser().parsestr(stanza.lstrip())
        if fields.get("Files"):
            licence = (fields.get("License") or "").strip().split("\n")[0]
            parts = re.split(r"\s+and\s+|,", licence, flags=re.I)
            names = [next(filter(None, map(by_name_strict, re.split(r"\s+or\s+", p, flags=re.I))), None) for p in parts]
            rules.append((fields["Files"].split(), all(names) and bool(names), licence))
    return rules


def by_name_strict(text):
    name = by_name(text)
    return name if name and name.lower() in ALLOWED else None


def debian_file(rules, path):
    """(permissive, licence) of a file of a Debian source package."""
    for patterns, good, licence in reversed(rules):
        if any(fnmatch.fnmatchcase(path, p) for p in patterns):
            return good, licence
    return False, ""

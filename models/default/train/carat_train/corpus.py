"""Turn fetched packages into the corpus: licence check, filters, deduplication, split by project.

    python -m carat_train.corpus [--update]

The same fetched packages give the same corpus, byte for byte: `locks/corpus.json` holds the digests of
its files, and a difference is reported. `--update` writes them.

Writes WORK/corpus/{train,held_out}.LANGUAGE.jsonl, a line per file, and WORK/corpus/packages.json,
the list of packages with licence and bytes from which DATA.md is made.

Held out by project, never by file: a project is the repository that a package comes from, so that
all crates of one workspace fall on the same side.
"""

import hashlib
import json
import multiprocessing
import re
import sysconfig
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from . import digest, filters, licences
from .workdir import TRAIN_DIR, parser

LANGUAGES = {
    "rust": (".rs",), "python": (".py",), "typescript": (".ts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"),
    "go": (".go",), "c": (".c", ".h", ".cc", ".cpp", ".hpp", ".cxx"),
}
BY_SUFFIX = {s: language for language, suffixes in LANGUAGES.items() for s in suffixes}
# Bindings written by generators, without end and without thought in them.
SKIPPED_PACKAGES = re.compile(
    r"^(windows|winapi|web-sys|js-sys|aws-sdk|k8s-openapi|objc2?|core-foundation|icu_\w*data|unicode-|linux-raw-sys|libc$|ash$|glow$|"
    r"encoding|.*-sys$|.*_data$|widestring|khronos|gl$|glutin_|naga_oil_gen|tzdata|chrono-tz|wayland-protocols|x11rb-protocol|mime_guess|phf_)")
MOST_OF_A_PROJECT = {"rust": 14_000_000, "python": 6_000_000, "typescript": 10_000_000, "go": 12_000_000, "c": 12_000_000}


def project_of(name, repository):
    """The repository's own name; a package without one is its own project."""
    m = re.search(r"(?:github|gitlab|codeberg)\.\w+[/:][\w.-]+/([\w.-]+)", repository)
    return re.sub(r"\.git$", "", m.group(1)).lower() if m else name.lower()


def held_out(project, name, listed):
    return project in listed or name.lower() in listed or int(hashlib.sha256(project.encode()).hexdigest(), 16) % 20 == 0


def packages_of(registry):
    return tomllib.loads((TRAIN_DIR / "packages.toml").read_text())[registry]


def version_key(version):
    return [int(x) for x in re.findall(r"\d+", version)[:4]]


def packages(work):
    """Every fetched package: (kind, folder, name, version, licence, project, rules for files)."""
    fetched = work / "fetched"
    newest = {}
    for crate in sorted(fetched.glob("rust/*/vendor/*/Cargo.toml")):
        try:
            name, version, licence, repository = licences.rust(crate.parent)
        except Exception:
            continue
        if name not in newest or version_key(version) > version_key(newest[name][3]):
            newest[name] = ("rust", crate.parent, name, version, licence, project_of(name, repository), None)
    yield from newest.values()
    for kind, read in (("python", licences.python), ("npm", licences.npm)):
        for done in sorted(fetched.glob(f"{kind}/*/done")):
            try:
                name, version, licence, repository = read(done.parent)
            except Exception:
                continue
            yield kind, done.parent, name, version, licence, project_of(name, repository), None
    known = packages_of("debian").get("licences", {})
    named = {n for names in packages_of("debian").values() if isinstance(names, list) for n in names}
    for done in sorted(fetched.glob("debian/*/done")):
        name = done.parent.name
        if name not in named:
            continue
        version = next((p.name.split("_")[1] for p in done.parent.glob("*.dsc")), "")
        rules = None
        if name not in known:
            text = (done.parent / "debian/copyright").read_text("utf-8", "replace")
            rules = licences.debian_rules(text)
        yield "debian", done.parent, name, version, known.get(name, "see debian/copyright"), name.removeprefix("golang-github-"), rules


def read_package(job):
    """The files of one package that pass the filters, and why others did not."""
    kind, folder, name, version, licence, project, rules, wanted = job
    reasons, files = Counter(), []
    for path in sorted(folder.rglob("*")):
        language = BY_SUFFIX.get(path.suffix)
        if language is None or language not in wanted or path.is_symlink() or not path.is_file():
            continue
        if path.name.endswith(".d.ts"):
            continue
        relative = path.relative_to(folder).as_posix()
        if path.stat().st_size > 2 * filters.MAX_BYTES:
            reasons["size"] += 1
            continue
        file_licence = licence
        if rules is not None:
            # Debian's patterns are relative to the source tree, which has one folder above it here.
            good, file_licence = licences.debian_file(rules, relative.split("/", 1)[-1])
            if not good:
                reasons["licence"] += 1
                continue
        text = filters.clean(path.read_text("utf-8", "replace"))
        reason = filters.reject("/" + relative, text)
        seed = hashlib.sha256(f"{name}/{relative}".encode()).digest()
        if not reason and language == "python" and re.search(r"(^|/)tests?/|(^|/)test_", relative) and seed[0] % 10 < 7:
            reason = "most Python tests"
        if reason:
            reasons[reason] += 1
            continue
        files.append({"language": language, "package": name, "version": version, "license": file_licence,
                      "project": project, "path": relative, "text": text, "seed": seed.hex()[:16]})
    return kind, name, version, licence, project, files, reasons


def line_hashes(text):
    return {hash(s) for line in text.split("\n") if len(s := "".join(line.split())) >= 12}


def merged(path, new, languages):
    """The manifest with these languages made anew and the others as they were."""
    by_key = {(m["registry"], m["name"]): m for m in new}
    for old in json.loads(path.read_text()) if path.exists() else []:
        rest = {k: v for k, v in old["bytes"].items() if k not in languages}
        if rest:
            entry = by_key.setdefault((old["registry"], old["name"]), old | {"bytes": {}})
            entry["bytes"] = rest | entry["bytes"]
    return sorted(by_key.values(), key=lambda m: (m["registry"], m["name"]))


def standard_library(out):
    """A small corpus that needs no network, for the smoke run: Python's own library, one module held out in ten."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = {split: open(out / f"{split}.python.jsonl", "w", encoding="utf-8") for split in ("train", "held_out")}
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-s]*/*.py")):
        relative = path.relative_to(library).as_posix()
        text = filters.clean(path.read_text("utf-8", "replace"))
        if filters.reject("/" + relative, text) or "site-packages" in relative or relative.startswith("test"):
            continue
        project = relative.split("/")[0].removesuffix(".py")
        split = "held_out" if hashlib.sha256(project.encode()).digest()[0] % 10 == 0 else "train"
        files[split].write(json.dumps({
            "language": "python", "package": "python", "version": sysconfig.get_python_version(), "license": "PSF-2.0", "project": project,
            "path": relative, "text": filters.thin_comments(text, "python", relative) if split == "train" else text}) + "\n")
    for f in files.values():
        f.close()


def main():
    p = parser(__doc__)
    p.add_argument("--languages", nargs="*", default=list(LANGUAGES), choices=list(LANGUAGES))
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--update", action="store_true", help="write locks/corpus.json")
    p.add_argument("--standard-library", action="store_true", help="only Python's standard library, without any fetching")
    args = p.parse_args()
    conf = tomllib.loads((TRAIN_DIR / "packages.toml").read_text())
    listed = {name.lower() for section in conf.values() for name in section.get("held_out", [])}
    out = args.work / "corpus"
    out.mkdir(parents=True, exist_ok=True)
    if args.standard_library:
        standard_library(out)
        digest.record(out)
        return

    jobs, refused = [], Counter()
    for package in packages(args.work):
        kind, folder, name, version, licence, project, rules = package
        if rules is None and not licences.permissive(licence):
            refused[licence or "unknown"] += 1
        elif not SKIPPED_PACKAGES.match(name):
            jobs.append((*package, set(args.languages)))
    # Held-out projects go first: what is in them can then not come again in training.
    def order(job):
        test = held_out(job[5], job[2], listed)
        return not test, hashlib.sha256(job[5].encode()).hexdigest(), job[2]
    jobs.sort(key=order)

    seen_lines, seen_held_out, seen_files = set(), set(), set()
    taken, reasons, manifest = defaultdict(int), Counter(), []
    outputs = {(split, lang): open(out / f"{split}.{lang}.jsonl", "w", encoding="utf-8")
               for split in ("train", "held_out") for lang in args.languages}
    with multiprocessing.Pool(args.jobs) as pool:
        for kind, name, version, licence, project, files, why in pool.imap(read_package, jobs, chunksize=4):
            reasons += why
            split = "held_out" if held_out(project, name, listed) else "train"
            kept = Counter()
            for f in files:
                text, language = f.pop("text"), f["language"]
                fingerprint = hashlib.sha256("".join(text.split()).encode()).digest()
                lines = line_hashes(text)
                if fingerprint in seen_files:
                    reasons["exact duplicate"] += 1
                    continue
                seen_files.add(fingerprint)
                if split == "train" and len(lines & seen_held_out) > 0.4 * len(lines):
                    reasons["like a held-out file"] += 1
                    continue
                if len(lines & seen_lines) > 0.7 * len(lines):
                    reasons["near duplicate"] += 1
                    continue
                if taken[project, language] > MOST_OF_A_PROJECT[language]:
                    reasons["enough of this project"] += 1
                    continue
                seen_lines |= lines
                if split == "held_out":
                    seen_held_out |= lines
                    f["text"] = text            # cases show files as they are
                else:
                    f["text"] = filters.thin_comments(text, language, f.pop("seed"))
                f.pop("seed", None)
                size = len(f["text"].encode())
                taken[project, language] += size
                kept[language] += size
                outputs[split, language].write(json.dumps(f, ensure_ascii=False) + "\n")
            if kept:
                manifest.append({"registry": kind, "name": name, "version": version, "license": licence,
                                 "project": project, "split": split, "bytes": dict(kept)})
    for f in outputs.values():
        f.close()
    manifest = merged(out / "packages.json", manifest, args.languages)
    (out / "packages.json").write_text(json.dumps(manifest, indent=0))
    (out / f"report.{'-'.join(args.languages)}.json").write_text(json.dumps({"left_out": reasons, "refused_licences": refused}, indent=1))
    totals = Counter()
    for m in manifest:
        for language, size in m["bytes"].items():
            totals[m["split"], language] += size
    for key, size in sorted(totals.items()):
        print(*key, f"{size / 1e6:.1f} MB")
    print(dict(reasons), "refused:", dict(refused.most_common(12)))
    compare_with_lock(digest.record(out), digest.corpus(out), args.update)


def compare_with_lock(found, whole, update):
    """Say whether this is the corpus of the lock file."""
    lock = TRAIN_DIR / "locks/corpus.json"
    print("digest of the corpus:", whole)
    if update:
        lock.write_text(json.dumps({"corpus": whole, "files": found}, indent=1) + "\n")
        return
    wanted = json.loads(lock.read_text())["files"] if lock.exists() else {}
    if other := sorted(name for name in found if wanted.get(name) != found[name]):
        raise SystemExit(f"not as in {lock}: {', '.join(other)}; other packages were fetched, or an earlier run of another kind left files")


if __name__ == "__main__":
    main()

"""Fetch the source packages of packages.toml with the ordinary clients of each registry.

    python -m carat_train.fetch [--only rust python npm debian] [--jobs 3]

Rust dependency trees come from `cargo vendor`, Python from `pip download`, JavaScript and
TypeScript from `npm pack`, the rest from `apt-get source`. Every package that is there already is
skipped, so a broken run is simply started again. A package that cannot be had is reported and left out.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from .workdir import TRAIN_DIR, parser

APT_SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def fetch_rust(group, out):
    """Lock a crate that depends on the group, and vendor its whole dependency tree."""
    project = out / "_".join(group[:3])
    if (project / "done").exists():
        return
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src/lib.rs").write_text("")
    (project / "Cargo.lock").unlink(missing_ok=True)
    lines = ["[package]", 'name = "carat-corpus"', 'version = "0.0.0"', 'edition = "2024"', "[workspace]", "[dependencies]"]
    (project / "Cargo.toml").write_text("\n".join(lines + [f'{name} = "*"' for name in group]) + "\n")
    run(["cargo", "vendor", "--versioned-dirs", "--quiet", "vendor"], cwd=project)
    (project / "done").touch()


def unpack(archive, out):
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as z:
            z.extractall(out)
    else:
        with tarfile.open(archive) as t:
            t.extractall(out, filter="data")


def fetch_python(name, out):
    """The wheel, since it needs no build; the source archive where there is no wheel."""
    target = out / name
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    base = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target)]
    try:
        run(base + ["--only-binary", ":all:", name])
    except subprocess.CalledProcessError:
        run(base + ["--no-binary", ":all:", name])
    for archive in [p for p in target.iterdir() if p.is_file()]:
        unpack(archive, target)
        archive.unlink()
    (target / "done").touch()


def fetch_npm(name, out):
    target = out / name.replace("/", "__")
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    archive = run(["npm", "pack", "--silent", name], cwd=target).stdout.split()[-1]
    unpack(target / archive, target)
    (target / archive).unlink()
    (target / "done").touch()


def fetch_debian(name, out):
    """apt-get source with lists of our own, so that the system's configuration stays as it is."""
    target = out / name
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    run(apt(out) + ["source", "--download-only", name], cwd=target)
    for archive in target.glob("*.orig*.tar.*"):
        if archive.suffix != ".asc":
            run(["tar", "-xf", archive.name], cwd=target)
    for archive in target.glob("*.debian.tar.*"):
        run(["tar", "-xf", archive.name], cwd=target)
    (target / "done").touch()


def apt(out):
    state = (out / "apt").resolve()
    return ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={state}/debian.sources", "-o", "Dir::Etc::sourceparts=-",
            "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache"]


def prepare_apt(out):
    state = out / "apt"
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    (state / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    (state / "debian.sources").write_text(APT_SOURCES)
    run(apt(out) + ["update"])


def main():
    p = parser(__doc__)
    p.add_argument("--only", nargs="*", choices=["rust", "python", "npm", "debian"])
    p.add_argument("--jobs", type=int, default=3)
    args = p.parse_args()
    packages = tomllib.loads((TRAIN_DIR / "packages.toml").read_text())
    wanted = args.only or ["rust", "python", "npm", "debian"]
    jobs = []
    for kind in wanted:
        out = args.work / "fetched" / kind
        out.mkdir(parents=True, exist_ok=True)
        if kind == "rust":
            jobs += [(fetch_rust, group, out) for group in packages["rust"]["groups"]]
        elif kind == "python":
            jobs += [(fetch_python, name, out) for name in packages["python"]["roots"]]
        elif kind == "npm":
            jobs += [(fetch_npm, name, out) for name in packages["npm"]["roots"]]
        else:
            prepare_apt(out)
            jobs += [(fetch_debian, name, out) for key in ("python", "go", "c") for name in packages["debian"][key]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(f, what, out): what for f, what, out in jobs}
        for done in concurrent.futures.as_completed(running):
            what = running[done]
            try:
                done.result()
                print("have", what, flush=True)
            except subprocess.CalledProcessError as e:
                failed += 1
                print("failed", what, (e.stdout or "").strip()[-600:], flush=True)
    print(f"{len(jobs) - failed} of {len(jobs)} fetched")


if __name__ == "__main__":
    main()

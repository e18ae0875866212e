"""Fetch the source packages of packages.toml with the ordinary clients of each registry.

    python -m carat_train.fetch [--only rust python npm debian] [--jobs 3] [--update]

Rust dependency trees come from `cargo vendor`, Python from `pip download`, JavaScript and
TypeScript from `npm pack`, the rest from `apt-get source`. The lock files in `locks/` say which
version and which archive; what differs from them is an error. `--update` takes the newest versions of
packages that are not there yet and writes the locks. Every package that is there already is
skipped, so a broken run is simply started again. A package that cannot be had is reported and left out.
"""

import base64
import concurrent.futures
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from .workdir import TRAIN_DIR, parser

LOCKS = TRAIN_DIR / "locks"
REGISTRIES = LOCKS / "registries.json"      # kind -> name -> version, file and digest
RUST = LOCKS / "rust.tar.xz"                # Cargo.lock of each group: a hundred thousand lines for cargo alone
APT_SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
# Wheels of one platform, whatever this machine is: the same files everywhere.
WHEELS = ["--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none",
          "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_24_x86_64",
          "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2010_x86_64",
          "--platform", "manylinux1_x86_64", "--platform", "any"]


class Differs(Exception):
    """A registry gave something else than the lock says."""


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def finish(target, found, wanted):
    """Compare with the lock, and leave word that the package is complete."""
    if wanted and found != wanted:
        raise Differs(f"the lock says {wanted}, the registry gave {found}")
    (target / "done").write_text(json.dumps(found))


def group_name(group):
    return "_".join(group[:3])


def rust_locks():
    """Group -> bytes of its Cargo.lock."""
    if not RUST.exists():
        return {}
    with tarfile.open(RUST) as archive:
        return {Path(member.name).stem: archive.extractfile(member).read() for member in archive}


def write_rust_locks(locks):
    """The same locks give the same archive, byte for byte."""
    with tarfile.open(RUST, "w:xz", preset=9) as archive:
        for name, text in sorted(locks.items()):
            member = tarfile.TarInfo(f"{name}.lock")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))


def fetch_rust(group, out, lock):
    """Vendor the dependency tree of a crate that depends on the group, as its lock file says."""
    name = group_name(group)
    project = out / name
    if (project / "done").exists():
        return
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src/lib.rs").write_text("")
    (project / "Cargo.lock").unlink(missing_ok=True)
    lines = ["[package]", 'name = "carat-corpus"', 'version = "0.0.0"', 'edition = "2024"', "[workspace]", "[dependencies]"]
    (project / "Cargo.toml").write_text("\n".join(lines + [f'{name} = "*"' for name in group]) + "\n")
    if lock:
        (project / "Cargo.lock").write_bytes(lock)
    run(["cargo", "vendor", "--versioned-dirs", "--quiet", *(["--locked"] if lock else []), "vendor"], cwd=project)
    (project / "done").touch()


def unpack(archive, out):
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as z:
            z.extractall(out)
    else:
        with tarfile.open(archive) as t:
            t.extractall(out, filter="data")


def fetch_python(name, out, wanted):
    """The wheel, since it needs no build; the source archive where there is none, or where it holds more (`sources`)."""
    target = out / name
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    base = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target)]
    exact = f"{name}=={wanted['version']}" if wanted else name
    sdist = ["--no-binary", name]
    if name in packages_toml()["python"].get("sources", []) or (wanted and not wanted["file"].endswith(".whl")):
        run(base + sdist + [exact])
    else:
        try:
            run(base + WHEELS + [exact])
        except subprocess.CalledProcessError:
            run(base + sdist + [exact])
    (archive,) = [p for p in target.iterdir() if p.is_file()]
    version = wanted["version"] if wanted else archive.name.removesuffix(".tar.gz").removesuffix(".zip").split("-")[1 if archive.suffix == ".whl" else -1]
    found = {"version": version, "file": archive.name, "sha256": sha256(archive)}
    unpack(archive, target)
    archive.unlink()
    finish(target, found, wanted)


def fetch_npm(name, out, wanted):
    target = out / name.replace("/", "__")
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    run(["npm", "pack", "--silent", f"{name}@{wanted['version']}" if wanted else name], cwd=target)
    (archive,) = target.glob("*.tgz")
    with open(archive, "rb") as f:
        integrity = "sha512-" + base64.b64encode(hashlib.file_digest(f, "sha512").digest()).decode()
    unpack(archive, target)
    version = json.loads((target / "package/package.json").read_text("utf-8"))["version"]
    found = {"version": version, "integrity": integrity}
    archive.unlink()
    finish(target, found, wanted)


def fetch_debian(name, out, wanted):
    """apt-get source with lists of our own, so that the system's configuration stays as it is."""
    target = out / name
    if (target / "done").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    run(apt(out) + ["source", "--download-only", f"{name}={wanted['version']}" if wanted else name], cwd=target)
    (description,) = target.glob("*.dsc")
    version = next(line.split(": ", 1)[1].strip() for line in description.read_text("utf-8", "replace").splitlines() if line.startswith("Version: "))
    # The description is signed and holds the digests of the archives, which apt has checked.
    found = {"version": version, "dsc": sha256(description)}
    for archive in [*target.glob("*.orig*.tar.*"), *target.glob("*.debian.tar.*")]:
        if archive.suffix != ".asc":
            run(["tar", "-xf", archive.name], cwd=target)
            archive.unlink()
    finish(target, found, wanted)


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


def packages_toml():
    return tomllib.loads((TRAIN_DIR / "packages.toml").read_text())


def write_locks(work, packages):
    """Locks of everything that is there."""
    fetched = work / "fetched"
    old = rust_locks()
    found = {name: fetched / "rust" / name for name in map(group_name, packages["rust"]["groups"])}
    write_rust_locks({name: (path / "Cargo.lock").read_bytes() if (path / "done").exists() else old[name]
                      for name, path in found.items() if (path / "done").exists() or name in old})
    locks = json.loads(REGISTRIES.read_text()) if REGISTRIES.exists() else {}
    for kind, names in roots(packages).items():
        if kind == "rust":
            continue
        done = {name: fetched / kind / name.replace("/", "__") / "done" for name in names}
        old = locks.get(kind, {})
        locks[kind] = {name: json.loads(path.read_text()) if path.exists() else old[name]
                       for name, path in sorted(done.items()) if path.exists() or name in old}
    # A line for a package.
    text = ",\n".join(f'"{kind}": {{\n' + ",\n".join(f"  {json.dumps(n)}: {json.dumps(e)}" for n, e in entries.items()) + "\n}"
                      for kind, entries in locks.items())
    REGISTRIES.write_text("{" + text + "}\n")


def roots(packages):
    """What there is to fetch, by registry."""
    debian = packages["debian"]
    return {"rust": packages["rust"]["groups"], "python": packages["python"]["roots"], "npm": packages["npm"]["roots"],
            "debian": [name for key in ("python", "typescript", "go", "c") for name in debian.get(key, [])]}


def main():
    p = parser(__doc__)
    p.add_argument("--only", nargs="*", choices=["rust", "python", "npm", "debian"])
    p.add_argument("--jobs", type=int, default=3)
    p.add_argument("--update", action="store_true", help="write the lock files; what has none is fetched in its newest version")
    args = p.parse_args()
    packages = packages_toml()
    locks = json.loads(REGISTRIES.read_text()) if REGISTRIES.exists() else {}
    locks["rust"] = rust_locks()
    jobs, unlocked = [], []
    for kind, names in roots(packages).items():
        if args.only and kind not in args.only:
            continue
        out = args.work / "fetched" / kind
        out.mkdir(parents=True, exist_ok=True)
        if kind == "debian":
            prepare_apt(out)
        for name in names:
            wanted = locks.get(kind, {}).get(group_name(name) if kind == "rust" else name)
            if not wanted and not args.update:
                unlocked.append(name)
            else:
                jobs.append(({"rust": fetch_rust, "python": fetch_python, "npm": fetch_npm, "debian": fetch_debian}[kind], name, out, wanted))
    if unlocked:
        raise SystemExit(f"no lock for {unlocked}; --update fetches the newest versions and writes locks")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(f, what, out, wanted): what for f, what, out, wanted in jobs}
        for done in concurrent.futures.as_completed(running):
            what = running[done]
            try:
                done.result()
                print("have", what, flush=True)
            except (subprocess.CalledProcessError, Differs, OSError, ValueError) as e:
                failed += 1
                print("failed", what, (getattr(e, "stdout", None) or str(e)).strip()[-600:], flush=True)
    if args.update:
        write_locks(args.work, packages)
    print(f"{len(jobs) - failed} of {len(jobs)} fetched")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()

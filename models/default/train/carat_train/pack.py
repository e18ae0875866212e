"""Pack what a run on another machine needs into pieces of a limited size.

    python -m carat_train.pack --out ../../../.gpu [--pieces 3] [--most 38] [--carat target/release/carat] [--wheels DIR]
    python -m carat_train.pack --unpack .gpu/0 --into /tmp/carat

`OUT/0/` holds the tools (tokenizer, engine, wheels, some held-out files) and the first part of every
training file, `OUT/1/` and so on the further parts. Unpacked one behind the other they give the files of
the corpus byte for byte; what has come so far can be trained on. A machine of a lease takes at most
64 MiB a call, the repository's own files included, hence the limit in MiB.
"""

import io
import json
import lzma
import shutil
import tarfile
from pathlib import Path

from . import digest
from .corpus import LANGUAGES
from .follow import by_digest
from .workdir import parser

HELD_OUT = 80       # files by language


def parts(path, count, first):
    """The bytes of a file of lines in `count` parts, cut between lines; all are of about the same size but
    the first, which has `first` times as much."""
    data = path.read_bytes()
    at = 0
    for k in range(1, count + 1):
        share = (first + k - 1) / (first + count - 1)
        end = len(data) if k == count else data.find(b"\n", int(len(data) * share)) + 1
        yield data[at:end]
        at = end


def add(archive, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def pack(args):
    corpus = args.work / "corpus"
    training = {path.name: list(parts(path, args.pieces, args.first)) for language in LANGUAGES if (path := corpus / f"train.{language}.jsonl").exists()}
    if not training:
        raise SystemExit(f"{corpus} has no training files")
    for k in range(args.pieces):
        folder = args.out / str(k)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with lzma.open(folder / "piece.tar.xz", "wb", preset=args.preset) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
            add(archive, "piece.json", json.dumps({"number": k, "of": args.pieces}).encode())
            for name, each in training.items():
                add(archive, f"parts/{name}.{k}", each[k])
            if k == 0:
                add(archive, "tokenizer.json", (args.work / "tokenizer.json").read_bytes())
                for path in sorted(corpus.glob("held_out.*.jsonl")):
                    lines = by_digest(path.read_text("utf-8").split("\n")[:-1])[:HELD_OUT]
                    add(archive, f"corpus/{path.name}", "".join(line + "\n" for line in lines).encode())
                if args.carat:
                    add(archive, "bin/carat", args.carat.read_bytes(), 0o755)
                for wheel in sorted(args.wheels.glob("*.whl")) if args.wheels else []:
                    add(archive, f"wheels/{wheel.name}", wheel.read_bytes())
        size = (folder / "piece.tar.xz").stat().st_size
        print(f"{folder}: {size / 2**20:.1f} MiB", flush=True)
        if size > args.most * 2**20:
            raise SystemExit(f"{folder} is larger than {args.most} MiB; take more pieces")


def unpack(piece, work):
    """Unpack one piece and put together the training files of all pieces that are there."""
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    with tarfile.open(piece / "piece.tar.xz", "r:xz") as archive:
        archive.extractall(work, filter="data")
    said = json.loads((work / "piece.json").read_text())
    for first in sorted((work / "parts").glob("*.jsonl.0")):
        name = first.name.removesuffix(".0")
        with open(work / "corpus" / name, "wb") as out:
            for k in range(said["of"]):
                part = work / "parts" / f"{name}.{k}"
                if not part.exists():
                    break
                with open(part, "rb") as data:
                    shutil.copyfileobj(data, out)
    digest.record(work / "corpus")
    have = len(list((work / "parts").glob("train.*.0"))) and len({p.suffix for p in (work / "parts").glob("train.*")})
    print(f"{have} of {said['of']} pieces, digest of the training files {digest.corpus(work / 'corpus')[:16]}", flush=True)


def main():
    p = parser(__doc__)
    p.add_argument("--out", type=Path)
    p.add_argument("--pieces", type=int, default=3)
    p.add_argument("--first", type=float, default=0.65, help="how much training data the first piece has, beside its tools; the others have 1")
    p.add_argument("--most", type=float, default=38, help="MiB of one piece")
    p.add_argument("--preset", type=int, default=9, help="of xz")
    p.add_argument("--carat", type=Path, help="engine to check the exported file with")
    p.add_argument("--wheels", type=Path, help="folder of Python packages that the machine lacks")
    p.add_argument("--unpack", type=Path, metavar="PIECE")
    p.add_argument("--into", type=Path, metavar="WORK")
    args = p.parse_args()
    if args.unpack and args.into:
        unpack(args.unpack, args.into)
    elif args.out:
        pack(args)
    else:
        p.error("--out, or --unpack with --into")


if __name__ == "__main__":
    main()

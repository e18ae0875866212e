"""Train, resume, anneal.

    python -m carat_train.train --config configs/c2.toml --run c2 --steps 56000
    python -m carat_train.train --config configs/c2.toml --run c2 --steps 56000     # goes on where it stopped
    python -m carat_train.train --config configs/a1.toml --run a2 --from ../carat-default.gguf --steps 4000

The length of a run is its number of steps; the clock has no part in it. A run that was stopped, on
whatever day, goes on with the same command and ends with the weights that it would have had without
the stop. SIGINT and SIGTERM, also to the whole group, let it finish its step, save and end.

On CPU there are as many workers as cores, each with one thread and its own part of the batch. They
share weights, gradients and the optimiser's state in memory; each updates the parameters it owns. This
wastes less than threads inside operations do when the machine has other work.
"""

import fcntl
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import torch.multiprocessing as mp

from . import checkpoint, config, digest, gguf_io
from .loader import read_files
from .model import Model
from .optim import fresh_state
from .schedule import Control, Schedule
from .tokenizer import CodeTokenizer
from .worker import Shared, trainable, work
from .workdir import parser

# What may change between two parts of a run without a word: it does not touch the weights.
HARMLESS = {"log_every", "save_minutes", "evaluate_tokens", "evaluate_windows", "evaluate_cases", "loaders", "compile"}


def shared_copy(state):
    return {name: {key: value.clone().share_memory_() for key, value in entry.items()} for name, entry in state.items()}


def read_source(path, conf, tok):
    """Weights of a GGUF file or a checkpoint, which has to have this tokenizer and this shape, and the tokens they have seen."""
    if path.suffix == ".gguf":
        model, state = gguf_io.read(path)
        seen = gguf_io.read_tokens_seen(path)
        theirs, shape = gguf_io.read_tokenizer(path), asdict(model)
    else:
        saved = checkpoint.read(path)
        theirs, shape, state = CodeTokenizer.restore(saved["tokenizer"]), saved["settings"]["model"], saved["model"]
        seen = saved["tokens"]
    if digest.tokenizer(theirs) != digest.tokenizer(tok):
        raise SystemExit(f"{path} has another vocabulary than WORK/tokenizer.json; to go on from it, first run: python -m carat_train.tokenizer --restore FILE.gguf")
    # The file does not hold what only training needs, and the weights do not depend on the window.
    if other := config.differences(asdict(conf.model), shape, ("rope_rotated", "window")):
        raise SystemExit(f"{path} has another shape than the configuration: {', '.join(other)}")
    return state, seen


def check_resume(saved, settings, tok, corpus, accept):
    """A run goes on only with what it began with."""
    if digest.tokenizer(CodeTokenizer.restore(saved["tokenizer"])) != digest.tokenizer(tok):
        raise SystemExit("WORK/tokenizer.json is not the one that this run began with; its checkpoint holds that one, see --restore of carat_train.tokenizer")
    changed = config.differences(saved["settings"], settings, HARMLESS)
    if any(name.startswith("model") for name in changed):
        raise SystemExit(f"the configuration has another shape than the run: {', '.join(changed)}")
    if saved["corpus"] != corpus:
        changed.append("the corpus")
    if changed and not accept:
        raise SystemExit(f"changed since the run began: {', '.join(changed)}; --accept-changes goes on all the same")


def lock(folder):
    """Only one trainer at a time works on a run."""
    handle = open(folder / "lock", "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"{folder} is being trained by another process") from None
    return handle


def main():
    p = parser(__doc__)
    p.add_argument("--config", type=Path, required=True)
    p.add_argument("--set", dest="changes", action="append", default=[], metavar="TABLE.NAME=VALUE", help="a setting instead of the configuration's")
    p.add_argument("--run", required=True, help="name of the folder WORK/runs/NAME")
    p.add_argument("--steps", type=int, help="where the run ends; may be changed until its decay begins. Left out: as before")
    p.add_argument("--stop-after", type=int, metavar="STEPS", help="save and end after so many steps of this call")
    p.add_argument("--from", dest="source", type=Path, help="start a new run from the weights of a GGUF file or a checkpoint, with a fresh optimiser")
    p.add_argument("--accept-changes", action="store_true", help="go on though configuration or corpus have changed")
    args = p.parse_args()
    conf = config.load(args.config, args.changes)
    folder = args.work / "runs" / args.run
    folder.mkdir(parents=True, exist_ok=True)
    held = lock(folder)

    tok = CodeTokenizer.load(args.work)
    if len(tok.tokens) != conf.model.vocab:
        raise SystemExit(f"WORK/tokenizer.json has {len(tok.tokens)} tokens, the configuration wants {conf.model.vocab}")
    settings = asdict(conf)
    corpus = digest.corpus(args.work / "corpus", set(conf.fim.languages) | set(conf.decay_fim.languages))
    control = Control(folder)
    saved = checkpoint.latest(folder)
    if not saved and not args.steps:
        raise SystemExit("--steps says how long the run is")
    torch.manual_seed(conf.train.seed)
    model = Model(conf.model, getattr(torch, conf.train.precision))
    step, tokens, states = 0, 0, fresh_state(trainable(model))
    schedule = Schedule(args.steps or 1, conf.train)
    if saved:
        check_resume(saved, settings, tok, corpus, args.accept_changes)
        model.load_state_dict(saved["model"])
        step, tokens, states = saved["step"], saved["tokens"], saved["states"]
        schedule.restore(saved["schedule"])
        if args.steps and args.steps != schedule.steps:
            if schedule.decaying(step):
                raise SystemExit(f"the decay has begun; the run ends at step {schedule.steps}")
            schedule.lay(args.steps, step)
    elif args.source:
        state, tokens = read_source(args.source, conf, tok)
        model.load_state_dict(state)
    control.write(schedule.steps)
    read_files(args.work, conf)         # makes the indexes, before the workers all want to
    tok.save(folder / "tokenizer.json")
    if conf.train.device == "cpu":
        from .kernels import library
        library(model.compute_dtype)    # compiled once, before the workers want it
        model.share_memory()

    shared = Shared.make(conf, model, args.work, folder, schedule, control, shared_copy(states), step, tokens)
    shared.fixed = {"settings": settings, "tokenizer": tok.saved(), "corpus": corpus, "configuration": args.config.stem}
    shared.stop_at = step + args.stop_after if args.stop_after else 0
    print(f"{shared.size / 1e6:.1f}M parameters, step {step} of {schedule.steps}, {tokens} tokens", flush=True)
    # Asked to stop, the workers finish their step and save. They ignore the signals themselves.
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: setattr(shared.stop, "value", 1))
    context = mp.get_context("spawn")
    workers = [context.Process(target=work, args=(rank, shared, os.getpid())) for rank in range(conf.train.workers)]
    for w in workers:
        w.start()
    while any(w.is_alive() for w in workers):
        time.sleep(0.2)
        if any(w.exitcode for w in workers if w.exitcode is not None):
            for w in workers:
                w.kill()
            raise SystemExit("a worker failed; the last checkpoint stands")
    held.close()
    if any(w.exitcode for w in workers):
        raise SystemExit("a worker failed; the last checkpoint stands")


if __name__ == "__main__":
    main()

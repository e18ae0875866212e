"""A run's configuration: one TOML file says everything that shapes a model and its training."""

import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a `gemma4` model. `layers` has S for a sliding-window layer and G for a global one."""
    vocab: int
    hidden: int
    layers: str
    heads: int
    kv_heads: int
    kv_heads_global: int
    head_dim: int
    head_dim_global: int
    ffn: int
    experts: int
    experts_used: int
    expert_ffn: int
    window: int
    context: int
    softcap: float = 30.0
    rope_base: float = 1e6
    rope_base_swa: float = 1e4
    rope_rotated: float = 0.25      # share of a global head that rotates
    eps: float = 1e-6
    keys_are_values: bool = False   # global layers without a value projection

    def is_global(self, layer):
        return self.layers[layer] == "G"

    def dim(self, layer):
        return self.head_dim_global if self.is_global(layer) else self.head_dim

    def kv(self, layer):
        return self.kv_heads_global if self.is_global(layer) else self.kv_heads


@dataclass(frozen=True)
class FimConfig:
    """How samples are drawn; lengths in characters. See fim.py."""
    rate: float = 0.85
    suffix_first: float = 1.0       # share of SPM among infilling samples
    kinds: dict = field(default_factory=lambda: {"healed": 0.25, "character": 0.1, "line": 0.4, "lines": 0.1, "block": 0.15})
    median: float = 28.0            # of the lognormal length of character spans
    spread: float = 1.0
    longest: int = 700
    empty_suffix: float = 0.12
    with_chunks: float = 0.4        # share of samples with `chunk_rows` tokens of room that get chunks
    chunk_rows: int = 900
    near_suffix: int = 0            # lines of the suffix that are repeated near the caret
    middle_weight: float = 3.0      # weight of the middle's tokens in the loss
    languages: dict = field(default_factory=lambda: {"rust": 0.8, "python": 0.2})


@dataclass(frozen=True)
class TrainConfig:
    seed: int = 1
    workers: int = 2                # processes of one thread each (CPU)
    device: str = "cpu"
    precision: str = "bfloat16"     # of activations and products; float32 is faster on CPUs that multiply bfloat16 slowly
    compile: bool = True            # fuse element-wise operations by PyTorch's compiler (not on CPU, which has kernels)
    loaders: int = 0                # processes of each worker that make samples; 0: the worker itself
    tokens_per_batch: int = 8192    # of one worker in one micro-batch
    micro_batches: int = 1
    lengths: dict = field(default_factory=lambda: {"256": 0.35, "512": 0.4, "1024": 0.25})
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    weight_decay: float = 0.1
    momentum: float = 0.95
    warmup: int = 100
    decay_share: float = 0.25       # of the whole schedule
    qat_share: float = 0.08         # of the whole schedule, the end of the decay
    clip: float = 1.0
    balance: float = 0.01
    log_every: int = 10
    save_minutes: float = 5.0       # at most 10
    evaluate_tokens: float = 1e7    # held-out loss and exact match whenever so many tokens were seen; 0: never
    evaluate_windows: int = 24      # held-out windows by language
    evaluate_cases: int = 200


@dataclass(frozen=True)
class Config:
    model: ModelConfig
    fim: FimConfig
    decay_fim: FimConfig
    train: TrainConfig


def load(path, changes=()):
    """Read a configuration; what the `[decay.fim]` table leaves out is as in `[fim]`.

    `changes` are settings on top of the file, each as `TABLE.NAME=VALUE` in the words of TOML.
    """
    raw = tomllib.loads(Path(path).read_text())
    for change in changes:
        name, _, value = change.partition("=")
        *tables, name = name.split(".")
        table = raw
        for t in tables:
            table = table.setdefault(t, {})
        try:
            table[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as e:
            raise SystemExit(f"--set {change}: {e}") from e

    def build(kind, table):
        known = {f.name for f in fields(kind)}
        if unknown := set(table) - known:
            raise SystemExit(f"{path}: unknown settings {sorted(unknown)}")
        return kind(**table)

    if unknown := set(raw) - {"model", "fim", "decay", "train"}:
        raise SystemExit(f"{path}: unknown tables {sorted(unknown)}")
    fim = raw.get("fim", {})
    config = Config(build(ModelConfig, raw["model"]), build(FimConfig, fim),
                  build(FimConfig, fim | raw.get("decay", {}).get("fim", {})), build(TrainConfig, raw.get("train", {})))
    c = config.train
    if not 0 < c.save_minutes <= 10:
        raise SystemExit(f"{path}: save_minutes has to be above 0 and at most 10")
    if c.precision not in ("bfloat16", "float32"):
        raise SystemExit(f"{path}: precision is bfloat16 or float32")
    if any(c.tokens_per_batch % int(length) for length in c.lengths):
        raise SystemExit(f"{path}: tokens_per_batch has to be a multiple of every length")
    return config


def differences(old, new, ignored=()):
    """Names of the settings in which two configurations (as nested dictionaries) differ."""
    found = []
    for name in sorted(set(old) | set(new)):
        a, b = old.get(name), new.get(name)
        if name in ignored or a == b:
            continue
        if isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-6):
            continue        # a model file keeps 32 bits
        if isinstance(a, dict) and isinstance(b, dict) and name in ("model", "fim", "decay_fim", "train"):
            found += [f"{name}.{inner}" for inner in differences(a, b, ignored)]
        else:
            found.append(name)
    return found

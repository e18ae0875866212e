"""A run's configuration: one TOML file says everything that shapes a model and its training."""

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
    suffix_first: float = 0.5       # share of SPM among infilling samples
    kinds: dict = field(default_factory=lambda: {"character": 0.35, "rest": 0.15, "line": 0.25, "lines": 0.1, "block": 0.15})
    median: float = 28.0            # of the lognormal length of character spans
    spread: float = 1.0
    longest: int = 700
    empty_suffix: float = 0.12
    with_chunks: float = 0.10
    middle_weight: float = 2.0      # weight of the middle's tokens in the loss
    languages: dict = field(default_factory=lambda: {"rust": 0.8, "python": 0.2})


@dataclass(frozen=True)
class TrainConfig:
    seed: int = 1
    workers: int = 2                # processes of one thread each (CPU)
    device: str = "cpu"
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
    save_minutes: float = 4.0


@dataclass(frozen=True)
class Config:
    model: ModelConfig
    fim: FimConfig
    decay_fim: FimConfig
    train: TrainConfig


def load(path):
    """Read a configuration; what the `[decay.fim]` table leaves out is as in `[fim]`."""
    raw = tomllib.loads(Path(path).read_text())

    def build(kind, table):
        known = {f.name for f in fields(kind)}
        if unknown := set(table) - known:
            raise SystemExit(f"{path}: unknown settings {sorted(unknown)}")
        return kind(**table)

    fim = raw.get("fim", {})
    return Config(build(ModelConfig, raw["model"]), build(FimConfig, fim),
                  build(FimConfig, fim | raw.get("decay", {}).get("fim", {})), build(TrainConfig, raw.get("train", {})))

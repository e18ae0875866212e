"""GGUF files of `gemma4` models: reading into the trainer's model, and writing from it."""

import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from . import tokenizer as tk
from .config import ModelConfig

FILE_TYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}


def read_config(reader):
    def value(key, default=None):
        field = reader.get_field("gemma4." + key)
        return default if field is None else field.contents()

    n = value("block_count")
    sliding = value("attention.sliding_window_pattern")
    kv = value("attention.head_count_kv")
    kv = kv if isinstance(kv, list) else [kv] * n
    of = lambda sliding_ones: next((k for k, s in zip(kv, sliding) if s == sliding_ones), kv[0])
    names = {t.name for t in reader.tensors}
    vocab = next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]
    return ModelConfig(
        vocab=int(vocab), hidden=value("embedding_length"), layers="".join("S" if s else "G" for s in sliding),
        heads=value("attention.head_count"), kv_heads=of(True), kv_heads_global=of(False),
        head_dim=value("attention.key_length_swa"), head_dim_global=value("attention.key_length"),
        ffn=value("feed_forward_length"), experts=value("expert_count", 0), experts_used=value("expert_used_count", 0),
        expert_ffn=value("expert_feed_forward_length", 0), window=value("attention.sliding_window"),
        context=value("context_length"), softcap=value("final_logit_softcapping", 30.0), rope_base=value("rope.freq_base"),
        rope_base_swa=value("rope.freq_base_swa"), eps=value("attention.layer_norm_rms_epsilon"),
        keys_are_values=any(f"blk.{i}.attn_v.weight" not in names for i in range(n)))


def read(path):
    """(ModelConfig, state dict in float32) of a file; quantized tensors are dequantized."""
    reader = GGUFReader(path)
    state = {}
    for t in reader.tensors:
        if t.name == "rope_freqs.weight":
            continue
        x = dequantize(t.data, t.tensor_type) if t.tensor_type != T.F32 else t.data
        shape = [int(n) for n in reversed(t.shape)]
        state[t.name] = torch.from_numpy(np.array(x, dtype=np.float32).reshape(shape))
    return read_config(reader), state


def read_tokens_seen(path):
    """How many tokens the weights of a file were trained on. Edition one says it only in its version, `36.0M`."""
    reader = GGUFReader(path)
    if field := reader.get_field("carat.training.tokens"):
        return int(field.contents())
    return round(float(reader.get_field("general.version").contents().removesuffix("M")) * 1e6)


def read_tokenizer(path):
    """The tokenizer of a file that `write` made."""
    reader = GGUFReader(path)
    field = lambda name: reader.get_field("tokenizer.ggml." + name)
    missing = [name for name in ("tokens", "token_type", "merges") if field(name) is None]
    if missing:
        raise SystemExit(f"{path} has no tokenizer.ggml.{missing[0]}")
    merges = [tuple(m.split(" ", 1)) for m in field("merges").contents()]
    return tk.CodeTokenizer(field("tokens").contents(), [int(t) for t in field("token_type").contents()], merges)


def kind_of(name, shape, recipe):
    """How a tensor is stored: experts at 4 bits, other matrices at 8, all else in full."""
    if recipe == "f32" or len(shape) < 2 or "ffn_gate_inp" in name:
        return T.F32
    if recipe == "q4_0" and "_exps." in name:
        return T.Q4_0
    return T.Q8_0


def add(w, key, value):
    """A key with the type that its value has; whole numbers have 32 bits, or 64 where that is too few."""
    if isinstance(value, str):
        w.add_string(key, value)
    elif isinstance(value, list):
        w.add_array(key, value)
    elif isinstance(value, float):
        w.add_float32(key, value)
    elif value < 1 << 32:
        w.add_uint32(key, value)
    else:
        w.add_uint64(key, value)


def write(path, c, state, vocab, recipe="q4_0", extra=()):
    w = GGUFWriter(str(path), "gemma4")
    n, a = len(c.layers), "gemma4."
    w.add_string("general.type", "model")
    w.add_string("general.name", "carat-default")
    w.add_string("general.license", "mit OR apache-2.0")
    for key, value in extra:
        add(w, key, value)
    w.add_uint32("general.file_type", FILE_TYPE[recipe])
    w.add_uint32("general.quantization_version", 2)
    for key, value in [
        ("block_count", n), ("context_length", c.context), ("embedding_length", c.hidden), ("embedding_length_per_layer_input", 0),
        ("feed_forward_length", c.ffn), ("expert_feed_forward_length", c.expert_ffn), ("expert_count", c.experts),
        ("expert_used_count", c.experts_used), ("attention.head_count", c.heads),
        ("attention.key_length", c.head_dim_global), ("attention.value_length", c.head_dim_global),
        ("attention.key_length_swa", c.head_dim), ("attention.value_length_swa", c.head_dim),
        ("attention.shared_kv_layers", 0), ("attention.sliding_window", c.window),
        ("rope.dimension_count", c.head_dim_global), ("rope.dimension_count_swa", c.head_dim),
    ]:
        w.add_uint32(a + key, value)
    w.add_array(a + "attention.head_count_kv", [c.kv(i) for i in range(n)])
    w.add_array(a + "attention.sliding_window_pattern", [not c.is_global(i) for i in range(n)])
    w.add_float32(a + "attention.layer_norm_rms_epsilon", c.eps)
    w.add_float32(a + "rope.freq_base", c.rope_base)
    w.add_float32(a + "rope.freq_base_swa", c.rope_base_swa)
    w.add_float32(a + "final_logit_softcapping", c.softcap)

    t = "tokenizer.ggml."
    w.add_string(t + "model", "gemma4")
    w.add_array(t + "tokens", vocab.tokens)
    w.add_array(t + "scores", [-1000.0] * len(vocab.tokens))
    w.add_array(t + "token_type", vocab.types)
    w.add_array(t + "merges", [f"{x} {y}" for x, y in vocab.merges])
    for key, value in [
        ("bos", tk.BOS), ("eos", tk.EOS), ("eot", tk.EOS), ("unknown", tk.UNK), ("padding", tk.PAD), ("mask", tk.MASK),
        ("fim_pre", tk.PREFIX), ("fim_suf", tk.SUFFIX), ("fim_mid", tk.MIDDLE), ("fim_sep", tk.SEPARATOR),
    ]:
        w.add_uint32(f"{t}{key}_token_id", value)
    w.add_bool(t + "add_bos_token", True)
    w.add_bool(t + "add_space_prefix", False)

    half = c.head_dim_global // 2
    freqs = np.where(np.arange(half) < int(half * c.rope_rotated), 1.0, 1e30).astype(np.float32)
    w.add_tensor("rope_freqs.weight", freqs)
    for name, tensor in state.items():
        x = np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        kind = kind_of(name, x.shape, recipe)
        w.add_tensor(name, x if kind == T.F32 else quantize(x, kind), raw_dtype=None if kind == T.F32 else kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

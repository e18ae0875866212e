#!/usr/bin/env python3
"""Writes a GGUF file with the shape of a published model and random weights, to measure speed and memory with.

Blocks are drawn in the form in which they lie in the file, so that nothing is quantized and the file is never in
memory. Types are those of llama-quantize for Q4_0: everything in Q4_0, the embedding, or the output matrix where
there is one, in Q6_K. TYPE takes the place of Q4_0: Q2_K, Q4_K, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S.
Needs: pip install gguf numpy.
Usage: synthetic.py qwen2.5-coder-1.5b|qwen3-coder-30b-a3b FILE.gguf [LAYERS [TYPE]]
"""

import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter, dequantize
from gguf import GGMLQuantizationType as Type

VOCABULARY = 151936
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
POOL_BYTES = 16 << 20

MODELS = {
    "qwen2.5-coder-1.5b": dict(arch="qwen2", layers=28, hidden=1536, heads=12, kv_heads=2, head=128, width=8960,
                               theta=1e6, context=32768, tied=True),
    "qwen3-coder-30b-a3b": dict(arch="qwen3moe", layers=48, hidden=2048, heads=32, kv_heads=4, head=128, width=5472,
                                experts=128, used=8, expert_width=768, theta=1e7, context=262144, tied=False),
}


def blocks(rng, kind, deviation):
    """A pool of random blocks whose weights have mean 0 and about this deviation."""
    size = GGML_QUANT_SIZES[kind][1]
    n = POOL_BYTES // size
    pool = rng.integers(0, 256, (n, size), dtype=np.uint8)
    # Offsets of the block's scales: that of the weights, and that of minima where there are some.
    at = {Type.Q6_K: [208], Type.Q2_K: [80, 82], Type.Q4_K: [0, 2]}.get(kind, [0])

    def scale_by(blocks, scale):
        for place, ratio in zip(at, (1, 1.5 if kind == Type.Q2_K else 7.5)):
            blocks[:, place:place + 2] = (scale * ratio).astype("<f2").view(np.uint8).reshape(len(blocks), 2)
        return blocks

    unit = dequantize(scale_by(pool[:256].copy(), np.ones(256)), kind).std()
    scale_by(pool, rng.choice([-1.0, 1.0], n) * deviation / unit)
    return pool.reshape(-1)


def tensors(model):
    """Names, shapes (rows of a matrix first) and types."""
    main = model["type"]
    h, q, kv = model["hidden"], model["heads"] * model["head"], model["kv_heads"] * model["head"]
    yield "token_embd.weight", (VOCABULARY, h), Type.Q6_K if model["tied"] else main
    yield "output_norm.weight", (h,), Type.F32
    if not model["tied"]:
        yield "output.weight", (VOCABULARY, h), Type.Q6_K
    for i in range(model["layers"]):
        def named(name, shape, kind=main, i=i):
            return f"blk.{i}.{name}", shape, kind
        yield named("attn_norm.weight", (h,), Type.F32)
        yield named("ffn_norm.weight", (h,), Type.F32)
        for part, rows in (("q", q), ("k", kv), ("v", kv)):
            yield named(f"attn_{part}.weight", (rows, h))
            if model["arch"] == "qwen2":
                yield named(f"attn_{part}.bias", (rows,), Type.F32)
        yield named("attn_output.weight", (h, q))
        if model["arch"] == "qwen3moe":
            n, width = model["experts"], model["expert_width"]
            yield named("attn_q_norm.weight", (model["head"],), Type.F32)
            yield named("attn_k_norm.weight", (model["head"],), Type.F32)
            yield named("ffn_gate_inp.weight", (n, h), Type.F32)
            yield named("ffn_gate_exps.weight", (n, width, h))
            yield named("ffn_up_exps.weight", (n, width, h))
            yield named("ffn_down_exps.weight", (n, h, width))
        else:
            yield named("ffn_gate.weight", (model["width"], h))
            yield named("ffn_up.weight", (model["width"], h))
            yield named("ffn_down.weight", (h, model["width"]))


def size_of(shape, kind):
    block, size = GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // block * size


def metadata(out, name, model):
    out.add_name(f"synthetic {name}")
    out.add_block_count(model["layers"])
    out.add_context_length(model["context"])
    out.add_embedding_length(model["hidden"])
    out.add_feed_forward_length(model["width"])
    out.add_head_count(model["heads"])
    out.add_head_count_kv(model["kv_heads"])
    out.add_key_length(model["head"])
    out.add_value_length(model["head"])
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(model["theta"])
    if "experts" in model:
        out.add_expert_count(model["experts"])
        out.add_expert_used_count(model["used"])
        out.add_expert_feed_forward_length(model["expert_width"])
    visible = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    texts = [chr(byte) for byte in visible] + [chr(0x100 + i) for i in range(len(hidden))] + ["ab"]
    texts += [f"unused{i}" for i in range(VOCABULARY - len(texts) - len(CONTROLS))] + CONTROLS
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(texts)
    out.add_token_types([1] * (VOCABULARY - len(CONTROLS)) + [3] * len(CONTROLS))
    out.add_token_merges(["a b"])
    out.add_bos_token_id(VOCABULARY - 6)
    out.add_eos_token_id(VOCABULARY - 4)
    out.add_add_bos_token(False)


def values(rng, name, shape):
    """The small tensors: norms near 1, small biases, a router whose choices spread."""
    if name.endswith("norm.weight"):
        return 1 + 0.05 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * (0.1 if name.endswith("bias") else 1.5 / np.sqrt(shape[-1]))


def main():
    name, path, *rest = sys.argv[1:]
    model = MODELS[name] | {"type": Type[rest[1]] if len(rest) > 1 else Type.Q4_0}
    if rest:
        model["layers"] = int(rest[0])
    rng = np.random.default_rng(1)
    out = GGUFWriter(path, model["arch"])
    metadata(out, name, model)
    for tensor, shape, kind in tensors(model):
        out.add_tensor_info(tensor, shape, np.dtype(np.float32), size_of(shape, kind), kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_ti_data_to_file()
    file = out.fout[0]
    file.write(b"\0" * (-file.tell() % out.data_alignment))
    pools = {}
    for tensor, shape, kind in tensors(model):
        left = size_of(shape, kind)
        if kind == Type.F32:
            file.write(values(rng, tensor, shape).astype("<f4").tobytes())
        else:
            pool = pools.setdefault((kind, shape[-1]), None)
            if pool is None:
                pool = pools[kind, shape[-1]] = blocks(rng, kind, shape[-1] ** -0.5)
            while left:
                # From another place each time, so that no two experts are alike.
                block = GGML_QUANT_SIZES[kind][1]
                start = int(rng.integers(0, len(pool) // block // 2)) * block
                part = pool[start:start + left]
                file.write(part.tobytes())
                left -= len(part)
        file.write(b"\0" * (-size_of(shape, kind) % out.data_alignment))
    out.close()
    print(f"{path}: {sum(size_of(s, k) for _, s, k in tensors(model)) / 1e9:.2f} GB of weights")


main()

"""Greedy infilling with the trainer's model, with keys and values cached: for following quality while training."""

import math

import torch
import torch.nn.functional as F

from . import tokenizer as tk
from .model import geglu, rms, rotate


class Decoder:
    """Token by token through the graph of model.py, in float32."""

    def __init__(self, model):
        self.m, self.c = model.eval(), model.c

    @torch.no_grad()
    def greedy(self, prompt, most, stop=lambda ids: False):
        m, c = self.m, self.c
        cache = [None] * len(c.layers)
        ids, at, out = list(prompt), 0, []
        while len(out) < most:
            logits = self.step(ids, at, cache)
            at += len(ids)
            ids = [int(logits.argmax())]
            if ids[0] in (tk.EOS, tk.SEPARATOR, tk.PAD, tk.BOS):
                break
            out += ids
            if stop(out):
                break
        return out

    def step(self, ids, at, cache):
        m, c, T = self.m, self.c, len(ids)
        x = F.embedding(torch.tensor(ids), m.token_embd.weight) * math.sqrt(c.hidden)
        i = torch.arange(at, at + T)[:, None]
        for layer, b in enumerate(m.blk):
            h = rms(x, c.eps) * b.attn_norm.weight
            d = c.dim(layer)
            q, k = (F.linear(h, w.weight).view(1, T, -1, d) for w in (b.attn_q, b.attn_k))
            v = F.linear(h, b.attn_v.weight).view(1, T, -1, d) if hasattr(b, "attn_v") else k
            cos, sin = m.rotation(layer, c.context, x.device)
            cos, sin = cos[:, at:at + T], sin[:, at:at + T]
            q, k, v = rotate(rms(q, c.eps) * b.attn_q_norm.weight, cos, sin), rotate(rms(k, c.eps) * b.attn_k_norm.weight, cos, sin), rms(v, c.eps)
            if cache[layer] is not None:
                k, v = torch.cat([cache[layer][0], k], 1), torch.cat([cache[layer][1], v], 1)
            cache[layer] = k, v
            j = torch.arange(at + T)[None]
            mask = j <= i if c.is_global(layer) else (j <= i) & (j > i - c.window)
            o = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, scale=1.0, enable_gqa=True)
            r = x + rms(F.linear(o.transpose(1, 2).reshape(T, -1), b.attn_output.weight), c.eps) * b.post_attention_norm.weight
            n = rms(r, c.eps)
            n1 = n * b.ffn_norm.weight
            f = F.linear(F.gelu(F.linear(n1, b.ffn_gate.weight), approximate="tanh") * F.linear(n1, b.ffn_up.weight), b.ffn_down.weight)
            if c.experts:
                f = rms(f, c.eps) * b.post_ffw_norm_1.weight + rms(self.experts(b, n), c.eps) * b.post_ffw_norm_2.weight
            x = (r + rms(f, c.eps) * b.post_ffw_norm.weight) * b.layer_output_scale.weight
        h = rms(x[-1], c.eps) * m.output_norm.weight
        return F.linear(h, m.token_embd.weight)

    def experts(self, b, n):
        c = self.c
        p = F.linear(n * b.ffn_gate_inp.scale * c.hidden ** -0.5, b.ffn_gate_inp.weight).softmax(-1)
        top, chosen = p.topk(c.experts_used, -1)
        share = top / top.sum(-1, keepdim=True) * b.ffn_down_exps.scale[chosen]
        n2 = n * b.pre_ffw_norm_2.weight
        out = torch.zeros_like(n)
        for e in chosen.unique().tolist():
            rows, slot = (chosen == e).nonzero(as_tuple=True)
            z = F.linear(geglu(F.linear(n2[rows], b.ffn_gate_up_exps.weight[e])), b.ffn_down_exps.weight[e])
            out.index_add_(0, rows, z * share[rows, slot, None])
        return out

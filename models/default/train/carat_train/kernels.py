"""The fused element-wise operations of kernels.cpp as differentiable functions, for CPU training.

The same interface as `Ops` in model.py. Compiled once by the C++ compiler that PyTorch's extensions need.
"""

from functools import cache
from pathlib import Path

import torch


@cache
def library(dtype):
    """The kernels for activations of this type, bfloat16 or float32."""
    from torch.utils.cpp_extension import load
    name, define = {torch.bfloat16: ("carat_train_kernels", []), torch.float32: ("carat_train_kernels_f32", ["-DCARAT_FLOAT32"])}[dtype]
    return load(name, [str(Path(__file__).with_name("kernels.cpp"))],
                extra_cflags=["-O3", "-march=native", "-ffast-math", "-std=c++20", *define], extra_ldflags=["-lmvec", "-lm"])


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps, dtype):
        ctx.save_for_backward(x, w)
        ctx.eps = eps
        return library(dtype).norm_forward(x, w, eps)

    @staticmethod
    def backward(ctx, g):
        return *library(g.dtype).norm_backward(*ctx.saved_tensors, g.contiguous(), ctx.eps), None, None


class Heads(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, cos, sin, eps):
        ctx.save_for_backward(x, w, cos, sin)
        ctx.eps = eps
        return library(x.dtype).heads_forward(x, w, cos, sin, eps)

    @staticmethod
    def backward(ctx, g):
        dx, dw = library(g.dtype).heads_backward(*ctx.saved_tensors, g.contiguous(), ctx.eps)
        return dx, dw, None, None, None


class Attention(torch.autograd.Function):
    """[B, heads, T, d] queries, [B, kv, T, d] keys and values to [B, heads, T, d].

    Query heads that share keys are stacked into one long matrix. A block of queries at a time, so that
    what lies behind it, or before its window, is not multiplied.
    """

    BLOCK = 128

    @staticmethod
    def blocks(T, window):
        """(first query, end of queries and keys, first key) of each block."""
        for a in range(0, T, Attention.BLOCK):
            yield a, min(T, a + Attention.BLOCK), max(0, (a - window + 1) // 32 * 32)

    @staticmethod
    def forward(ctx, q, k, v, window):
        B, n, T, d = q.shape
        kv = k.shape[1]
        q, k, v = q.view(B * kv, -1, T, d), k.view(B * kv, T, d), v.view(B * kv, T, d)
        o, shares = torch.empty_like(q), []
        for a, b, first in Attention.blocks(T, window):
            rows = q[:, :, a:b]
            p = torch.bmm(rows.reshape(B * kv, -1, d), k[:, first:b].transpose(1, 2))
            library(p.dtype).softmax_forward(p, window, b - a, a - first)
            o[:, :, a:b] = torch.bmm(p, v[:, first:b]).view(rows.shape)
            shares.append(p)
        ctx.save_for_backward(q, k, v, *shares)
        ctx.window, ctx.shape = window, (B, n, T, d)
        return o.view(ctx.shape)

    @staticmethod
    def backward(ctx, g):
        q, k, v, *shares = ctx.saved_tensors
        B, n, T, d = ctx.shape
        g = g.contiguous().view(q.shape)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (a, b, first), p in zip(Attention.blocks(T, ctx.window), shares):
            rows, gb = q[:, :, a:b], g[:, :, a:b].reshape(len(q), -1, d)
            dv[:, first:b] += torch.bmm(p.transpose(1, 2), gb)
            ds = torch.bmm(gb, v[:, first:b].transpose(1, 2))
            library(p.dtype).softmax_backward(p, ds, ctx.window, b - a, a - first)
            dq[:, :, a:b] = torch.bmm(ds, k[:, first:b]).view(rows.shape)
            dk[:, first:b] += torch.bmm(ds.transpose(1, 2), rows.reshape(len(q), -1, d))
        return dq.view(ctx.shape), dk.view(B, -1, T, d), dv.view(B, -1, T, d), None


class AfterAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a, wp, w1, w2, v, k, eps):
        r, n1, n2, chosen, share, load, z, p, lse = library(a.dtype).after_attention_forward(x, a, wp, w1, w2, v, k, eps)
        ctx.save_for_backward(a, r, wp, w1, w2, v, chosen, share, p, lse)
        ctx.eps = eps
        ctx.mark_non_differentiable(chosen)
        return r, n1, n2, chosen, share, load, z

    @staticmethod
    def backward(ctx, gr, g1, g2, _, gshare, gload, gz):
        grads = library(ctx.saved_tensors[0].dtype).after_attention_backward(*ctx.saved_tensors, gr.contiguous(), g1.contiguous(), g2.contiguous(),
                                                   gshare.contiguous(), gload.contiguous(), float(gz), ctx.eps)
        return *grads, None, None


class AfterFfn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, dense, sparse, w1, w2, w, scale, wn, eps):
        x, h = library(dense.dtype).after_ffn_forward(r, dense, sparse, w1, w2, w, scale, wn, eps)
        ctx.save_for_backward(dense, sparse, x, w1, w2, w, wn)
        ctx.scale, ctx.eps = scale, eps
        return x, h

    @staticmethod
    def backward(ctx, gx, gh):
        dense, sparse, x, w1, w2, w, wn = ctx.saved_tensors
        dr, dd, ds, dw1, dw2, dw, dwn = library(dense.dtype).after_ffn_backward(
            dense, sparse, x, w1, w2, w, ctx.scale, wn, gx.contiguous(), gh.contiguous(), ctx.eps)
        return dr, dd, ds, dw1, dw2, dw, None, dwn, None


class Geglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return library(x.dtype).geglu_forward(x)

    @staticmethod
    def backward(ctx, g):
        return library(g.dtype).geglu_backward(ctx.saved_tensors[0], g.contiguous())


class Dispatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, token_of, row_of, k):
        ctx.save_for_backward(row_of)
        ctx.k = k
        return x.index_select(0, token_of)

    @staticmethod
    def backward(ctx, g):
        return library(g.dtype).gather_sum(g.contiguous(), ctx.saved_tensors[0], ctx.k), None, None, None


class Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, row_of, share):
        ctx.save_for_backward(y, row_of, share)
        return library(y.dtype).combine_forward(y, row_of, share)

    @staticmethod
    def backward(ctx, g):
        dy, dshare = library(ctx.saved_tensors[0].dtype).combine_backward(*ctx.saved_tensors, g.contiguous())
        return dy, None, dshare


class KernelOps:
    """`Ops` with the kernels; bfloat16 or float32 matrices, float32 residual stream."""

    grouped = False

    def __init__(self, dtype):
        library(dtype)

    def scaled(self, share, scale, chosen):
        return share * scale[chosen]

    def normed(self, x, w, eps, dtype):
        return Norm.apply(x, w, eps, dtype)

    def attention(self, q, k, v, wq, wk, cos, sin, window, eps, dtype):
        B, T, n, d = q.shape
        none = q.new_empty(0, dtype=torch.float32)
        cos, sin = cos.reshape(T, -1), sin.reshape(T, -1)
        o = Attention.apply(Heads.apply(q, wq, cos, sin, eps), Heads.apply(k, wk, cos, sin, eps), Heads.apply(v, none, cos, sin, eps),
                            T if window is None else window)
        return o.transpose(1, 2).reshape(B * T, n * d)

    def after_attention(self, x, a, w_post, w_dense, w_sparse, router, scale, k, eps, dtype):
        return AfterAttention.apply(x, a, w_post, w_dense, w_sparse, router * (scale * x.shape[-1] ** -0.5), k, eps)

    def after_ffn(self, r, dense, sparse, w1, w2, w, scale, w_next, eps, dtype):
        return AfterFfn.apply(r, dense, sparse, w1, w2, w, scale.item(), w_next, eps)

    def geglu(self, x):
        return Geglu.apply(x)

    def dispatch(self, x, plan):
        return Dispatch.apply(x, plan.token_of, plan.row_of, plan.k)

    def combine(self, y, plan, share):
        return Combine.apply(y, plan.row_of, share)

    def cap_and_loss(self, logits, targets, weights, softcap):
        nll = library(logits.dtype).cap_and_loss(logits, targets, weights, softcap)
        return nll, logits

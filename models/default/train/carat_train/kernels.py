"""The fused element-wise operations of kernels.cpp as differentiable functions, for CPU training.

The same interface as `Ops` in model.py. Compiled once by the C++ compiler that PyTorch's extensions need.
"""

from functools import cache
from pathlib import Path

import torch


@cache
def library():
    from torch.utils.cpp_extension import load
    return load("carat_train_kernels", [str(Path(__file__).with_name("kernels.cpp"))],
                extra_cflags=["-O3", "-march=native", "-ffast-math", "-std=c++20"], extra_ldflags=["-lmvec", "-lm"])


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps):
        ctx.save_for_backward(x, w)
        ctx.eps = eps
        return library().norm_forward(x, w, eps)

    @staticmethod
    def backward(ctx, g):
        return *library().norm_backward(*ctx.saved_tensors, g.contiguous(), ctx.eps), None


class Heads(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, cos, sin, eps):
        ctx.save_for_backward(x, w, cos, sin)
        ctx.eps = eps
        return library().heads_forward(x, w, cos, sin, eps)

    @staticmethod
    def backward(ctx, g):
        dx, dw = library().heads_backward(*ctx.saved_tensors, g.contiguous(), ctx.eps)
        return dx, dw, None, None, None


class Attention(torch.autograd.Function):
    """[B, heads, T, d] queries, [B, kv, T, d] keys and values to [B, heads, T, d].

    Query heads that share keys are stacked into one long matrix.
    """

    @staticmethod
    def forward(ctx, q, k, v, window):
        B, n, T, d = q.shape
        kv = k.shape[1]
        q, k, v = q.view(B * kv, -1, d), k.view(B * kv, T, d), v.view(B * kv, T, d)
        p = torch.bmm(q, k.transpose(1, 2))
        library().softmax_forward(p, window)
        ctx.save_for_backward(q, k, v, p)
        ctx.window, ctx.shape = window, (B, n, T, d)
        return torch.bmm(p, v).view(B, n, T, d)

    @staticmethod
    def backward(ctx, g):
        q, k, v, p = ctx.saved_tensors
        B, n, T, d = ctx.shape
        g = g.contiguous().view(q.shape)
        dv = torch.bmm(p.transpose(1, 2), g)
        ds = torch.bmm(g, v.transpose(1, 2))
        library().softmax_backward(p, ds, ctx.window)
        dq, dk = torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q)
        return dq.view(ctx.shape), dk.view(B, -1, T, d), dv.view(B, -1, T, d), None


class AfterAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a, wp, w1, w2, v, k, eps):
        r, n1, n2, chosen, share, load, z, p, lse = library().after_attention_forward(x, a, wp, w1, w2, v, k, eps)
        ctx.save_for_backward(a, r, wp, w1, w2, v, chosen, share, p, lse)
        ctx.eps = eps
        ctx.mark_non_differentiable(chosen)
        return r, n1, n2, chosen, share, load, z

    @staticmethod
    def backward(ctx, gr, g1, g2, _, gshare, gload, gz):
        grads = library().after_attention_backward(*ctx.saved_tensors, gr.contiguous(), g1.contiguous(), g2.contiguous(),
                                                   gshare.contiguous(), gload.contiguous(), float(gz), ctx.eps)
        return *grads, None, None


class AfterFfn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, dense, sparse, w1, w2, w, scale, wn, eps):
        x, h = library().after_ffn_forward(r, dense, sparse, w1, w2, w, scale, wn, eps)
        ctx.save_for_backward(dense, sparse, x, w1, w2, w, wn)
        ctx.scale, ctx.eps = scale, eps
        return x, h

    @staticmethod
    def backward(ctx, gx, gh):
        dense, sparse, x, w1, w2, w, wn = ctx.saved_tensors
        dr, dd, ds, dw1, dw2, dw, dwn = library().after_ffn_backward(
            dense, sparse, x, w1, w2, w, ctx.scale, wn, gx.contiguous(), gh.contiguous(), ctx.eps)
        return dr, dd, ds, dw1, dw2, dw, None, dwn, None


class Geglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return library().geglu_forward(x)

    @staticmethod
    def backward(ctx, g):
        return library().geglu_backward(ctx.saved_tensors[0], g.contiguous())


class Dispatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, token_of, row_of, k):
        ctx.save_for_backward(row_of)
        ctx.k = k
        return x.index_select(0, token_of)

    @staticmethod
    def backward(ctx, g):
        return library().gather_sum(g.contiguous(), ctx.saved_tensors[0], ctx.k), None, None, None


class Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, row_of, share):
        ctx.save_for_backward(y, row_of, share)
        return library().combine_forward(y, row_of, share)

    @staticmethod
    def backward(ctx, g):
        dy, dshare = library().combine_backward(*ctx.saved_tensors, g.contiguous())
        return dy, None, dshare


class KernelOps:
    """`Ops` with the kernels; bfloat16 matrices, float32 residual stream."""

    grouped = False

    def __init__(self):
        library()

    def scaled(self, share, scale, chosen):
        return share * scale[chosen]

    def normed(self, x, w, eps, dtype):
        return Norm.apply(x, w, eps)

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
        nll = library().cap_and_loss(logits, targets, weights, softcap)
        return nll, logits

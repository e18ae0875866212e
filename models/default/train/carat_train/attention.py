"""Causal attention with scale 1, over everything or over a sliding window.

The processor's own flash attention runs at a tenth of what its matrix unit can do, so on CPU the
scores are made by batched matrix products. A window is processed in chunks of its own length, each
of which sees itself and the chunk before it: cost grows with T * window. Heads that share keys are
stacked into longer matrices.
"""

import torch
import torch.nn.functional as F


def softmax(scores, visible):
    s = scores.float().masked_fill(~visible, float("-inf"))
    return s.softmax(-1).to(scores.dtype)


def softmax_gradient(p, dp):
    p32, dp32 = p.float(), dp.float()
    return (p32 * (dp32 - (p32 * dp32).sum(-1, keepdim=True))).to(p.dtype)


class Products(torch.autograd.Function):
    """softmax(q k^T, masked) v for [N, g * Q, d] queries and [N, K, d] keys; `visible` is [N or 1, g * Q, K]."""

    @staticmethod
    def forward(ctx, q, k, v, visible, ops):
        p = ops.softmax(torch.bmm(q, k.transpose(1, 2)), visible)
        ctx.save_for_backward(q, k, v, p)
        ctx.ops = ops
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx, grad):
        q, k, v, p = ctx.saved_tensors
        grad = grad.contiguous()
        dv = torch.bmm(p.transpose(1, 2), grad)
        ds = ctx.ops.softmax_gradient(p, torch.bmm(grad, v.transpose(1, 2)))
        return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), dv, None, None


def visible_in_chunk(Q, back, device):
    """[Q, back + Q] and whether it lies in the window of `Q` keys (if there is a chunk in front)."""
    i = torch.arange(Q, device=device)[:, None] + back
    j = torch.arange(back + Q, device=device)[None]
    return (j <= i) & ((j > i - Q) | (back == 0))


def attend(q, k, v, window, ops):
    """[B, T, heads, d] queries, [B, T, kv, d] keys and values, to [B, T, heads * d]."""
    B, T, nh, d = q.shape
    kv = k.shape[2]
    if q.is_cuda or T % (window or T):
        return plain(q, k, v, window)
    g = nh // kv
    Q = T if window is None or T <= window else window
    n, back = T // Q, 0 if Q == T else Q

    def keys(t):        # [B * n * kv, back + Q, d], chunk by chunk with the one before it
        t = t.permute(0, 2, 1, 3).unflatten(2, (n, Q))
        if back:
            t = torch.cat([F.pad(t[:, :, :-1], (0, 0, 0, 0, 1, 0)), t], 3)
        return t.transpose(1, 2).reshape(B * n * kv, back + Q, d)

    rows = q.unflatten(1, (n, Q)).unflatten(3, (kv, g)).permute(0, 1, 3, 4, 2, 5).reshape(B * n * kv, g * Q, d)
    visible = visible_in_chunk(Q, back, q.device).repeat(g, 1)
    if back:            # before the first chunk there is nothing
        first = visible & (torch.arange(back + Q, device=q.device) >= back)
        visible = torch.stack([first] + [visible] * (n - 1)).repeat_interleave(kv, 0).repeat(B, 1, 1)
    else:
        visible = visible[None]
    o = Products.apply(rows, keys(k), keys(v), visible, ops)
    return o.view(B, n, kv, g, Q, d).permute(0, 1, 4, 2, 3, 5).reshape(B, T, nh * d)


def plain(q, k, v, window):
    """The library's attention, for GPUs and for odd lengths."""
    T = q.shape[1]
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    mask = None
    if window is not None and T > window:
        i = torch.arange(T, device=q.device)
        mask = (i[None] <= i[:, None]) & (i[None] > i[:, None] - window)
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=1.0, enable_gqa=q.shape[1] != k.shape[1])
    return o.transpose(1, 2).flatten(2)

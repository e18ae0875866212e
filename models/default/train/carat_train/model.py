"""The `gemma4` graph with experts, as the inference engines run it.

Parameters carry the names of their GGUF tensors, so a state dict is the content of a model file.
Master weights are float32; matrices are cast to `compute_dtype` where they are used.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .attention import attend
from .moe import collect, dispatch, experts


def rms(x, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def geglu(x):
    gate, up = x.chunk(2, -1)
    return F.gelu(gate, approximate="tanh") * up


def normed(x, weight, eps, dtype):
    return (rms(x, eps) * weight).to(dtype)


def residual(x, branch, weight, eps):
    """x plus the normed branch, in float32."""
    return x + rms(branch, eps) * weight


def after_attention(x, a, w_post, w_dense, w_sparse, router, scale, k, eps, dtype):
    """Residual, inputs of the dense MLP and of the experts, and the router's choice; all share one norm.

    The router is a softmax over all experts, of which the best k are renormalised.
    """
    r = x + rms(a, eps) * w_post
    n = rms(r, eps)
    logits = (n * (scale * r.shape[-1] ** -0.5)) @ router.t()
    p = logits.softmax(-1)
    top, chosen = p.topk(k, -1)
    share = top / top.sum(-1, keepdim=True)
    return r, (n * w_dense).to(dtype), (n * w_sparse).to(dtype), chosen, share, p.mean(0), logits.logsumexp(-1).square().mean()


def after_ffn(r, dense, sparse, w1, w2, w, scale, w_next, eps, dtype):
    """Dense MLP and experts are normed, added, normed again; and the norm that comes next."""
    x = (r + rms(rms(dense, eps) * w1 + rms(sparse, eps) * w2, eps) * w) * scale
    return x, (rms(x, eps) * w_next).to(dtype)


def rotate(x, cos, sin):
    """NeoX pairing (i, i + d/2) over the whole head; x is [B, T, heads, d]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention(q, k, v, wq, wk, cos, sin, window, eps, dtype):
    """Norms and rotation of queries and keys, the weightless norm of values, and what the queries find."""
    return attend(rotate(rms(q, eps) * wq, cos, sin).to(dtype), rotate(rms(k, eps) * wk, cos, sin).to(dtype), rms(v, eps).to(dtype), window)


def cap_and_loss(logits, targets, weights, softcap):
    """Cross-entropy of each row behind the softcap, and the weighted gradient of the logits.

    The cap keeps exponents below `softcap`, so that no maximum has to be subtracted.
    """
    t = torch.tanh(logits.float() / softcap)
    e = (softcap * t).exp()
    total = e.sum(-1, keepdim=True)
    onehot = torch.arange(logits.shape[1], device=logits.device)[None] == targets[:, None]
    grad = (e / total - onehot.float()) * (1 - t * t) * weights[:, None]
    nll = total.log() - softcap * t.gather(1, targets[:, None])
    return nll[:, 0], grad.to(logits.dtype)


def weighted(rows, share):
    """The sum of each token's experts, [N, k, H] rows with [N, k] shares, in float32."""
    return (rows.float() * share.unsqueeze(-1)).sum(1)


def scaled(share, scale, chosen):
    """Shares times the scales of the chosen experts. A product with ones and zeros, since the gradient of
    indexing has conflicts, which a GPU sorts out slowly."""
    one_hot = (chosen.unsqueeze(-1) == torch.arange(scale.shape[0], device=chosen.device)).to(scale.dtype)
    return share * (one_hot * scale).sum(-1)


class Ops:
    """The element-wise pieces of the graph: as they are, or each fused by PyTorch's compiler (GPU).

    On CPU `kernels.KernelOps` does the same faster. `grouped` takes the library's grouped product for the
    experts on CPU too, so that the GPU's path can be tested without one.
    """

    PIECES = (normed, attention, residual, geglu, after_attention, after_ffn, cap_and_loss, weighted, scaled)

    def __init__(self, compiled=False, grouped=False):
        for f in self.PIECES:
            setattr(self, f.__name__, torch.compile(f, dynamic=False) if compiled else f)
        self.dispatch, self.grouped = dispatch, grouped

    def combine(self, y, plan, share):
        return self.weighted(collect(y, plan).unflatten(0, share.shape), share)


class Weight(nn.Module):
    """A named tensor; a row of GGUF's list that ends in `.weight`."""

    def __init__(self, *shape, std=None, fill=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape) * std if fill is None else torch.full(shape, float(fill)))


class Router(Weight):
    def __init__(self, experts, hidden):
        super().__init__(experts, hidden, std=0.5)
        self.scale = nn.Parameter(torch.ones(hidden))


class Down(Weight):
    def __init__(self, experts, hidden, ffn):
        super().__init__(experts, hidden, ffn, std=ffn ** -0.5)
        self.scale = nn.Parameter(torch.ones(experts))


class Block(nn.Module):
    def __init__(self, c, i):
        super().__init__()
        self.c, self.i = c, i
        H, d, kv = c.hidden, c.dim(i), c.kv(i)
        branch = (2 * len(c.layers)) ** -0.5
        self.attn_norm = Weight(H, fill=1)
        self.attn_q = Weight(c.heads * d, H, std=H ** -0.5)
        self.attn_k = Weight(kv * d, H, std=H ** -0.5)
        if not (c.keys_are_values and c.is_global(i)):
            self.attn_v = Weight(kv * d, H, std=H ** -0.5)
        self.attn_q_norm = Weight(d, fill=1)
        self.attn_k_norm = Weight(d, fill=d ** -0.5)        # the graph does not divide scores by sqrt(d)
        self.attn_output = Weight(H, c.heads * d, std=(c.heads * d) ** -0.5)
        self.post_attention_norm = Weight(H, fill=branch)
        self.ffn_norm = Weight(H, fill=1)
        self.ffn_gate = Weight(c.ffn, H, std=H ** -0.5)
        self.ffn_up = Weight(c.ffn, H, std=H ** -0.5)
        self.ffn_down = Weight(H, c.ffn, std=c.ffn ** -0.5)
        self.post_ffw_norm = Weight(H, fill=branch)
        self.layer_output_scale = Weight(1, fill=1)
        if c.experts:
            self.post_ffw_norm_1 = Weight(H, fill=1)
            self.pre_ffw_norm_2 = Weight(H, fill=1)
            self.post_ffw_norm_2 = Weight(H, fill=1)
            self.ffn_gate_inp = Router(c.experts, H)
            self.ffn_gate_up_exps = Weight(c.experts, 2 * c.expert_ffn, H, std=H ** -0.5)
            self.ffn_down_exps = Down(c.experts, H, c.expert_ffn)

    def attention(self, m, h, B, T):
        c, d, dt = self.c, self.c.dim(self.i), m.compute_dtype
        q = F.linear(h, m.use(self.attn_q)).view(B, T, c.heads, d)
        k = F.linear(h, m.use(self.attn_k)).view(B, T, -1, d)
        v = F.linear(h, m.use(self.attn_v)).view(B, T, -1, d) if hasattr(self, "attn_v") else k
        cos, sin = m.rotation(self.i, T, h.device)
        o = m.ops.attention(q, k, v, self.attn_q_norm.weight, self.attn_k_norm.weight, cos, sin,
                            None if c.is_global(self.i) else c.window, c.eps, dt)
        return F.linear(o, m.use(self.attn_output))

    def dense(self, m, n):
        gate_up = torch.cat([m.use(self.ffn_gate), m.use(self.ffn_up)])
        return F.linear(m.ops.geglu(F.linear(n, gate_up)), m.use(self.ffn_down))

    def forward(self, m, x, h, B, T, w_next):
        """The residual stream `x` and its norm `h` to those of the next layer, and (balance loss, load)."""
        c, dt = self.c, m.compute_dtype
        a = self.attention(m, h, B, T)
        if not c.experts:
            r = m.ops.residual(x, a, self.post_attention_norm.weight, c.eps)
            f = self.dense(m, m.ops.normed(r, self.ffn_norm.weight, c.eps, dt))
            x = m.ops.residual(r, f, self.post_ffw_norm.weight, c.eps) * self.layer_output_scale.weight
            return x, m.ops.normed(x, w_next, c.eps, dt), None
        r, n1, n2, chosen, share, p, z = m.ops.after_attention(
            x, a, self.post_attention_norm.weight, self.ffn_norm.weight, self.pre_ffw_norm_2.weight,
            self.ffn_gate_inp.weight, self.ffn_gate_inp.scale, c.experts_used, c.eps, dt)
        sparse, counts = experts(n2, chosen, m.ops.scaled(share, self.ffn_down_exps.scale, chosen),
                                 m.use(self.ffn_gate_up_exps), m.use(self.ffn_down_exps), m.ops)
        x, h = m.ops.after_ffn(r, self.dense(m, n1), sparse, self.post_ffw_norm_1.weight, self.post_ffw_norm_2.weight,
                               self.post_ffw_norm.weight, self.layer_output_scale.weight, w_next, c.eps, dt)
        load = counts.float() / counts.sum()
        # Switch-style balance loss plus a small one that keeps router logits from growing.
        return x, h, (c.experts * (load * p).sum() + 0.1 * z, load)


class Model(nn.Module):
    def __init__(self, config, compute_dtype=torch.float32, ops=None):
        super().__init__()
        self.c, self.compute_dtype, self.ops = config, compute_dtype, ops or Ops()
        self.quantizer = None       # set in the last phase of training: makes weights as the file will have them
        self.token_embd = Weight(config.vocab, config.hidden, std=config.hidden ** -0.5)
        self.blk = nn.ModuleList(Block(config, i) for i in range(len(config.layers)))
        self.output_norm = Weight(config.hidden, fill=1)
        self._rotations = {}

    def use(self, module):
        """A matrix as the forward pass multiplies with it."""
        w = module.weight
        if self.quantizer is not None:
            w = self.quantizer(w)
        return w.to(self.compute_dtype)

    def rotation(self, layer, T, device):
        g = self.c.is_global(layer)
        key = g, T, str(device)
        if key not in self._rotations:
            d = self.c.dim(layer)
            base = self.c.rope_base if g else self.c.rope_base_swa
            freq = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
            if g:       # the rest of the head does not rotate
                freq[int(d // 2 * self.c.rope_rotated):] = 0
            angle = (torch.arange(T, dtype=torch.float64)[:, None] * freq).float().to(device)
            self._rotations[key] = angle.cos()[None, :, None], angle.sin()[None, :, None]
        return self._rotations[key]

    def hidden(self, tokens):
        """[B, T] ids to normed [B * T, H] and the routers' (balance loss, load) by layer."""
        B, T = tokens.shape
        x = F.embedding(tokens.flatten(), self.use(self.token_embd)).float() * math.sqrt(self.c.hidden)
        h = self.ops.normed(x, self.blk[0].attn_norm.weight, self.c.eps, self.compute_dtype)
        norms = [block.attn_norm for block in self.blk[1:]] + [self.output_norm]
        routers = []
        for block, following in zip(self.blk, norms):
            x, h, router = block(self, x, h, B, T, following.weight)
            routers.append(router)
        return h, [r for r in routers if r]

    def forward(self, tokens):
        h, _ = self.hidden(tokens)
        logits = F.linear(h, self.use(self.token_embd)).float()
        return (self.c.softcap * torch.tanh(logits / self.c.softcap)).view(*tokens.shape, -1)


class HeadLoss(torch.autograd.Function):
    """Output matrix, softcap and cross-entropy in chunks of rows; the logits are never held as a whole.

    The gradient is made on the way forward, where the logits are at hand.
    """

    @staticmethod
    def forward(ctx, h, embedding, targets, weights, softcap, chunk, ops):
        dh, de = torch.empty_like(h), torch.zeros(embedding.shape, dtype=torch.float32, device=h.device)
        nll = torch.empty(h.shape[0], device=h.device)
        for a in range(0, h.shape[0], chunk):
            s = slice(a, a + chunk)
            nll[s], g = ops.cap_and_loss(h[s] @ embedding.t(), targets[s], weights[s], softcap)
            torch.mm(g, embedding, out=dh[s])
            de += g.t() @ h[s]
        ctx.save_for_backward(dh, de.to(embedding.dtype))
        return (nll * weights).sum(), nll

    @staticmethod
    def backward(ctx, grad, _):
        dh, de = ctx.saved_tensors
        return dh * grad.to(dh.dtype), de * grad.to(de.dtype), None, None, None, None, None

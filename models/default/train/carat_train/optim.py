"""Muon for matrices, AdamW for the rest, each parameter updated by the one worker that owns it."""

import torch

MUON = ("attn_q.", "attn_k.", "attn_v.", "attn_output.", "ffn_gate.", "ffn_up.", "ffn_down.", "_exps.weight")


def is_muon(name):
    return any(part in name for part in MUON) and name.endswith(".weight")


def orthogonalise(g, dtype, steps=5):
    """Newton-Schulz iteration (Keller Jordan's quintic) on the last two axes."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(dtype)
    wide = x.shape[-2] > x.shape[-1]
    if wide:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.mT if wide else x


def as_matrices(name, x):
    """The gate and up halves of an expert are two matrices."""
    if "gate_up_exps" in name:
        return x.view(x.shape[0] * 2, x.shape[1] // 2, x.shape[2])
    return x


def fresh_state(named):
    """What the optimiser remembers of each parameter, by name."""
    state = {}
    for name, p in named:
        if is_muon(name):
            state[name] = {"momentum": torch.zeros_like(p)}
        else:
            state[name] = {"m": torch.zeros_like(p), "v": torch.zeros_like(p), "t": torch.zeros(1, dtype=torch.int64)}
    return state


class Optimizer:
    def __init__(self, named, config, state):
        """`state` is kept, not copied: other processes may share it."""
        self.named, self.c = named, config
        self.dtype = getattr(torch, config.precision)
        self.state = {name: state[name] for name, _ in named}

    @torch.no_grad()
    def step(self, grads, scale):
        """`grads` by name; `scale` is the schedule's factor on both learning rates."""
        c = self.c
        for name, p in self.named:
            g, s = grads[name], self.state[name]
            if is_muon(name):
                s["momentum"].mul_(c.momentum).add_(g)
                u = orthogonalise(as_matrices(name, g.add(s["momentum"], alpha=c.momentum)), self.dtype)
                gain = max(1.0, u.shape[-2] / u.shape[-1]) ** 0.5
                lr = c.muon_lr * scale
                p.mul_(1 - lr * c.weight_decay).add_(u.reshape(p.shape).float(), alpha=-lr * gain)
            else:
                s["t"] += 1
                t = s["t"].item()
                s["m"].lerp_(g, 0.1)
                s["v"].lerp_(g.square(), 0.05)
                m, v = s["m"] / (1 - 0.9 ** t), s["v"] / (1 - 0.95 ** t)
                p.add_(m / (v.sqrt() + 1e-8), alpha=-c.adam_lr * scale)

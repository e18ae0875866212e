"""Compare the CPU kernels with the plain operations, on values far beyond those of a healthy run.

    python -m carat_train.check_kernels
"""

import torch

from .kernels import KernelOps, library
from .model import Ops, geglu


def close(name, got, want, limit=0.02):
    worst = ((got.float() - want.float()).norm() / want.float().norm()).item()
    if not worst <= limit:      # true for NaN too
        raise SystemExit(f"{name}: relative error {worst}")
    print(f"{name}: relative error {worst:.1e}")


def check_geglu():
    gate = torch.linspace(-60, 60, 4096).bfloat16()[None]
    x = torch.cat([gate, torch.randn(1, 4096).bfloat16()], -1)
    a, b = x.clone().requires_grad_(), x.float().clone().requires_grad_()
    g = torch.randn(1, 4096)
    ya, yb = KernelOps().geglu(a), geglu(b)
    ya.backward(g.bfloat16())
    yb.backward(g)
    close("geglu", ya, yb)
    close("geglu, gradient", a.grad, b.grad)


def check_loss():
    logits = torch.randn(64, 8192) * torch.logspace(-1, 4, 64)[:, None]
    targets, weights = torch.randint(8192, (64,)), torch.rand(64)
    want = Ops().cap_and_loss(logits.bfloat16(), targets, weights, 30.0)
    got = KernelOps().cap_and_loss(logits.bfloat16(), targets, weights, 30.0)
    close("loss", got[0], want[0])
    close("loss, gradient", got[1], want[1])


def main():
    torch.manual_seed(0)
    library()
    check_geglu()
    check_loss()


if __name__ == "__main__":
    main()

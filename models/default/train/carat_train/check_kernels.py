"""Compare the CPU kernels with the plain operations, on values far beyond those of a healthy run.

    python -m carat_train.check_kernels
"""

import torch

from .kernels import KernelOps
from .model import Ops, geglu


def close(name, got, want, limit=0.02):
    worst = ((got.float() - want.float()).norm() / want.float().norm()).item()
    if not worst <= limit:      # true for NaN too
        raise SystemExit(f"{name}: relative error {worst}")
    print(f"{name}: relative error {worst:.1e}")


def check_geglu(dtype):
    gate = torch.linspace(-60, 60, 4096).to(dtype)[None]
    x = torch.cat([gate, torch.randn(1, 4096).to(dtype)], -1)
    a, b = x.clone().requires_grad_(), x.float().clone().requires_grad_()
    g = torch.randn(1, 4096)
    ya, yb = KernelOps(dtype).geglu(a), geglu(b)
    ya.backward(g.to(dtype))
    yb.backward(g)
    close("geglu", ya, yb)
    close("geglu, gradient", a.grad, b.grad)


def check_loss(dtype):
    logits = torch.randn(64, 8192) * torch.logspace(-1, 4, 64)[:, None]
    targets, weights = torch.randint(8192, (64,)), torch.rand(64)
    want = Ops().cap_and_loss(logits.to(dtype), targets, weights, 30.0)
    got = KernelOps(dtype).cap_and_loss(logits.to(dtype), targets, weights, 30.0)
    close("loss", got[0], want[0])
    close("loss, gradient", got[1], want[1])


def main():
    torch.manual_seed(0)
    for dtype in (torch.bfloat16, torch.float32):
        print(dtype)
        check_geglu(dtype)
        check_loss(dtype)


if __name__ == "__main__":
    main()

"""The three ways to compute the graph agree: CPU kernels, plain operations, and the GPU's path on CPU."""

import unittest

import torch

from carat_train.config import ModelConfig
from carat_train.kernels import KernelOps
from carat_train.model import HeadLoss, Model, Ops

CONFIG = ModelConfig(vocab=512, hidden=64, layers="SG", heads=4, kv_heads=2, kv_heads_global=2, head_dim=32, head_dim_global=32,
                     ffn=96, experts=4, experts_used=2, expert_ffn=32, window=48, context=256)


def gradients(ops, dtype, device="cpu"):
    """Loss and all gradients of a fixed batch."""
    torch.manual_seed(3)
    model = Model(CONFIG, dtype, ops)
    model.to(device)
    x = torch.randint(CONFIG.vocab, (2, 256)).to(device)
    y, w = torch.randint(CONFIG.vocab, (512,)).to(device), (torch.rand(512) / 512).to(device)
    h, routers = model.hidden(x)
    loss, _ = HeadLoss.apply(h, model.use(model.token_embd), y, w, CONFIG.softcap, 256, model.ops)
    (loss + 0.01 * sum(b for b, _ in routers)).backward()
    return loss.item(), {n: p.grad.float().cpu() for n, p in model.named_parameters() if p.grad is not None}


class SameGradients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.loss, cls.want = gradients(Ops(), torch.float32)

    def compare(self, ops, dtype, limit, device="cpu"):
        loss, got = gradients(ops, dtype, device)
        self.assertAlmostEqual(loss, self.loss, delta=limit)
        for name, want in self.want.items():
            if "layer_output_scale" in name and name not in got:
                continue
            self.assertTrue(torch.isfinite(got[name]).all(), name)
            difference = ((got[name] - want).norm() / (want.norm() + 1e-12)).item()
            self.assertLess(difference, limit, name)

    def test_kernels(self):
        self.compare(KernelOps(torch.bfloat16), torch.bfloat16, 0.2)

    def test_kernels_in_float32(self):
        self.compare(KernelOps(torch.float32), torch.float32, 1e-3)

    def test_plain_in_bfloat16(self):
        self.compare(Ops(), torch.bfloat16, 0.2)

    def test_grouped_product(self):
        self.compare(Ops(grouped=True), torch.bfloat16, 0.2)

    def test_compiled_and_grouped(self):
        self.compare(Ops(compiled=True, grouped=True), torch.bfloat16, 0.2)

    @unittest.skipUnless(torch.cuda.is_available(), "no GPU")
    def test_gpu(self):
        self.compare(Ops(), torch.bfloat16, 0.2, "cuda")
        self.compare(Ops(compiled=True), torch.bfloat16, 0.2, "cuda")


if __name__ == "__main__":
    unittest.main()

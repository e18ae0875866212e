"""Sparse experts: tokens are sorted by expert, and each expert multiplies its own rows.

No capacity limit: every token reaches the experts it chose. Groups of rows are padded to a multiple
of GROUP, since the matrix library prepares a kernel for every number of rows that it meets, which
costs ten times the multiplication if that number is always new. The total of rows is constant.
"""

import torch
import torch.nn.functional as F

GROUP = 32


class Plan:
    """Where each (token, choice) goes among the padded groups of rows."""

    def __init__(self, chosen, experts, grouped=False):
        n, k = chosen.shape
        flat = chosen.flatten()
        # Not bincount, for which a GPU has to wait; sums of whole numbers are exact in any order.
        counts = torch.zeros(experts, dtype=torch.long, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))
        padded = (counts + GROUP - 1) // GROUP * GROUP
        ends = padded.cumsum(0)
        order = flat.argsort(stable=True)
        shift = (ends - padded) - (counts.cumsum(0) - counts)
        rows = torch.arange(n * k, device=flat.device) + shift[flat[order]]
        total = n * k + experts * GROUP
        self.k, self.counts = k, counts
        self.row_of = torch.empty_like(order).index_copy_(0, order, rows)       # of each (token, choice)
        self.token_of = torch.zeros(total, dtype=torch.long, device=flat.device).index_copy_(0, rows, order // k)
        self.choice_of = torch.zeros(total, dtype=torch.long, device=flat.device).index_copy_(0, rows, order)
        self.empty = torch.ones(total, dtype=torch.bool, device=flat.device).index_fill_(0, rows, False)
        self.ends = ends.to(torch.int32)
        self.bounds = None if grouped else [0] + ends.tolist()


class Dispatch(torch.autograd.Function):
    """Rows of `x` copied to where their experts expect them; the gradient gathers them again.

    Indexing would do the same, but its gradient is a scatter with conflicts, many times slower.
    """

    @staticmethod
    def forward(ctx, x, plan):
        ctx.plan = plan
        return x.index_select(0, plan.token_of)

    @staticmethod
    def backward(ctx, grad):
        return grad.index_select(0, ctx.plan.row_of).unflatten(0, (-1, ctx.plan.k)).sum(1), None


class Collect(torch.autograd.Function):
    """The rows of every (token, choice), in order. Rows of padding get no gradient."""

    @staticmethod
    def forward(ctx, y, plan):
        ctx.plan = plan
        return y.index_select(0, plan.row_of)

    @staticmethod
    def backward(ctx, grad):
        return grad.index_select(0, ctx.plan.choice_of).masked_fill_(ctx.plan.empty[:, None], 0), None


def dispatch(x, plan):
    return Dispatch.apply(x, plan)


def collect(y, plan):
    return Collect.apply(y, plan)


class GroupedLinear(torch.autograd.Function):
    """`y[i] = W[expert of row i] x[i]` for rows in groups by expert; `bounds` are the limits of the groups."""

    @staticmethod
    def forward(ctx, x, weight, bounds):
        ctx.save_for_backward(x, weight)
        ctx.bounds = bounds
        y = x.new_empty(x.shape[0], weight.shape[1])
        for e in range(weight.shape[0]):
            a, b = bounds[e], bounds[e + 1]
            if b > a:
                torch.mm(x[a:b], weight[e].t(), out=y[a:b])
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.empty_like(weight)
        for e in range(weight.shape[0]):
            a, b = ctx.bounds[e], ctx.bounds[e + 1]
            if b > a:
                torch.mm(grad[a:b], weight[e], out=dx[a:b])
                torch.mm(grad[a:b].t(), x[a:b], out=dw[e])
            else:
                dw[e].zero_()
        return dx, dw, None


def grouped_linear(x, weight, plan):
    if plan.bounds is None:
        return F.grouped_mm(x, weight.transpose(1, 2), offs=plan.ends)
    return GroupedLinear.apply(x, weight, plan.bounds)


def experts(x, chosen, share, gate_up, down, ops):
    """Sum over each row's chosen experts of share * down(geglu(gate_up(x))), and the tokens by expert.

    With the grouped product, rows behind the last group hold whatever was in memory. No gradient and no
    result is ever taken from them: `Collect` reads and writes back the rows of `row_of` alone.
    """
    plan = Plan(chosen, gate_up.shape[0], ops.grouped or chosen.is_cuda)
    hidden = ops.geglu(grouped_linear(ops.dispatch(x, plan), gate_up, plan))
    return ops.combine(grouped_linear(hidden, down, plan), plan, share), plan.counts

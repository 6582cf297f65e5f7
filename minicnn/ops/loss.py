"""Losses: cross-entropy on logits, and negative log-likelihood."""

import math

from .. import kernels
from ..arrays import Array, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from ..kernels.reference import per_row, reduced, target_rows
from .arithmetic import check_types
from .samples import changed, refused, sample


def check_reduction(op: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{op}: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def _rows(x: Array) -> Array:
    """(C), (N, C) or (N, C, d1, ...) -> (M, C): one row per prediction."""
    if x.ndim == 2:
        return x
    x = x[None] if x.ndim == 1 else module_of(x).moveaxis(x, 1, -1)
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _unrows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The way back from _rows."""
    if len(shape) <= 2:
        return rows if len(shape) == 2 else rows[0]
    return module_of(rows).moveaxis(rows.reshape(shape[:1] + shape[2:] + shape[1:2]), -1, 1)


def _per_prediction(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of class indices (and of losses) for an input of this shape."""
    return () if len(shape) == 1 else shape[:1] + shape[2:]


def _check(op: str, x: Array, target: Array, weight: Array | None) -> bool:
    """Whether the target holds probabilities, not class indices; refuses what is neither."""
    if x.ndim == 0:
        raise ShapeError(f"{op}: input must be (C), (N, C) or (N, C, ...), not a single number")
    soft = is_floating(target.dtype) and target.shape == x.shape
    check_types(op, input=x, target=target if soft else None, weight=weight)
    classes = x.shape[min(1, x.ndim - 1)]
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{op}: weight must be (C={classes},), not {weight.shape}")
    if not soft and target.dtype.kind not in "iu":
        raise DtypeError(f"{op}: class indices must be integers, not {target.dtype}; use .long()")
    if not soft and target.shape != (expected := _per_prediction(x.shape)):
        raise ShapeError(f"{op}: class indices must be {expected}, not {target.shape}")
    return soft


class CrossEntropy(Function, kernel=True):
    """loss_i = -w_t log softmax(x_i)_t for class indices t, or -sum_c w_c q_ic log softmax(x_i)_c.

    Softmax and logarithm in one, shifted by the maximum: stable at any logits.  label_smoothing e
    replaces a target distribution q by (1 - e) q + e/C.  "mean" divides by the sum of the weights
    w_t of the targets that are not ignore_index, or by the number of rows for probabilities.

    VJP: g_i (softmax(x_i) sum_c(q_ic) - q_i) with the weighted, smoothed q.

    Shapes: input (C), (N, C) or (N, C, d1, ...); target () / (N) / (N, d1, ...) of integers, or
    probabilities shaped as the input.
    """

    @staticmethod
    def forward(
        ctx, input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ):
        check_reduction("cross_entropy", reduction)
        if not 0 <= label_smoothing <= 1:
            raise ArgumentError(f"cross_entropy: label_smoothing {label_smoothing} not in [0, 1]")
        soft = ctx.soft = _check("cross_entropy", input, target, weight)
        if is_floating(target.dtype) and ignore_index >= 0:
            raise ArgumentError("cross_entropy: ignore_index is for class indices only")
        ctx.shape, ctx.reduction = input.shape, reduction
        rows = _rows(input)
        if soft:
            classes = rows.shape[1]
            q = (1 - label_smoothing) * _rows(target) + label_smoothing / classes
            q = (q if weight is None else q * weight).astype(input.dtype)
            ctx.target_scale = (1 - label_smoothing) * (1 if weight is None else weight)
            losses, ctx.saved = kernels.forward("softmax_cross_entropy", rows, q)
            y = reduced(losses, reduction, len(rows))
        else:
            labels = target if target.ndim == 1 else target.reshape(-1).copy()
            how = weight, ignore_index, reduction, label_smoothing
            y, ctx.saved = kernels.forward("cross_entropy", rows, labels, *how)
        return y if reduction != "none" else y.reshape(_per_prediction(ctx.shape))

    @staticmethod
    def backward(ctx, g):
        if ctx.reduction == "none":
            g = g.reshape(-1)
        if not ctx.soft:
            (dx,) = kernels.backward("cross_entropy", g, ctx.saved, ctx.needs_input_grad[:1])
            return (_unrows(dx, ctx.shape),)
        count = math.prod(_per_prediction(ctx.shape))
        g, needs = per_row(g, count, ctx.reduction, count), ctx.needs_input_grad[:2]
        dx, dq = kernels.backward("softmax_cross_entropy", g, ctx.saved, needs)
        dtarget = None if dq is None else _unrows(dq * ctx.target_scale, ctx.shape)
        return None if dx is None else _unrows(dx, ctx.shape), dtarget

    @staticmethod
    def samples(rng):
        x, t = rng.standard_normal((4, 3)), rng.integers(0, 3, 4)
        w, q = rng.uniform(0.5, 2, 3), rng.dirichlet(rng.uniform(0.5, 2, 3), 4)
        yield sample(x, t)
        for reduction in ("sum", "none"):
            yield sample(x, t, reduction=reduction)
            yield sample(x, q, reduction=reduction)
        yield sample(x, t, weight=w)
        yield sample(x, t, weight=w, label_smoothing=0.2)
        yield sample(x, changed(t, 1, -100), weight=w, label_smoothing=0.1)
        yield sample(x, changed(t, 2, 1), ignore_index=1)
        yield sample(x, q)
        yield sample(x, q, weight=w, label_smoothing=0.2)
        yield sample(rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5)))
        yield sample(rng.standard_normal((2, 3, 5)), rng.dirichlet(rng.uniform(1, 2, 5), (2, 3)))
        yield sample(rng.standard_normal(3), rng.integers(0, 3, ()))
        yield sample(rng.standard_normal((3, 3)), rng.integers(0, 3, 3))
        yield sample(rng.standard_normal((3, 3)), rng.dirichlet(rng.uniform(0.5, 2, 3), 3))
        yield sample(rng.standard_normal((4, 3)) * 1e4, t)
        yield sample(rng.standard_normal((3, 4)).T[::-1], t)
        yield refused(ShapeError, r"indices must be \(4,\), not \(3,\)", x, t[:3])
        yield refused(ArgumentError, "target 3 is no class: there are 3", x, changed(t, 0, 3))
        yield refused(DtypeError, "must be integers", x, t * 1.0)
        yield refused(ArgumentError, "reduction must be", x, t, reduction="average")
        yield refused(ShapeError, r"weight must be \(C=3,\)", x, t, weight=w[:2])
        yield refused(ArgumentError, "for class indices only", x, q, ignore_index=1)


class NLLLoss(Function):
    """loss_i = -w_t x_i,t for class indices t: cross-entropy after log_softmax.

    "mean" divides by the sum of the targets' weights.  VJP: -w_t g_i at the target, else 0.
    """

    @staticmethod
    def forward(ctx, input, target, weight=None, ignore_index=-100, reduction="mean"):
        check_reduction("nll_loss", reduction)
        _check("nll_loss", input, target, weight)
        rows, labels = _rows(input), target.reshape(-1)
        ctx.shape, ctx.reduction = input.shape, reduction
        classes = rows.shape[1]
        q, ctx.total = target_rows(labels, classes, input.dtype, weight, ignore_index, 0.0)
        ctx.save_for_backward(q)
        losses = -module_of(q).where(q == 0, 0, q * rows).sum(axis=1)
        y = reduced(losses, reduction, ctx.total)
        return y if reduction != "none" else y.reshape(_per_prediction(ctx.shape))

    @staticmethod
    def backward(ctx, g):
        (q,) = ctx.saved_tensors
        g = g.reshape(-1) if ctx.reduction == "none" else g
        g = per_row(g, len(q), ctx.reduction, ctx.total)
        return (_unrows(-q * g[:, None], ctx.shape),)

    @staticmethod
    def samples(rng):
        x, t, w = rng.standard_normal((4, 3)), rng.integers(0, 3, 4), rng.uniform(0.5, 2, 3)
        for reduction in ("mean", "sum", "none"):
            yield sample(x, t, reduction=reduction)
        yield sample(x, changed(t, 1, -100), weight=w)
        yield sample(rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5)))
        yield sample(rng.standard_normal((3, 3)), rng.integers(0, 3, 3))
        yield sample(rng.standard_normal(3), rng.integers(0, 3, ()))
        yield refused(ShapeError, r"indices must be \(4,\), not \(3,\)", x, t[:3])
        yield refused(ArgumentError, "target -1 is no class", x, changed(t, 0, -1))
        yield refused(DtypeError, "must be integers", x, t * 1.0)

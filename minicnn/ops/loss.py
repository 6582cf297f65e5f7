"""Losses: cross-entropy on logits, and negative log-likelihood."""

import math
from typing import Any

from .. import kernels
from ..arrays import Array, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
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


def _one_hot(op: str, x: Array, target: Array, classes: int, ignore: int) -> tuple[Array, Any]:
    """Class indices as rows of bools, (M, C), False where ignored; and which rows count, (M, 1).

    Refuses indices of the wrong type, shape or range.
    """
    expected, xp = _per_prediction(x.shape), module_of(x)
    if target.dtype.kind not in "iu":
        raise DtypeError(f"{op}: class indices must be integers, not {target.dtype}; use .long()")
    if target.shape != expected:
        raise ShapeError(f"{op}: class indices must be {expected}, not {target.shape}")
    labels = target.reshape(-1, 1)
    q = labels == xp.arange(classes)
    if xp.count_nonzero(q) == len(q) and not 0 <= ignore < classes:
        return q, True  # each row has its class, as nearly always
    counts = labels != ignore
    wrong = labels[counts & ~q.any(axis=1, keepdims=True)]
    if wrong.size:
        found = f"{op}: target {wrong[0]} is no class: there are {classes}, counted from 0"
        raise ArgumentError(f"{found} (ignore_index is {ignore})")
    return q & counts, counts


def _distribution(
    op: str, x: Array, target: Array, weight: Array | None, ignore: int, smoothing: float = 0.0
) -> tuple[Array, float]:
    """(q, divisor): one row of weighted target probabilities per prediction, (M, C), and what
    "mean" divides by.
    """
    if x.ndim == 0:
        raise ShapeError(f"{op}: input must be (C), (N, C) or (N, C, ...), not a single number")
    soft = is_floating(target.dtype) and target.shape == x.shape
    check_types(op, input=x, target=target if soft else None, weight=weight)
    classes = x.shape[min(1, x.ndim - 1)]
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{op}: weight must be (C={classes},), not {weight.shape}")
    q, counts = (_rows(target), True) if soft else _one_hot(op, x, target, classes, ignore)
    plain = soft or (counts is True and weight is None)
    divisor = float(len(q)) if plain else float((q if weight is None else q * weight).sum())
    q = (1 - smoothing) * q + smoothing / classes * counts if smoothing else q
    q = q if weight is None else q * weight
    return q.astype(x.dtype), divisor


def _reduced(ctx: Any, losses: Array, reduction: str, divisor: float) -> Array:
    """The losses of all rows, reduced; leaves in ctx what _per_row needs."""
    ctx.rows, ctx.reduction = losses.shape, reduction
    ctx.divisor = divisor if reduction == "mean" else 1.0
    if reduction == "none":
        return losses.reshape(_per_prediction(ctx.shape))
    return losses.sum() / losses.dtype.type(ctx.divisor or math.nan)  # 0 / 0 without a warning


def _per_row(ctx: Any, g: Array) -> Array:
    """The gradient of each row's loss: the backward of _reduced.

    The mean over no rows is NaN, but its gradient 0, as in PyTorch.
    """
    if ctx.reduction == "none":
        return g.reshape(ctx.rows)
    return module_of(g).full(ctx.rows, g / (ctx.divisor or math.inf))


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
        if is_floating(target.dtype) and ignore_index >= 0:
            raise ArgumentError("cross_entropy: ignore_index is for class indices only")
        more = (weight, ignore_index, label_smoothing)
        q, divisor = _distribution("cross_entropy", input, target, *more)
        losses, ctx.saved = kernels.forward("softmax_cross_entropy", _rows(input), q)
        ctx.shape = input.shape
        ctx.target_scale = (1 - label_smoothing) * (1 if weight is None else weight)
        return _reduced(ctx, losses, reduction, divisor)

    @staticmethod
    def backward(ctx, g):
        needs = ctx.needs_input_grad[:2]
        dx, dq = kernels.backward("softmax_cross_entropy", _per_row(ctx, g), ctx.saved, needs)
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
        q, divisor = _distribution("nll_loss", input, target, weight, ignore_index)
        ctx.shape = input.shape
        ctx.save_for_backward(q)
        losses = -module_of(q).where(q == 0, 0, q * _rows(input)).sum(axis=1)
        return _reduced(ctx, losses, reduction, divisor)

    @staticmethod
    def backward(ctx, g):
        (q,) = ctx.saved_tensors
        return (_unrows(-q * _per_row(ctx, g)[:, None], ctx.shape),)

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

"""Losses: cross-entropy on logits, negative log-likelihood, mean squared error."""

from typing import Any

from .. import kernels
from ..arrays import Array, is_floating, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from .linear import check_types
from .samples import refused, sample


def _check_reduction(op: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{op}: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def _rows(x: Array) -> Array:
    """(C), (N, C) or (N, C, d1, ...) -> (M, C): one row per prediction."""
    classes = x.shape[min(1, x.ndim - 1)]
    moved = x if x.ndim < 3 else module_of(x).moveaxis(x, 1, -1)
    return moved.reshape(x.size // max(1, classes), classes)


def _unrows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The way back from _rows."""
    if len(shape) < 3:
        return rows.reshape(shape)
    return module_of(rows).moveaxis(rows.reshape(shape[:1] + shape[2:] + shape[1:2]), -1, 1)


def _check_classes(op: str, x: Array, target: Array, ignore_index: int) -> None:
    """Refuses class indices of the wrong type, shape or range."""
    if x.ndim == 0:
        raise ShapeError(f"{op}: input must be (C), (N, C) or (N, C, ...), not a single number")
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if target.dtype.kind not in "iu":
        raise DtypeError(f"{op}: class indices must be integers, not {target.dtype}; use .long()")
    if target.shape != expected:
        raise ShapeError(
            f"{op}: input is {x.shape}, so class indices must be {expected}, not {target.shape}"
        )
    classes = x.shape[min(1, x.ndim - 1)]
    wrong = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if wrong.any():
        raise ArgumentError(
            f"{op}: target {int(target[wrong].ravel()[0])} is no class: there are {classes}, "
            f"counted from 0 (ignore_index is {ignore_index})"
        )


def _check_weight(op: str, weight: Array | None, classes: int) -> None:
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{op}: weight must be (C={classes},), not {weight.shape}")


def _picked(x: Array, target: Array, weight: Array | None, ignore: int) -> tuple[Array, Array]:
    """(M, C) with each row's class weight at its target and 0 elsewhere, and which rows count."""
    xp = module_of(x)
    labels = target.reshape(-1)
    counts = labels != ignore
    safe = xp.where(counts, labels, 0)
    one_hot = xp.zeros(x.shape, x.dtype)
    one_hot[xp.arange(len(labels)), safe] = counts if weight is None else counts * weight[safe]
    return one_hot, counts


def _reduced(ctx: Any, losses: Array, reduction: str, divisor: Any, shape: tuple) -> Array:
    """The losses of all rows, reduced; leaves in ctx what _per_row needs."""
    ctx.reduction, ctx.divisor, ctx.rows = reduction, divisor, losses.shape[0]
    if reduction == "none":
        return losses.reshape(shape)
    total = losses.sum()
    if reduction == "sum":
        return total
    return total / divisor if divisor else total * float("nan")


def _per_row(ctx: Any, g: Array) -> Array:
    """The gradient of each row's loss: the backward of _reduced."""
    if ctx.reduction == "none":
        return g.reshape(ctx.rows)
    if ctx.reduction == "mean":
        g = g / ctx.divisor if ctx.divisor else g * float("nan")
    return module_of(g).broadcast_to(g, (ctx.rows,))


class CrossEntropy(Function):
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
        _check_reduction("cross_entropy", reduction)
        if not 0 <= label_smoothing <= 1:
            raise ArgumentError(
                f"cross_entropy: label_smoothing {label_smoothing} is not in [0, 1]"
            )
        soft = is_floating(target.dtype) and target.shape == input.shape
        if not soft:
            _check_classes("cross_entropy", input, target, ignore_index)
        check_types("cross_entropy", input=input, target=target if soft else None, weight=weight)
        x = _rows(input)
        classes = x.shape[1]
        _check_weight("cross_entropy", weight, classes)
        scale = 1 if weight is None else weight
        if soft:
            q, counts, divisor = _rows(target) * scale, 1, x.shape[0]
        else:
            q, counted = _picked(x, target, weight, ignore_index)
            counts, divisor = counted[:, None], float(q.sum())
        if label_smoothing:
            q = (1 - label_smoothing) * q + label_smoothing / classes * counts * scale
        q = q.astype(x.dtype, copy=False)
        losses, ctx.saved = kernels.forward("softmax_cross_entropy", x, q)
        ctx.shape, ctx.target_scale = input.shape, (1 - label_smoothing) * scale
        return _reduced(
            ctx,
            losses,
            reduction,
            divisor,
            input.shape[:1] + input.shape[2:] if input.ndim > 1 else (),
        )

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
        yield sample(x, np_set(t, 1, -100), weight=w, label_smoothing=0.1)
        yield sample(x, np_set(t, 2, 1), ignore_index=1)
        yield sample(x, q)
        yield sample(x, q, weight=w, label_smoothing=0.2)
        yield sample(rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5)))
        yield sample(rng.standard_normal((2, 3, 5)), rng.dirichlet(rng.uniform(1, 2, 5), (2, 3)))
        yield sample(rng.standard_normal(3), rng.integers(0, 3, ()))
        yield sample(rng.standard_normal((3, 3)), rng.integers(0, 3, 3))
        yield sample(rng.standard_normal((4, 3)) * 1e4, t)
        yield sample(rng.standard_normal((3, 4)).T[::-1], t)
        yield refused(ShapeError, r"must be \(4,\), not \(3,\)", x, t[:3])
        yield refused(ArgumentError, "target 3 is no class: there are 3", x, np_set(t, 0, 3))
        yield refused(DtypeError, "must be integers", x, t * 1.0)
        yield refused(ArgumentError, "reduction must be", x, t, reduction="average")
        yield refused(ShapeError, r"weight must be \(C=3,\)", x, t, weight=w[:2])


def np_set(a: Array, index: int, value: int) -> Array:
    """A copy of a with one element changed."""
    a = a.copy()
    a[index] = value
    return a


class NLLLoss(Function):
    """loss_i = -w_t x_i,t for class indices t: cross-entropy after log_softmax.

    "mean" divides by the sum of the targets' weights.  VJP: -w_t g_i at the target, else 0.
    """

    @staticmethod
    def forward(ctx, input, target, weight=None, ignore_index=-100, reduction="mean"):
        _check_reduction("nll_loss", reduction)
        _check_classes("nll_loss", input, target, ignore_index)
        check_types("nll_loss", input=input, weight=weight)
        x = _rows(input)
        _check_weight("nll_loss", weight, x.shape[1])
        picked, _ = _picked(x, target, weight, ignore_index)
        ctx.shape = input.shape
        ctx.save_for_backward(picked)
        losses = -module_of(x).where(picked == 0, 0, picked * x).sum(axis=1)
        return _reduced(ctx, losses, reduction, float(picked.sum()), target.shape)

    @staticmethod
    def backward(ctx, g):
        (picked,) = ctx.saved_tensors
        return (_unrows(-picked * _per_row(ctx, g)[:, None], ctx.shape),)

    @staticmethod
    def samples(rng):
        x, t, w = rng.standard_normal((4, 3)), rng.integers(0, 3, 4), rng.uniform(0.5, 2, 3)
        for reduction in ("mean", "sum", "none"):
            yield sample(x, t, reduction=reduction)
        yield sample(x, np_set(t, 1, -100), weight=w)
        yield sample(rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5)))
        yield sample(rng.standard_normal((3, 3)), rng.integers(0, 3, 3))
        yield sample(rng.standard_normal(3), rng.integers(0, 3, ()))
        yield refused(ShapeError, r"must be \(4,\), not \(3,\)", x, t[:3])
        yield refused(ArgumentError, "target -1 is no class", x, np_set(t, 0, -1))
        yield refused(DtypeError, "must be integers", x, t * 1.0)


class MSELoss(Function):
    """Mean (or sum, or each) of (a - b)^2.  VJP: 2 (a - b) g / n, and its negative."""

    broadcasts = True

    @staticmethod
    def forward(ctx, input, target, reduction="mean"):
        _check_reduction("mse_loss", reduction)
        if not is_floating(input.dtype):
            raise DtypeError(f"mse_loss: needs a floating type, not {input.dtype}")
        difference = input - target
        squares = difference * difference
        ctx.divisor = squares.size if reduction == "mean" else 1
        ctx.save_for_backward(difference)
        return squares if reduction == "none" else squares.sum() / ctx.divisor

    @staticmethod
    def backward(ctx, g):
        (difference,) = ctx.saved_tensors
        d = 2 * difference * (g / ctx.divisor)
        return d, -d

    @staticmethod
    def samples(rng):
        a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
        for reduction in ("mean", "sum", "none"):
            yield sample(a, b, reduction=reduction)
        yield sample(rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))
        yield sample(a.transpose(2, 0, 1), b.transpose(2, 0, 1)[::-1])
        yield sample(rng.standard_normal(()), rng.standard_normal(()))
        yield refused(ShapeError, "do not broadcast", a, rng.standard_normal((2, 3, 3)))
        yield refused(ArgumentError, "reduction must be", a, b, reduction="average")

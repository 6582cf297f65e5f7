"""Normalisation over the batch or over neighbouring channels, and dropout."""

import math

from .. import kernels
from ..arrays import Array, module_of
from ..autograd import Function
from ..errors import ArgumentError, DtypeError, ShapeError
from .arithmetic import backward_of, check_types
from .samples import refused, sample


def _channels(x: Array) -> Array:
    """(N, C) or (N, C, ...) -> (N, C, L)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


class BatchNorm(Function):
    """y = weight_c (x - mean_c) / sqrt(var_c + eps) + bias_c, per channel c.

    In training mean and (biased) variance are the batch's, over all dimensions but the channel's,
    and the running ones move towards them by `momentum` (the variance unbiased); else the running
    ones are used.

    VJP, with h = weight_c g and x^ the normalised input: (h - mean(h) - x^ mean(h x^)) / std in
    training, h / std else; weight receives sum(g x^), bias sum(g).
    Source: Ioffe and Szegedy 2015.  Shapes: input (N, C) or (N, C, ...), the others (C).
    """

    @staticmethod
    def forward(
        ctx, input, running_mean, running_var, weight=None, bias=None,
        training=False, momentum=0.1, eps=1e-5,
    ):  # fmt: skip
        if input.ndim < 2:
            raise ShapeError(f"batch_norm: input must be (N, C) or (N, C, ...), not {input.shape}")
        vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight}
        for name, a in (vectors | {"bias": bias}).items():
            if a is not None and a.shape != input.shape[1:2]:
                raise ShapeError(f"batch_norm: {name} must be {input.shape[1:2]}, not {a.shape}")
        check_types("batch_norm", input=input, weight=weight, bias=bias)
        x = _channels(input)
        count, given = x.shape[0] * x.shape[2], (running_mean, running_var)
        if training:
            given = (None, None)
            if count < 2:
                raise ShapeError(f"batch_norm: training needs 2 values a channel: {input.shape}")
        elif running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: outside training running_mean and _var are needed")
        (y, mean, var), ctx.saved = kernels.forward("batch_norm", x, weight, bias, *given, eps)
        if training and running_mean is not None:
            running_mean += momentum * (mean - running_mean)
            running_var += momentum * (var * (count / (count - 1)) - running_var)
        return y.reshape(input.shape)

    @staticmethod
    def backward(ctx, g):
        needs = (*ctx.needs_input_grad, False, False)
        needs = (needs[0], needs[3], needs[4])
        dx, dw, db = kernels.backward("batch_norm", _channels(g), ctx.saved, needs)
        return None if dx is None else dx.reshape(g.shape), None, None, dw, db

    @staticmethod
    def samples(rng):
        normal = rng.standard_normal
        w, b = rng.uniform(0.5, 2, 3), normal(3)
        for x in normal((4, 3)), normal((2, 3, 5)), normal((2, 3, 4, 5)), normal((3, 3)):
            yield sample(x, None, None, w, b, True)
        x = normal((2, 3, 4, 5))
        yield sample(x, None, None, training=True, eps=0.1)
        yield sample(x.transpose(0, 1, 3, 2)[:, :, ::-1], None, None, w, b, training=True)
        running = {"running_mean": normal(3), "running_var": rng.uniform(0.5, 2, 3)}
        yield sample(x, weight=w, bias=b, **running)
        yield sample(x, training=True, momentum=0.3, **running)
        yield refused(ShapeError, r"weight must be \(3,\)", x, None, None, normal(4), b, True)
        yield refused(ShapeError, "2 values a channel", normal((1, 3)), None, None, w, b, True)
        yield refused(ArgumentError, "running_mean and _var are needed", x, None, None, w, b)
        yield refused(DtypeError, "weight is float32", x, None, None, w.astype("f4"), b, True)


def _neighbours(x: Array, before: int, after: int) -> Array:
    """For each channel the sum over the `before` channels in front of it to the `after` behind."""
    xp = module_of(x)
    width = before + after + 1
    padded = xp.zeros((x.shape[0], x.shape[1] + width - 1, *x.shape[2:]), x.dtype)
    padded[:, before : before + x.shape[1]] = x
    return sum(padded[:, i : i + x.shape[1]] for i in range(width))


class LocalResponseNorm(Function):
    """y_c = x_c / (k + alpha/size * sum x_c'^2)^beta, the sum over `size` channels around c.

    With D the bracket, VJP: g D^-beta - 2 alpha beta / size * x * sum(g x D^(-beta - 1)), the sum
    over the channels whose neighbourhood holds c.
    Source: Krizhevsky et al. 2012, section 3.3, who do not divide alpha by size; PyTorch does.
    """

    @staticmethod
    def forward(ctx, input, size, alpha=1e-4, beta=0.75, k=1.0):
        if input.ndim < 3:
            raise ShapeError(f"local_response_norm: input must be (N, C, ...), not {input.shape}")
        check_types("local_response_norm", input=input)
        if size < 1:
            raise ArgumentError(f"local_response_norm: size must be at least 1, not {size}")
        ctx.reach = size // 2, (size - 1) // 2
        ctx.alpha, ctx.beta = alpha / size, beta
        d = k + ctx.alpha * _neighbours(input * input, *ctx.reach)
        ctx.save_for_backward(input, d)
        return input * d**-beta

    @staticmethod
    def backward(ctx, g):
        x, d = ctx.saved_tensors
        before, after = ctx.reach
        through_d = _neighbours(g * x * d ** (-ctx.beta - 1), after, before)
        return (g * d**-ctx.beta - 2 * ctx.alpha * ctx.beta * x * through_d,)

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((2, 5, 3, 4))
        yield sample(x, 3, 0.5)
        yield sample(x, 4, 0.3, 0.6, 2.0)
        yield sample(x, 2, alpha=1.0)
        yield sample(rng.standard_normal((3, 3, 3)), 5, 0.5)
        yield sample(x.transpose(0, 1, 3, 2)[:, ::-1], 3, 0.5)
        yield refused(ShapeError, r"must be \(N, C, ...\)", rng.standard_normal((2, 3)), 3)


class Dropout(Function, kernel=True):
    """y = x m / (1 - p), with m = 0 with probability p and else 1.  VJP: g m / (1 - p).

    m is a pure function of (seed, offset) and position, so any device makes the same mask.
    Source: Srivastava et al. 2014, scaled in training ("inverted").
    """

    @staticmethod
    def forward(ctx, input, p, seed, offset):
        if not 0 <= p <= 1:
            raise ArgumentError(f"dropout: p must be between 0 and 1, not {p}")
        check_types("dropout", input=input)
        y, ctx.saved = kernels.forward("dropout", input, p, seed, offset)
        return y

    backward = backward_of("dropout")

    @staticmethod
    def samples(rng):
        x = rng.standard_normal((3, 4, 5))
        yield sample(x, 0.5, 7, 0)
        yield sample(x, 0.2, 2**40 + 3, 5)
        yield sample(x.transpose(2, 0, 1)[::-1], 0.3, 1, 2)
        yield sample(rng.standard_normal((3, 3)), 0.0, 1, 0)
        yield sample(rng.standard_normal((3, 3)), 1.0, 1, 0)
        yield refused(ArgumentError, "between 0 and 1, not 1.5", x, 1.5, 7, 0)

"""Batch and layer normalisation, and the mistakes in their backward passes."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .operation import Bug, Operation, normal

RIGHT = "dx = (h - h.mean(0) - x_hat * (h * x_hat).mean(0)) / std"

BUGS = (
    Bug("GB082", "mean and variance as constants",
        "dx = h / std", RIGHT,
        "columns of a do not sum to 0, nor are they orthogonal to x_hat; n does both",
        "Mean and variance are computed from x: changing one sample changes them, and with them "
        "every output: that is where both means come from. (h = gamma * g.)"),
    Bug("GB083", "mean term lost",
        "dx = (h - x_hat * (h * x_hat).mean(0)) / std", RIGHT,
        "a - n is constant in each column: mean(h)/std",
        "Adding a constant to a column of x changes nothing, so the columns of dx must sum to 0: "
        "subtract h.mean(0), with h = gamma * g."),
    Bug("GB084", "variance term lost",
        "dx = (h - h.mean(0)) / std", RIGHT,
        "a - n is proportional to x_hat in each column",
        "Stretching a column of x changes nothing, so dx must be orthogonal to x_hat: subtract "
        "x_hat * (h * x_hat).mean(0), with h = gamma * g."),
    Bug("GB085", "gamma lost",
        "h = g", "h = gamma * g",
        "one ratio per column in dx: r = 1/gamma_c",
        "y = gamma * x_hat + beta, so what flows to x_hat is gamma * g."),
    Bug("GB086", "ddof = 1 in backward",
        "std = np.sqrt(x.var(0, ddof=1) + eps)", "std = np.sqrt(x.var(0) + eps)",
        "r close to sqrt((N - 1)/N), though not quite the same everywhere",
        "The forward pass divides by N, and backward must use the same variance. (N - 1 is for "
        "the running variance only.)"),
    Bug("GB087", "dgamma uses x",
        "dgamma = (g * x).sum(0)", "dgamma = (g * x_hat).sum(0)",
        "a = std n + mean dbeta, column by column",
        "gamma multiplies x_hat, the normalised input: keep it from the forward pass."),
)  # fmt: skip


class Saved(NamedTuple):
    """What either norm keeps of its forward pass."""

    x: Any
    x_hat: Any  # (x - mean) / std
    std: Any
    gamma: Any  # in a shape that multiplies x
    axes: tuple[int, ...]  # of the mean and the variance
    others: tuple[int, ...]  # along which gamma and beta are the same
    eps: float


def kept(x, weight, axes, others, eps, ddof=0):
    centred = x - x.mean(axis=axes, keepdims=True)
    count = np.prod([x.shape[k] for k in axes])
    variance = (centred**2).sum(axis=axes, keepdims=True) / (count - ddof)  # x.var would drop i
    std = np.sqrt(variance + eps)
    return (Saved(x, centred / std, std, weight, axes, others, eps),)


def normalised(bias, s):
    """What either norm returns."""
    return s.gamma * s.x_hat + bias.reshape(s.gamma.shape)


# ---- batch norm ------------------------------------------------------------------------------


def batch_forward(input, weight, bias, eps=1e-5):
    """gamma x_hat + beta per channel, with the batch's own mean and variance (training)."""
    return normalised(bias, *batch_saved(input, weight, bias, eps))


def batch_saved(input, weight, bias, eps=1e-5, ddof=0):
    """(N, C) or (N, C, H, W): all axes but the channels are one."""
    axes, per_channel = (0, *range(2, input.ndim)), (1, -1) + (1,) * (input.ndim - 2)
    return kept(input, weight.reshape(per_channel), axes, axes, eps, ddof)


def batch_sample(rng):
    """(N, C) or (N, C, H, W), with a mean and a spread of its own in each channel."""
    shape = (4, 3, 2, 5) if rng.random() < 0.4 else rng.permutation([4, 5, 6])[:2]
    return spread_out(rng, shape, (1, shape[1], 1, 1)[: len(shape)])


def spread_out(rng, shape, of_each):
    """Inputs with a mean and a spread of their own, which `of_each` is the shape of."""
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, of_each) + rng.uniform(0.5, 2, of_each)
    c = shape[1]
    return [x, rng.uniform(1.2, 2, c) * rng.choice([-1, 1], c), rng.standard_normal(c)], {}


BATCH = np.array([[1.0, 2], [3, 0], [2, 5]])


# ---- layer norm ------------------------------------------------------------------------------


def layer_forward(input, weight, bias, eps=1e-5):
    """gamma x_hat + beta, each row normalised by itself: (N, D)."""
    return normalised(bias, *layer_saved(input, weight, bias, eps))


def layer_saved(input, weight, bias, eps=1e-5):
    return kept(input, weight, (1,), (0,), eps)


def layer_sample(rng):
    n, d = rng.permutation([3, 4, 5, 6])[:2]
    return spread_out(rng, (n, d), (n, 1))


LAYER = np.array([[1.0, 3, 2], [2, 0, 5]])


# ---- the gradients of both, with h = gamma g -------------------------------------------------


def by_mean(h, s):
    """What flows back through the mean, as each x changes it."""
    return h.mean(axis=s.axes, keepdims=True)


def by_variance(h, s):
    """What flows back through the variance."""
    return s.x_hat * (h * s.x_hat).mean(axis=s.axes, keepdims=True)


def of_h(h, s):
    """dx = (h - mean(h) - x_hat mean(h x_hat)) / std."""
    return (h - by_mean(h, s) - by_variance(h, s)) / s.std


GRADIENTS = {
    "dx": lambda g, s: of_h(s.gamma * g, s),
    "dgamma": lambda g, s: (g * s.x_hat).sum(axis=s.others),
    "dbeta": lambda g, s: g.sum(axis=s.others),
}
NAMES = ("input", "weight", "bias")

batch_norm = Operation(
    "batch_norm", NAMES, batch_forward, GRADIENTS, batch_sample,
    [([BATCH, np.array([2.0, -1]), np.array([0.0, 1])], {})], batch_saved,
)  # fmt: skip
layer_norm = Operation(
    "layer_norm", NAMES, layer_forward, GRADIENTS, layer_sample,
    [([LAYER, np.array([2.0, -1, 1]), np.array([0.0, 1, 0])], {})],
    layer_saved,
)  # fmt: skip

OPERATIONS = (batch_norm, layer_norm)
for norm in OPERATIONS:
    norm.wrong("GB082", "statistics as constants", dx=lambda g, s: s.gamma * g / s.std)
    norm.wrong(
        "GB083", "mean term lost",
        dx=lambda g, s: (s.gamma * g - by_variance(s.gamma * g, s)) / s.std,
    )  # fmt: skip
    norm.wrong(
        "GB084", "variance term lost",
        dx=lambda g, s: (s.gamma * g - by_mean(s.gamma * g, s)) / s.std,
    )  # fmt: skip
    norm.wrong("GB085", "gamma lost", dx=of_h)
    norm.wrong("GB087", "dgamma with x", dgamma=lambda g, s: (g * s.x).sum(axis=s.others))

# ---- mistakes of batch norm alone, and of layer norm -----------------------------------------


def centred_in_place(input, weight, bias, eps=1e-5):
    (saved,) = batch_saved(input, weight, bias, eps)
    input -= input.mean(axis=saved.axes, keepdims=True)
    std = np.sqrt((input**2).mean(axis=saved.axes, keepdims=True) + eps)
    return (saved._replace(x_hat=input / std, std=std),)


RUNNING = {"mean": 0.0}


def running(input, weight, bias, eps=1e-5):
    """Normalises with a running mean, which each call moves."""
    RUNNING["mean"] = 0.9 * RUNNING["mean"] + 0.1 * float(input.real.mean())
    (s,) = batch_saved(input, weight, bias, eps)
    return normalised(bias, s._replace(x_hat=(input - RUNNING["mean"]) / s.std))


def unbiased(input, weight, bias, eps=1e-5):
    return normalised(bias, *batch_saved(input, weight, bias, eps, ddof=1))


def of_unbiased(g, s):
    """The gradient of `unbiased`: n - 1 where dx has n."""
    h, n = g * s.gamma, s.x.size // s.gamma.size
    through_variance = s.x_hat * (h * s.x_hat).sum(axis=s.axes, keepdims=True) / (n - 1)
    return (h - by_mean(h, s) - through_variance) / s.std


wrong = batch_norm.wrong
wrong(
    "GB086", "ddof=1 in dx",
    dx=lambda g, s: of_h(s.gamma * g, *batch_saved(s.x, s.gamma, None, s.eps, ddof=1)),
)  # fmt: skip
wrong(
    "GB018", "dgamma and dbeta averaged",
    dgamma=lambda g, s: GRADIENTS["dgamma"](g, s) / len(s.x),
    dbeta=lambda g, s: GRADIENTS["dbeta"](g, s) / len(s.x),
)  # fmt: skip
wrong("GB009", "the input is centred in place", saved=centred_in_place)
wrong("GB012", "the running mean moves at each call", forward=running)
wrong(
    "GB014", "ddof=1 in both", forward=unbiased, saved=partial(batch_saved, ddof=1), dx=of_unbiased
)
layer_norm.wrong(
    "GB078", "dgamma and dbeta summed over each row", sample=normal("dd", "d", "d", sizes=(3, 4)),
    dgamma=lambda g, s: (g * s.x_hat).sum(axis=1), dbeta=lambda g, s: g.sum(axis=1),
)  # fmt: skip

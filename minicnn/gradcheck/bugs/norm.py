"""Batch and layer normalisation, and the mistakes in their backward passes."""

import numpy as np

from .kinds import Bug, Operation

RIGHT = "dx = (h - h.mean(0) - x_hat * (h * x_hat).mean(0)) / std"

BUGS = (
    Bug(
        "GB082", "mean and variance as constants",
        "dx = h / std", RIGHT,
        "columns of a do not sum to 0, nor are they orthogonal to x_hat; n does both",
        "Mean and variance are computed from x: changing one sample changes them, and with them "
        "every output: that is where both means come from. (h = gamma * g.)",
    ),
    Bug(
        "GB083", "mean term lost",
        "dx = (h - x_hat * (h * x_hat).mean(0)) / std", RIGHT,
        "a - n is constant in each column: mean(h)/std",
        "Adding a constant to a column of x changes nothing, so the columns of dx must sum to 0: "
        "subtract h.mean(0), with h = gamma * g.",
    ),
    Bug(
        "GB084", "variance term lost",
        "dx = (h - h.mean(0)) / std", RIGHT,
        "a - n is proportional to x_hat in each column",
        "Stretching a column of x changes nothing, so dx must be orthogonal to x_hat: subtract "
        "x_hat * (h * x_hat).mean(0), with h = gamma * g.",
    ),
    Bug(
        "GB085", "gamma lost",
        "h = g", "h = gamma * g",
        "one ratio per column in dx: r = 1/gamma_c",
        "y = gamma * x_hat + beta, so what flows to x_hat is gamma * g.",
    ),
    Bug(
        "GB086", "ddof = 1 in backward",
        "std = np.sqrt(x.var(0, ddof=1) + eps)", "std = np.sqrt(x.var(0) + eps)",
        "r close to sqrt((N - 1)/N), though not quite the same everywhere",
        "The forward pass divides by N, and backward must use the same variance. (N - 1 is for "
        "the running variance only.)",
    ),
    Bug(
        "GB087", "dgamma uses x",
        "dgamma = (g * x).sum(0)", "dgamma = (g * x_hat).sum(0)",
        "a = std n + mean dbeta, column by column",
        "gamma multiplies x_hat, the normalised input: keep it from the forward pass.",
    ),
)  # fmt: skip


def statistics(x, axes, eps, ddof=0):
    """(x_hat, std) over these axes, which stay as size 1."""
    std = np.sqrt(x.var(axis=axes, keepdims=True, ddof=ddof) + eps)
    return (x - x.mean(axis=axes, keepdims=True)) / std, std


def through(h, x_hat, std, axes):
    """dx: h less what flows back through the mean and through the variance."""
    by_mean = h.mean(axis=axes, keepdims=True)
    by_variance = x_hat * (h * x_hat).mean(axis=axes, keepdims=True)
    return (h - by_mean - by_variance) / std


# ---- batch norm ------------------------------------------------------------------------------


def batch_axes(x):
    """All axes but the channels, and gamma's shape among them: (N, C) or (N, C, H, W)."""
    return (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)


def batch_forward(input, weight, bias, eps=1e-5):
    """gamma x_hat + beta per channel, with the batch's own mean and variance (training)."""
    axes, per_channel = batch_axes(input)
    mean = input.mean(axis=axes, keepdims=True)
    variance = ((input - mean) ** 2).mean(axis=axes, keepdims=True)  # not var: it drops i
    x_hat = (input - mean) / np.sqrt(variance + eps)
    return weight.reshape(per_channel) * x_hat + bias.reshape(per_channel)


def batch_backward(g, input, weight, bias, eps=1e-5):
    """With h = gamma g:  dx = (h - mean(h) - x_hat mean(h x_hat)) / std."""
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    dx = through(g * weight.reshape(per_channel), x_hat, std, axes)
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


def batch_sample(rng):
    """(N, C) or (N, C, H, W), with a mean and a spread of its own in each channel."""
    n, c, h, w = (4, 3, 2, 5) if rng.random() < 0.4 else (*rng.permutation([4, 5, 6])[:2], 0, 0)
    shape = (n, c, h, w) if h else (n, c)
    per_channel = (1, c, 1, 1)[: len(shape)]
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, per_channel)
    x = x + rng.uniform(0.5, 2, per_channel)
    return [x, rng.uniform(1.2, 2, c) * rng.choice([-1, 1], c), rng.standard_normal(c)], {}


def batch_examples():
    x = np.array([[1.0, 2], [3, 0], [2, 5]])
    return [([x, np.array([2.0, -1]), np.array([0.0, 1])], {})]


batch_norm = Operation(
    "batch_norm", ("input", "weight", "bias"), batch_forward, batch_backward, batch_sample,
    batch_examples,
)  # fmt: skip


@batch_norm.mutant("GB082", "statistics as constants")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    dx = g * weight.reshape(per_channel) / std
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB083", "mean term lost")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    h = g * weight.reshape(per_channel)
    dx = (h - x_hat * (h * x_hat).mean(axis=axes, keepdims=True)) / std
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB084", "variance term lost")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    h = g * weight.reshape(per_channel)
    dx = (h - h.mean(axis=axes, keepdims=True)) / std
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB085", "gamma lost")
def _(g, input, weight, bias, eps=1e-5):
    axes, _ = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    return through(g, x_hat, std, axes), (g * x_hat).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB086", "ddof=1 in dx")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, _ = statistics(input, axes, eps)
    x_unbiased, std = statistics(input, axes, eps, ddof=1)
    dx = through(g * weight.reshape(per_channel), x_unbiased, std, axes)
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB087", "dgamma with x")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    dx = through(g * weight.reshape(per_channel), x_hat, std, axes)
    return dx, (g * input).sum(axis=axes), g.sum(axis=axes)


@batch_norm.mutant("GB018", "dgamma and dbeta averaged")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps)
    dx = through(g * weight.reshape(per_channel), x_hat, std, axes)
    n = len(input)
    return dx, (g * x_hat).sum(axis=axes) / n, g.sum(axis=axes) / n


@batch_norm.mutant("GB009", "the input is centred in place")
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    input -= input.mean(axis=axes, keepdims=True)
    std = np.sqrt((input**2).mean(axis=axes, keepdims=True) + eps)
    x_hat = input / std
    dx = through(g * weight.reshape(per_channel), x_hat, std, axes)
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


RUNNING = {"mean": 0.0}


def _running(input, weight, bias, eps=1e-5):
    """Normalises with a running mean, which each call moves."""
    axes, per_channel = batch_axes(input)
    RUNNING["mean"] = 0.9 * RUNNING["mean"] + 0.1 * float(input.real.mean())
    _, std = statistics(input, axes, eps)
    x_hat = (input - RUNNING["mean"]) / std
    return weight.reshape(per_channel) * x_hat + bias.reshape(per_channel)


@batch_norm.mutant("GB012", "the running mean moves at each call", forward=_running)
def _(g, input, weight, bias, eps=1e-5):
    return batch_backward(g, input, weight, bias, eps)


def _unbiased(input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, _ = statistics(input, axes, eps, ddof=1)
    return weight.reshape(per_channel) * x_hat + bias.reshape(per_channel)


@batch_norm.mutant("GB014", "ddof=1 in both", forward=_unbiased)
def _(g, input, weight, bias, eps=1e-5):
    axes, per_channel = batch_axes(input)
    x_hat, std = statistics(input, axes, eps, ddof=1)
    n = input.size // len(weight)
    h = g * weight.reshape(per_channel)
    by_variance = x_hat * (h * x_hat).sum(axis=axes, keepdims=True) / (n - 1)
    dx = (h - h.mean(axis=axes, keepdims=True) - by_variance) / std
    return dx, (g * x_hat).sum(axis=axes), g.sum(axis=axes)


# ---- layer norm ------------------------------------------------------------------------------


def layer_forward(input, weight, bias, eps=1e-5):
    """gamma x_hat + beta, each row normalised by itself: (N, D)."""
    mean = input.mean(axis=1, keepdims=True)
    variance = ((input - mean) ** 2).mean(axis=1, keepdims=True)
    return weight * (input - mean) / np.sqrt(variance + eps) + bias


def layer_backward(g, input, weight, bias, eps=1e-5):
    """With h = gamma g, along each row:  dx = (h - mean(h) - x_hat mean(h x_hat)) / std."""
    x_hat, std = statistics(input, (1,), eps)
    return through(g * weight, x_hat, std, (1,)), (g * x_hat).sum(axis=0), g.sum(axis=0)


def layer_sample(rng):
    n, d = rng.permutation([3, 4, 5, 6])[:2]
    x = rng.standard_normal((n, d)) * rng.uniform(0.5, 2, (n, 1)) + rng.uniform(0.5, 2, (n, 1))
    return [x, rng.uniform(1.2, 2, d) * rng.choice([-1, 1], d), rng.standard_normal(d)], {}


def layer_examples():
    x = np.array([[1.0, 3, 2], [2, 0, 5]])
    return [([x, np.array([2.0, -1, 1]), np.array([0.0, 1, 0])], {})]


layer_norm = Operation(
    "layer_norm", ("input", "weight", "bias"), layer_forward, layer_backward, layer_sample,
    layer_examples,
)  # fmt: skip


@layer_norm.mutant("GB082", "statistics as constants")
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    return g * weight / std, (g * x_hat).sum(axis=0), g.sum(axis=0)


@layer_norm.mutant("GB083", "mean term lost")
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    h = g * weight
    dx = (h - x_hat * (h * x_hat).mean(axis=1, keepdims=True)) / std
    return dx, (g * x_hat).sum(axis=0), g.sum(axis=0)


@layer_norm.mutant("GB084", "variance term lost")
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    h = g * weight
    return (h - h.mean(axis=1, keepdims=True)) / std, (g * x_hat).sum(axis=0), g.sum(axis=0)


@layer_norm.mutant("GB085", "gamma lost")
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    return through(g, x_hat, std, (1,)), (g * x_hat).sum(axis=0), g.sum(axis=0)


@layer_norm.mutant("GB087", "dgamma with x")
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    return through(g * weight, x_hat, std, (1,)), (g * input).sum(axis=0), g.sum(axis=0)


def square_rows(rng):
    """As many rows as columns: a sum over the wrong ones runs."""
    d = int(rng.integers(3, 5))
    return [rng.standard_normal((d, d)), rng.uniform(1.2, 2, d), rng.standard_normal(d)], {}


@layer_norm.mutant("GB078", "dgamma and dbeta summed over each row", sample=square_rows)
def _(g, input, weight, bias, eps=1e-5):
    x_hat, std = statistics(input, (1,), eps)
    return through(g * weight, x_hat, std, (1,)), (g * x_hat).sum(axis=1), g.sum(axis=1)


OPERATIONS = (batch_norm, layer_norm)

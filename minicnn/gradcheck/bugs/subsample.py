"""LeNet's trainable subsampling, and the mistakes in its backward pass."""

import numpy as np

from . import pool, windows
from .conv import db_of
from .operation import Bug, Operation
from .pool import spread, sums_of

BUGS = (
    Bug("GB070", "dx without the coefficient",
        "dx = spread(g)", "dx = spread(g * coefficient[:, None, None])",
        "one ratio per channel: r = 1/coefficient_c",
        "y = coefficient_c * sum + bias_c, so each pixel receives g times its channel's "
        "coefficient."),
    Bug("GB071", "sum and mean mixed",
        "dcoefficient = (g * means).sum(axis=(0, 2, 3))",
        "dcoefficient = (g * sums).sum(axis=(0, 2, 3))",
        "r = 1/(kh kw), or kh kw the other way round",
        "The window is summed here, not averaged: use in backward what forward multiplied with "
        "the coefficient."),
    Bug("GB072", "coefficient gradient without the pooled input",
        "dcoefficient = g.sum(axis=(0, 2, 3))", "dcoefficient = (g * sums).sum(axis=(0, 2, 3))",
        "dcoefficient equals dbias",
        "The coefficient multiplies the window's sum: its gradient is g times that sum."),
    Bug("GB073", "coefficient gradient with the output",
        "dcoefficient = (g * y).sum(axis=(0, 2, 3))",
        "dcoefficient = (g * sums).sum(axis=(0, 2, 3))",
        "a = coefficient_c n + bias_c dbias_c",
        "y has been multiplied and shifted already: use the sums from before."),
    Bug("GB074", "coefficient gradient averaged over the batch",
        "dcoefficient = (g * sums).sum(axis=(2, 3)).mean(axis=0)",
        "dcoefficient = (g * sums).sum(axis=(0, 2, 3))",
        "r = 1/N in every entry",
        "All samples used the same coefficient: sum over the batch."),
    Bug("GB075", "coefficient gradient shared over channels",
        "dcoefficient = np.full(C, (g * sums).sum())",
        "dcoefficient = (g * sums).sum(axis=(0, 2, 3))",
        "all entries of a are equal, to the sum of all entries of n",
        "Every map has a coefficient of its own: keep the channel axis out of the sum."),
)  # fmt: skip


def forward(input, coefficient, bias, kernel_size, stride=None, padding=0, ceil_mode=False):
    """coefficient_c * (the sum of the window) + bias_c."""
    at = windows.over(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return sums_of(input, at) * coefficient[:, None, None] + bias[:, None, None]


# ---- the gradients, from what `saved` returns ------------------------------------------------


def saved(input, coefficient, bias, kernel_size, **how):
    at = windows.over(input.shape, kernel_size, **how)
    return input, coefficient[:, None, None], bias[:, None, None], at


def dx_of(g, x, a, b, at, **how):
    """Each pixel of a window receives coefficient_c g."""
    return spread(g * a, x, at, **how)


def da_of(g, x, a, b, at):
    """Each coefficient receives g times the window's sum, over the batch and all windows."""
    return (g * sums_of(x, at)).sum(axis=(0, 2, 3))


# ---- samples ---------------------------------------------------------------------------------


def _with_maps(family):
    """A family of the pools' samples, with a coefficient and a bias for each map."""

    def drawn(rng):
        (x,), how = family(rng)
        coefficient = rng.choice([-1, 1], x.shape[1]) * rng.uniform(0.3, 1.5, x.shape[1])
        return [x, coefficient, rng.standard_normal(x.shape[1])], how

    return drawn


X = np.array([[[[1.0, 2, 0, 1], [0, 1, 3, -1]]]])
MAPS, ONE_MAP = [np.array([2.0, -1]), np.array([1.0, 0])], [np.array([2.0]), np.array([1.0])]
MANY = np.concatenate([np.concatenate([X, 2 - X]), np.concatenate([X, 2 - X]) + 1], 1)
TWO = {"kernel_size": (2, 2), "stride": (2, 2)}
EXAMPLES = [
    ([X, *ONE_MAP], TWO), ([X, *ONE_MAP], TWO | {"stride": (1, 1)}),
    ([X.repeat(2, 1), *MAPS], TWO), ([MANY, *MAPS], TWO),
]  # fmt: skip

sample, tiled = _with_maps(pool.sample), _with_maps(pool.tiled)
subsample2d = Operation(
    "subsample2d", ("input", "coefficient", "bias"), forward,
    {"dx": dx_of, "da": da_of, "db": db_of}, sample, EXAMPLES, saved,
)  # fmt: skip


# ---- mistakes --------------------------------------------------------------------------------


def averaged(input, coefficient, bias, kernel_size, **how):
    area = windows.area(windows.over(input.shape, kernel_size))
    return forward(input / area, coefficient, bias, kernel_size, **how)


def of_means(gradient):
    return lambda *given: gradient(*given) / windows.area(given[-1])


wrong = subsample2d.wrong
wrong("GB070", "dx without the coefficient", dx=lambda g, x, a, b, at: spread(g, x, at))
wrong("GB071", "means for dcoefficient", da=of_means(da_of))
wrong("GB071", "dx of a mean", dx=of_means(dx_of))
wrong("GB072", "dcoefficient without the sums", da=db_of)
wrong(
    "GB073", "dcoefficient with the output",
    da=lambda g, x, a, b, at: (g * (sums_of(x, at) * a + b)).sum(axis=(0, 2, 3)),
)  # fmt: skip
wrong(
    "GB074", "dcoefficient averaged over the batch",
    da=lambda g, x, a, b, at: (g * sums_of(x, at)).sum(axis=(2, 3)).mean(axis=0),
)  # fmt: skip
wrong(
    "GB075", "one dcoefficient for all maps",
    da=lambda g, x, a, b, at: np.full(len(a), (g * sums_of(x, at)).sum(), a.dtype),
)  # fmt: skip
wrong("GB057", "dbias averaged over batch and positions", db=lambda g, *_: g.mean(axis=(0, 2, 3)))
windows.assigning(subsample2d, "GB063", _with_maps(pool.overlapping), dx_of)
wrong(
    "GB062", "np.tile for np.repeat", sample=tiled,
    dx=lambda g, x, a, b, at: np.tile(g * a, (1, 1, *at.kernel_size)),
)  # fmt: skip
wrong(
    "GB014", "means for sums, in both", forward=averaged,
    dx=of_means(dx_of), da=of_means(da_of),
)  # fmt: skip

OPERATIONS = (subsample2d,)

"""Checks conv2d_backward: square with stride and padding first, then with unequal sizes."""

from minicnn.exercises.checking import Reference, gradients, sizes
from minicnn.shapes import window


def check(learner, rng):
    """The square case has all that can go wrong unseen; the others have no two sizes alike."""
    n, c = sizes(rng, 2, 2, 3)
    k, long = sizes(rng, 2, 2, 3)
    cases: list = [
        # a row and a column remain that no window covers: the stride does not fit
        ((2, 2, 4, 4), (2, 2, 3, 3), {"stride": 2, "padding": 2}),
        ((n, c, 4, 5), (4, c, k, long), {}),
        ((n, c, 5, 3), (4, c, long, k), {"stride": (2, 1), "padding": (0, 1)}),
        ((c, n, 3, 6), (1, n, k, long), {"stride": (1, 3), "padding": (2, 0)}),
    ]
    for images, kernels, how in cases:
        inputs = [rng.standard_normal(shape) for shape in (images, kernels, kernels[:1])]
        yield from gradients(learner, "conv2d_backward", _conv2d(*inputs, **how), inputs, rng, how)


def _conv2d(x, weight, bias, stride=1, padding=0):
    at = window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, 1)
    return Reference("conv2d", at, 1)

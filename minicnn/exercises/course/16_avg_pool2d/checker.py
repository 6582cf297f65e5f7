"""Checks average pooling against the reference kernels."""

from minicnn.exercises.checking import Reference, compare_call, gradients, sizes
from minicnn.shapes import window


def check(learner, rng):
    """Square windows side by side; then a remainder, the default stride, overlap, padding."""
    n, c = sizes(rng, 2, 1, 2)
    small, large = sizes(rng, 2, 2, 3)
    cases: list = [
        ((1, 2, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
        ((n, c, 7, 5), {"kernel_size": (3, 2), "padding": (0, 0)}),
        ((2, 3, small + 3, large + 2), {"kernel_size": (3, 2), "stride": (2, 1)}),
        ((n, c, 5, 4), {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1)}),
        ((n, c, 4, 5), {"kernel_size": (4, 2), "stride": (3, 2), "padding": (2, 1)}),
    ]
    for shape, how in cases:
        x, at = rng.standard_normal(shape), _window(shape, **how)
        right = Reference("avg_pool2d", at, True, None)
        yield from compare_call(
            learner, "avg_pool2d_forward(x)", [x], right.forward(x), how, axes="(N, C, oh, ow)"
        )
        yield from gradients(learner, "avg_pool2d_backward", right, [x], rng, how)


def _window(shape, kernel_size, stride=None, padding=(0, 0)):
    return window("avg_pool2d", shape[2:], kernel_size, stride, padding, (1, 1))

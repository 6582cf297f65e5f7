"""Checks conv2d_forward and conv2d_backward against the reference kernels."""

from minicnn.exercises.checking import Reference, compare_call, gradients, sizes
from minicnn.shapes import window


def check(learner, rng):
    """C = O and square windows first; then overlap, padding and remainder; dilation and groups."""
    n, c = sizes(rng, 2, 2, 3)
    one, two = sizes(rng, 2, 1, 2)
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    cases = [
        ((1, 2, 5, 5), (2, 2, 2, 2), plain | {"stride": (2, 2)}),
        ((n, c, 4, 3), (4, c, 3, 2), plain),
        ((2, 2, 5, 3), (3, 2, 3, 2), plain | {"stride": (2, 1), "padding": (1, 1)}),
        ((2, 1, 3, 5), (3, 1, 2, 3), plain | {"stride": (1, 2), "padding": (one, two)}),
        ((1, 2, 5, 6), (3, 2, 2, 3), plain | {"stride": (one, two), "dilation": (2, 2)}),
        ((1, 4, 3, 4), (6, 2, 2, 2), plain | {"dilation": (one, two), "groups": 2}),
    ]
    drawn = [([rng.standard_normal(s) for s in (shape, weights, weights[:1])], how)
             for shape, weights, how in cases]  # fmt: skip
    for inputs, how in drawn:
        right = _reference(*inputs, **how)
        yield from compare_call(
            learner, "conv2d_forward(x, weight, bias)", inputs, right.forward(*inputs), how,
            axes="(N, O, oh, ow)",
        )  # fmt: skip
        yield from gradients(learner, "conv2d_backward", right, inputs, rng, how, quick=True)
    # once in full, for what is wrong although the values are not
    inputs, how = drawn[0]
    yield from gradients(learner, "conv2d_backward", _reference(*inputs, **how), inputs, rng, how)


def _reference(x, weight, bias, stride, padding, dilation, groups):
    at = window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return Reference("conv2d", at, groups)

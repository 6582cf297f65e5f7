"""Checks max pooling, its indices and its gradient; then all once more with ties."""

from minicnn.exercises.checking import Formula, compare, gradients, listed, sizes, unpack
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """Square first; then high windows on a wide image, the default stride, overlap, ties."""
    n, c = sizes(rng, 2, 1, 2)
    small, large = sizes(rng, 2, 2, 3)
    cases = [
        ((1, 2, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2)}),
        ((n, c, 6, 7), {"kernel_size": (3, 2), "stride": (3, 2)}),  # and a remainder
        ((n, c, small + 3, large + 4), {"kernel_size": (2, 3)}),
        ((n, c, 5, 4), {"kernel_size": (3, 2), "stride": (1, 1)}),
        ((n, c, large + 3, small + 4), {"kernel_size": (2, 3), "stride": (1, 2)}),
    ]
    for shape, how in cases:
        x = rng.standard_normal(shape)
        x[0, 0] = -abs(x[0, 0])  # windows without a positive number
        yield from _forward(learner, x, how)
        yield from _backward(learner, x, how, rng, quick=True)
    yield from _backward(learner, x, how, rng)
    x = rng.integers(0, 3, (2, 3, 5, 6)) * 1.0
    x[0, 0] = 0.0  # as after ReLU
    how = {"kernel_size": (2, 3), "stride": (2, 1)}
    yield from _forward(learner, x, how)
    g = rng.standard_normal(_reference(x, **how)[0][0].shape)
    dx = learner.max_pool2d_backward(g, x, **how)  # of ties, which differences cannot judge
    yield from compare(
        "max_pool2d_backward(g, x), where maxima are tied,", listed(dx)[0], _true(g, x, how),
        wrong=learner.wrong(lambda planted: planted.max_pool2d_backward(g, x, **how)),
        axes="(N, C, H, W)", where=f"max_pool2d_backward, with {how}",
    )  # fmt: skip


def _reference(x, kernel_size, stride=None):
    """((y, indices), what the backward pass needs)."""
    at = window("max_pool2d", x.shape[2:], kernel_size, stride, 0, (1, 1))
    return reference.max_pool2d_with_indices(x, at)


def _true(g, x, how):
    return reference.max_pool2d_backward(g, _reference(x, **how)[1], (True,))[0]


def _backward(learner, x, how, rng, quick=False):
    right = Formula(lambda x: _reference(x, **how)[0][0], lambda g, x: _true(g, x, how))
    return gradients(learner, "max_pool2d_backward", right, [x], rng, how, quick=quick)


def _forward(learner, x, how):
    def run(code):
        returned = code.max_pool2d_forward(x, **how)
        return unpack("max_pool2d_forward", returned, ("y", "indices"))

    call = ", ".join(["max_pool2d_forward(x", *(f"{k}={v}" for k, v in how.items())]) + ")"
    wheres = ("max_pool2d_forward", "h*W + w of the first maximum")
    parts = zip(("y", "indices"), run(learner), _reference(x, **how)[0], wheres, strict=True)
    for i, (name, returned, expected, where) in enumerate(parts):
        wrong = learner.wrong(lambda planted, i=i: run(planted)[i])
        yield from compare(
            f"{name} of {call}", returned, expected, wrong=wrong, axes="(N, C, oh, ow)", where=where
        )

"""Checks subsample2d_forward and subsample2d_backward against the reference kernels."""

import numpy as np

from minicnn import shapes
from minicnn.exercises.checking import (
    Finding,
    Reference,
    Wrong,
    compare,
    gradients,
    same,
    sizes,
    unpack,
)
from minicnn.kernels import reference


def check(learner, rng):
    """LeNet's own case first, with C = oh = ow; then windows with a remainder, or overlapping."""
    n, c = sizes(rng, 2, 2, 3)
    a, b = sizes(rng, 2, 2, 3)
    for kernel_size, stride, out, more in (
        ((2, 2), (2, 2), (c, c), (0, 0)),  # side by side
        ((3, 2), (3, 2), (a, b), (2, 1)),  # with a remainder
        ((3, 4), (a - 1, b), (b, a), (0, 1)),  # overlapping
    ):
        how = {"kernel_size": kernel_size, "stride": stride}
        parts = zip(kernel_size, stride, out, more, strict=True)
        h, w = (k + s * (m - 1) + r for k, s, m, r in parts)
        x = rng.standard_normal((n, c, h, w))
        coefficient = rng.uniform(0.5, 1.5, c) * rng.choice([-1, 1], c)
        inputs = [x, coefficient, rng.standard_normal(c)]
        yield from _forward(learner, inputs, how)
        yield from _spread(learner, inputs, how, rng)
        yield from _backward(learner, inputs, how, rng)


def _reference(inputs, how):
    window = shapes.window("subsample2d", inputs[0].shape[2:], **how, padding=0, dilation=1)
    return Reference("subsample2d", window)


def _backward(learner, inputs, how, rng):
    right = _reference(inputs, how)
    return gradients(
        learner, "subsample2d_backward", right, inputs, right.gradients, rng,
        op="subsample2d", params=how,
    )  # fmt: skip


def _spread(learner, inputs, how, rng):
    """A finding for two ways to spread g wrongly that depend on how one loops."""
    right = _reference(inputs, how)
    y, saved = right.run(*inputs)
    g = rng.standard_normal(y.shape)
    returned = learner.subsample2d_backward(g, *inputs, **how)
    dx = unpack("subsample2d_backward", returned, ("dx", "dcoefficient", "dbias"))[0]
    true = right.gradients(g, *inputs)[0]
    assigned, corner = np.zeros_like(inputs[0]), np.zeros_like(inputs[0])
    share = g * inputs[1][:, None, None]
    taps = list(reference.taps(assigned, saved.state[3]))
    for tap in taps:
        tap[...] = share
    next(reference.taps(corner, saved.state[3]))[...] = share
    if same(dx, assigned) and not same(dx, true):
        yield Finding("GB063", "dx is overwritten where windows overlap",
                      "the sum of what a pixel gets from all windows that cover it",
                      "what it gets from one of them", "+= instead of =")  # fmt: skip
    if same(dx, corner):
        yield Finding("GB061", "only one corner of each window receives a gradient",
                      f"{len(taps)} pixels of each window", "1 pixel",
                      "every pixel of the window was added, so every one receives it")  # fmt: skip


def _forward(learner, inputs, how):
    x, coefficient, bias = inputs
    (kh, kw), stride = how["kernel_size"], how["stride"]
    y = learner.subsample2d_forward(x, coefficient, bias, **how)
    expected, saved = _reference(inputs, how).run(*inputs)
    s, a, b = saved.state[0], coefficient[:, None, None], bias[:, None, None]
    wrong = [
        Wrong("GB071", "the mean of the window instead of its sum", a * s / (kh * kw) + b,
              "s is a sum: no division by kh*kw"),
        Wrong("coefficient-missing", "the sum is not multiplied", s + b, "coefficient[c] * s"),
        Wrong("bias-missing", "the bias is not added", a * s, "+ bias[c]"),
        Wrong("bias-multiplied", "the bias is multiplied as well", a * (s + b),
              "first coefficient[c] * s, then + bias[c]"),
        Wrong("coefficient-per-column", "coefficient and bias run along the columns",
              lambda: coefficient * s + bias, "coefficient[:, None, None] is (C, 1, 1)"),
        Wrong("coefficient-per-sample", "coefficient and bias run along the samples",
              lambda: _per_sample(coefficient) * s + _per_sample(bias),
              "axis 1 of (N, C, oh, ow) has the maps"),
    ]  # fmt: skip
    return compare(
        f"subsample2d_forward with kernel_size {(kh, kw)}, stride {stride}, x {x.shape}",
        y, expected, wrong=wrong, axes="(N, C, oh, ow)", where="subsample2d_forward",
    )  # fmt: skip


def _per_sample(vector):
    return vector[:, None, None, None]

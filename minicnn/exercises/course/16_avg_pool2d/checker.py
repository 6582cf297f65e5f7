"""Checks average pooling against the reference kernels."""

import numpy as np

from minicnn.exercises.checking import Finding, Reference, Wrong, compare, gradients, same, sizes
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """Square windows side by side; then a remainder, the default stride, overlap, padding."""
    n, c = sizes(rng, 2, 1, 2)
    small, large = sizes(rng, 2, 2, 3)
    cases = [
        ((1, 2, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
        ((n, c, 7, 5), {"kernel_size": (3, 2), "padding": (0, 0)}),
        ((2, 3, small + 3, large + 2), {"kernel_size": (3, 2), "stride": (2, 1)}),
        ((n, c, 5, 4), {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1)}),
        ((n, c, 4, 5), {"kernel_size": (4, 2), "stride": (3, 2), "padding": (2, 1)}),
    ]
    for shape, how in cases:
        x = rng.standard_normal(shape)
        yield from _forward(learner, x, how)
        yield from _assigned(learner, x, how, rng)
        yield from _backward(learner, x, how, rng)


def _window(x, kernel_size, stride=None, padding=(0, 0), ceil_mode=False):
    return window("avg_pool2d", x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)


def _reference(x, counting=True, divisor=None, **how):
    return Reference("avg_pool2d", _window(x, **how), counting, divisor)


def _backward(learner, x, how, rng):
    right = _reference(x, **how)
    return gradients(
        learner,
        "avg_pool2d_backward",
        right,
        [x],
        right.gradients,
        rng,
        op="avg_pool2d",
        params=how,
    )


def _assigned(learner, x, how, rng):
    """A finding where dx has what the last (u, v) left, which depends on how one loops."""
    at = _window(x, **how)
    (kh, kw), (ph, pw), (h, w) = at.kernel_size, at.padding, x.shape[2:]
    g = rng.standard_normal((*x.shape[:2], *at.out))
    padded = np.zeros((*x.shape[:2], h + 2 * ph, w + 2 * pw))
    for tap in reference.taps(padded, at):
        tap[...] = g / (kh * kw)
    dx, true = learner.avg_pool2d_backward(g, x, **how), _reference(x, **how).gradients(g, x)[0]
    if not same(dx, true) and same(dx, padded[:, :, ph : ph + h, pw : pw + w]):
        yield Finding("GB063", "avg_pool2d_backward: dx is overwritten where windows overlap",
                      "the sum of the shares of all windows that cover a pixel",
                      "one of the shares", "+= instead of =")  # fmt: skip


def _forward(learner, x, how):
    right, at = _reference(x, **how)(x), _window(x, **how)
    (kh, kw), (oh, ow) = how["kernel_size"], right.shape[2:]
    padded = reference.pad(x, at)

    def other(**changed):
        return _reference(x, **{"stride": at.stride} | how | changed)(x)

    wrong = [
        Wrong("GB058", "the sum, not the mean", right * (kh * kw), "/ (kh * kw)"),
        Wrong("GB059", "divided by one side of the window", right * kw, "/ (kh * kw)"),
        Wrong("GB059", "divided by one side of the window", right * kh, "/ (kh * kw)"),
        Wrong("GB060", "divided by the number of windows", right * (kh * kw) / (oh * ow),
              "a window has kh * kw pixels"),
        Wrong("GB065", "divided by the pixels inside the image",
              other(counting=False), "the zeros of the padding count: / (kh * kw)"),
        Wrong("maximum", "the maximum, not the mean",
              lambda: np.max(list(reference.taps(padded, at)), axis=0), "the mean"),
        Wrong("one-pixel", "one pixel of each window", lambda: next(reference.taps(padded, at)),
              "the mean of all pixels of the window"),
        Wrong("default-stride", "stride 1 where no stride is given",
              lambda: other(stride=(1, 1)) if "stride" not in how else None,
              "stride None means the kernel_size"),
        Wrong("stride-ignored", "the stride is ignored",
              lambda: other(stride=(1, 1)), "window (i, j) begins at row i sh, column j sw"),
        Wrong("stride-is-kernel", "the stride is ignored",
              lambda: other(stride=(kh, kw)), "the kernel_size is only the default"),
        Wrong("stride-swapped", "sh and sw are swapped",
              lambda: other(stride=at.stride[::-1]), "(rows, columns)"),
        Wrong("kernel-swapped", "kh and kw are swapped",
              lambda: other(kernel_size=(kw, kh)), "(rows, columns)"),
        Wrong("padding-swapped", "ph and pw are swapped",
              lambda: other(padding=at.padding[::-1]), "(rows, columns)"),
        Wrong("padding-ignored", "the padding is ignored", lambda: other(padding=(0, 0)),
              "zeros around the image first"),
        *(Wrong("rounded-up", "windows that stick out are kept",
                lambda divisor=divisor: other(ceil_mode=True, divisor=divisor),
                "the remainder is left out: //")
          for divisor in (None, kh * kw)),
    ]  # fmt: skip
    returned = learner.avg_pool2d_forward(x, **how)
    options = ", ".join(f"{name}={value}" for name, value in how.items())
    return compare(f"avg_pool2d_forward(x, {options})", returned, right, wrong=wrong,
                   axes="(N, C, oh, ow)", where="avg_pool2d_forward")  # fmt: skip

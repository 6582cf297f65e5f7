"""Checks col2im, the counts of windows, and the gradient of im2col."""

import numpy as np

from minicnn.exercises.checking import Formula, compare_call, gradients, sizes
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """Windows that overlap: first all square, then with stride, padding and a remainder."""
    n, c, k = sizes(rng, 3, 2, 4)
    kh, kw, sh, sw, ph, pw = (*sizes(rng, 2, 3, 4), *sizes(rng, 2, 1, 2), *sizes(rng, 2, 1, 2))
    h, w = kh + sh + 2, kw + 2 * sw + 2  # 2 ph or pw more: a few windows along each axis
    cases = [
        ((n, c, k + 4, k + 4), (k, k), (1, 1), (0, 0)),  # 5 by 5 windows: unlike c and k
        ((n, c, h, w), (kh, kw), (sh, sw), (ph, pw)),
        ((1, 1, 4, 6), (2, 3), (2, 3), (0, 0)),  # side by side
    ]
    for (n, c, *size), kernel_size, stride, padding in cases:
        how = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        at = window("col2im", tuple(size), kernel_size, stride, padding, (1, 1))
        columns = rng.standard_normal((n, c * np.prod(kernel_size), np.prod(at.out)))
        yield from _col2im(learner, rng, columns, size, at, how)
        yield from _counts(learner, size, at, how)
    yield from _backward(learner, rng)


def _scatter(columns, size, at):
    shape = (len(columns), columns.shape[1] // np.prod(at.kernel_size), *size)
    return reference.col2im(columns, shape, at)


# ---- col2im ------------------------------------------------------------------------------------


def _col2im(learner, rng, columns, size, at, how):
    right = _scatter(columns, size, at)
    returned = learner.col2im(columns, tuple(size), **how)
    x = rng.standard_normal(right.shape)
    where = "col2im"
    if np.shape(returned) == right.shape:
        one, two = (reference.im2col(x, at) * columns).sum(), np.sum(x * np.asarray(returned))
        where += f"; for a random x <im2col(x), c> = {one:.6g}, <x, col2im(c)> = {two:.6g}"
    return compare_call(
        learner, f"col2im(columns, {tuple(size)})", [columns, tuple(size)], right, how,
        axes="(N, C, H, W)", where=where,
    )  # fmt: skip


def _counts(learner, size, at, how):
    """Counted, window by window."""
    (kh, kw), (sh, sw), (ph, pw) = at.kernel_size, at.stride, at.padding
    right = np.zeros((size[0] + 2 * ph, size[1] + 2 * pw))
    for i, j in np.ndindex(*at.out):
        right[i * sh : i * sh + kh, j * sw : j * sw + kw] += 1
    return compare_call(
        learner, f"window_counts({tuple(size)})", [tuple(size)],
        right[ph : ph + size[0], pw : pw + size[1]], how, axes="(H, W)",
        where="window_counts: col2im of ones",
    )  # fmt: skip


# ---- the gradient of im2col --------------------------------------------------------------------


def _backward(learner, rng):
    n, c = sizes(rng, 2, 2, 3)
    for size, how in (
        ((4, 4), {"kernel_size": (2, 2), "stride": (1, 1), "padding": (0, 0)}),
        ((4, 5), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2)}),
        ((5, 4), {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1)}),
    ):
        at = window("im2col", size, how["kernel_size"], how["stride"], how["padding"], (1, 1))
        right = Formula(
            lambda x, at=at: reference.im2col(x, at),
            lambda g, x, at=at: _scatter(g, x.shape[2:], at),
        )
        x = rng.standard_normal((n, c, *size))
        yield from gradients(learner, "im2col_backward", right, [x], rng, how)

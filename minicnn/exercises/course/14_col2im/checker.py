"""Checks col2im, the counts of windows, and the gradient of im2col."""

import numpy as np

from minicnn.exercises.checking import Wrong, compare, gradients, sizes
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
    options = ", ".join(f"{name}={value}" for name, value in how.items())
    return compare(
        f"col2im(columns, {tuple(size)}, {options})", returned, right,
        wrong=_wrong(columns, size, at, right), axes="(N, C, H, W)", where=where,
    )  # fmt: skip


def _wrong(columns, size, at, right):
    """What the usual mistakes give."""
    (kh, kw), (ph, pw), (h, w) = at.kernel_size, at.padding, size
    n, c = right.shape[:2]
    six = columns.reshape(n, c, kh, kw, *at.out)
    bare = at._replace(padding=(0, 0))
    whole = _scatter(columns, (h + 2 * ph, w + 2 * pw), bare)  # with its border
    crop = "padded[:, :, ph : ph + H, pw : pw + W]"

    def rows(values):
        return _scatter(np.reshape(values, columns.shape), size, at)

    return [
        Wrong("GB044", "col2im assigns instead of adds", lambda: _assigned(six, at, whole.shape)
              [:, :, ph : ph + h, pw : pw + w], "+= where several windows cover a pixel"),
        Wrong("GB044", "col2im assigns instead of adds", lambda: _assigned(six, at, whole.shape,
              by_windows=True)[:, :, ph : ph + h, pw : pw + w],
              "+= where several windows cover a pixel"),
        Wrong("divided-by-counts", "the mean over the windows",
              right / np.maximum(_scatter(np.ones_like(columns), size, at), 1), "a sum"),
        Wrong("GB048", "the border is still there", whole, crop),
        Wrong("GB048", "the border is cut off below and to the right only", whole[:, :, :h, :w],
              crop),
        Wrong("GB048", "ph and pw are swapped where the border is cut off",
              whole[:, :, pw : pw + h, ph : ph + w], crop),
        Wrong("GB050", "the stride is ignored",
              lambda: _scatter(columns, size, at._replace(stride=(1, 1))),
              "window (i, j) begins at row i sh, column j sw"),
        Wrong("GB055", "rows are read in the order (u, v, c)",
              lambda: rows(columns.reshape(n, kh, kw, c, -1).transpose(0, 3, 1, 2, 4)),
              "im2col has the rows in the order (c, u, v)"),
        Wrong("GB047", "u and v are swapped",
              lambda: rows(columns.reshape(n, c, kw, kh, -1).swapaxes(2, 3)),
              "im2col has the rows in the order (c, u, v)"),
        Wrong("GB045", "windows are put back upside down", lambda: rows(six[:, :, ::-1, ::-1]),
              "entry (u, v) goes to row i sh + u, column j sw + v"),
        Wrong("windows-by-columns", "windows are counted column by column",
              lambda: rows(columns.reshape(n, c, kh, kw, *at.out[::-1]).swapaxes(4, 5)),
              "l = i ow + j"),
    ]  # fmt: skip


def _assigned(six, at, shape, by_windows=False):
    """What stays if the last one to write to a pixel wins, in one order or the other."""
    (kh, kw), (sh, sw), (oh, ow) = at.kernel_size, at.stride, at.out
    padded = np.zeros(shape)
    for a in np.ndindex(*((oh, ow, kh, kw) if by_windows else (kh, kw, oh, ow))):
        i, j, u, v = a if by_windows else (*a[2:], *a[:2])
        padded[:, :, i * sh + u, j * sw + v] = six[:, :, u, v, i, j]
    return padded


def _counts(learner, size, at, how):
    """Counted, window by window."""
    (kh, kw), (sh, sw), (ph, pw) = at.kernel_size, at.stride, at.padding
    right = np.zeros((size[0] + 2 * ph, size[1] + 2 * pw))
    for i, j in np.ndindex(*at.out):
        right[i * sh : i * sh + kh, j * sw : j * sw + kw] += 1
    wrong = [Wrong("counts-with-border", "the border is counted too", right, "of pixels only")]
    right = right[ph : ph + size[0], pw : pw + size[1]]
    wrong += [
        Wrong("covered-or-not", "1 wherever any window lies", (right > 0) + 0.0, "how many"),
        Wrong("entries-of-window", "the size of a window", np.full(right.shape, 1.0 * kh * kw),
              "how many windows cover a pixel, not how many pixels a window covers"),
        Wrong("four-axes", "the counts have four axes", right[None, None], "(H, W) only"),
    ]  # fmt: skip
    returned = learner.window_counts(tuple(size), **how)
    options = ", ".join(f"{name}={value}" for name, value in how.items())
    return compare(f"window_counts({tuple(size)}, {options})", returned, right, wrong=wrong,
                   axes="(H, W)", where="window_counts: col2im of ones")  # fmt: skip


# ---- the gradient of im2col --------------------------------------------------------------------


def _backward(learner, rng):
    n, c = sizes(rng, 2, 2, 3)
    for size, how in (
        ((4, 4), {"kernel_size": (2, 2), "stride": (1, 1), "padding": (0, 0)}),
        ((4, 5), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2)}),
        ((5, 4), {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1)}),
    ):
        at = window("im2col", size, how["kernel_size"], how["stride"], how["padding"], (1, 1))

        def forward(x, at=at):
            return reference.im2col(x, at)

        def true(g, x, at=at):
            return _scatter(g, x.shape[2:], at)

        x = rng.standard_normal((n, c, *size))
        yield from gradients(learner, "im2col_backward", forward, [x], true, rng,
                             op="im2col", params=how)  # fmt: skip

"""Checks output_size on many numbers, and im2col against the reference kernel."""

import numpy as np

from minicnn.exercises.checking import Finding, Wrong, compare, sizes
from minicnn.kernels import reference
from minicnn.shapes import window


def check(learner, rng):
    """A square case first, where swapped axes run too; then stride, padding and a remainder."""
    yield from _output_size(learner, rng)
    n, c, k = sizes(rng, 3, 2, 4)
    h, w = sizes(rng, 2, 6, 9)
    kh, kw, sh, sw, ph, pw = (*sizes(rng, 2, 2, 3), *sizes(rng, 2, 1, 3), *sizes(rng, 2, 0, 2))
    cases = [
        ((n, c, k + 4, k + 4), (k, k), (1, 1), (0, 0)),  # 5 by 5 windows: unlike c and k
        ((n, c, h, h), (k, k), (2, 2), (1, 1)),
        ((n, c, h, w), (kh, kw), (1, 1), (0, 0)),
        ((n, c, h, w), (kh, kw), (sh, sw), (ph, pw)),
        ((1, 1, kh, kw), (kh, kw), (sh, sw), (0, 0)),  # a single window, a single channel
    ]
    for shape, kernel_size, stride, padding in cases:
        yield from _im2col(learner, rng.standard_normal(shape), kernel_size, stride, padding)


def _output_size(learner, rng):
    """One thing at a time, so that it gets its name: nothing, a remainder, padding; then all."""
    k, s, p, more = (int(i) for i in rng.integers([1, 2, 2, 2], [5, 5, 4, 5]))
    cases = [(k + more, k, 1, 0), (k + more * s + int(rng.integers(1, s)), k, s, 0)]
    cases += [(k + more, k, 1, p), (k, k, s, 0)]
    for size, k, s, p in (*cases, *rng.integers([4, 1, 1, 0], [12, 5, 4, 3], (8, 4)).tolist()):
        # the starts whose window ends on the padded axis, counted
        fit = [start for start in range(0, size + 2 * p, s) if start + k <= size + 2 * p]
        wrong = [
            Wrong("one-missing", "one window is missing", len(fit) - 1,
                  "i counts from 0: the last i, plus 1"),
            Wrong("padding-once", "the padding is counted on one side only",
                  (size + p - k) // s + 1, "p zeros on each of the two sides"),
            Wrong("rounded-up", "a window that sticks out is counted", len(fit) + 1,
                  "rounded down: // does it"),
            Wrong("stride-ignored", "the stride is ignored", size + 2 * p - k + 1,
                  "windows begin at 0, s, 2s, ..."),
        ]  # fmt: skip
        returned = learner.output_size(size, k, stride=s, padding=p)
        what = f"output_size({size}, {k}, stride={s}, padding={p})"
        yield from compare(what, returned, len(fit), wrong=wrong, where="output_size")
        if not isinstance(returned, int | np.integer):
            yield Finding("type", f"{what} is no int", str(len(fit)), repr(returned),
                          "// divides whole numbers, / gives a float")  # fmt: skip


def _columns(x, kernel_size, stride=(1, 1), padding=(0, 0)):
    at = window("im2col", x.shape[2:], kernel_size, stride, padding, (1, 1))
    return reference.im2col(x, at)


def _im2col(learner, x, kernel_size, stride, padding):
    n, c, h, _ = x.shape
    (kh, kw), (ph, pw) = kernel_size, padding
    right = _columns(x, kernel_size, stride, padding)
    oh = (h + 2 * ph - kh) // stride[0] + 1
    six = right.reshape(n, c, kh, kw, oh, -1)  # (N, C, kh, kw, oh, ow)
    edges = [(0, 0), (0, 0), (ph, ph), (pw, pw)]
    ends = [(0, 0), (0, 0), (0, 2 * ph), (0, 2 * pw)]
    wrong = [
        Wrong("rows-channels-last", "rows in the order (u, v, c)",
              six.transpose(0, 2, 3, 1, 4, 5).reshape(right.shape),
              "the channel is the slowest: r = (c kh + u) kw + v"),
        Wrong("kernel-swapped", "u and v are swapped in the rows",
              six.swapaxes(2, 3).reshape(right.shape), "first u, then v: r = (c kh + u) kw + v"),
        Wrong("kernel-flipped", "windows are read backwards",
              six[:, :, ::-1, ::-1].reshape(right.shape), "entry (u, v) at i sh + u, j sw + v"),
        Wrong("windows-by-columns", "windows are counted column by column",
              six.swapaxes(4, 5).reshape(right.shape), "row by row: l = i ow + j"),
        Wrong("windows-as-rows", "a row, not a column, for each window",
              right.swapaxes(1, 2), "the result is (N, C*kh*kw, L)"),
        Wrong("windows-mixed", "the axes are reshaped before they stand in their order",
              six.transpose(0, 4, 5, 1, 2, 3).reshape(right.shape),
              "(N, C, kh, kw, oh, ow), then reshape; reshape moves nothing"),
        Wrong("padding-missing", "the padding is missing",
              lambda: _columns(x, kernel_size, stride), "zeros around the image first"),
        Wrong("padding-at-end", "all the padding is below and to the right",
              lambda: _columns(np.pad(x, ends), kernel_size, stride), "p zeros on each side"),
        Wrong("padding-not-zero", "the image's border is repeated in the padding",
              lambda: _columns(np.pad(x, edges, "edge"), kernel_size, stride), "zeros"),
        Wrong("padding-swapped", "ph and pw are swapped",
              lambda: _columns(x, kernel_size, stride, padding[::-1]), "(rows, columns)"),
        Wrong("stride-swapped", "sh and sw are swapped",
              lambda: _columns(x, kernel_size, stride[::-1], padding), "(rows, columns)"),
        Wrong("stride-ignored", "windows lie side by side",
              lambda: _packed(x, kernel_size, padding, *six.shape[4:]),
              "window (i, j) begins at row i sh, column j sw"),
    ]  # fmt: skip
    returned = learner.im2col(x, kernel_size, stride=stride, padding=padding)
    what = f"im2col(x, {kernel_size}, stride={stride}, padding={padding})"
    return compare(f"{what} for x of shape {x.shape}", returned, right, wrong=wrong,
                   axes="(N, C*kh*kw, L)", where="im2col")  # fmt: skip


def _packed(x, kernel_size, padding, oh, ow):
    """The right number of windows, one step apart."""
    n, c = x.shape[:2]
    (kh, kw), ph = kernel_size, padding[0]
    near = _columns(x, kernel_size, padding=padding)
    near = near.reshape(n, c * kh * kw, x.shape[2] + 2 * ph - kh + 1, -1)
    return near[:, :, :oh, :ow].reshape(n, c * kh * kw, -1)

"""Checks max pooling, its indices and its gradient; then all once more with ties."""

import numpy as np

from minicnn.exercises.checking import Formula, Wrong, compare, gradients, listed, sizes, unpack
from minicnn.exercises.windows import pooling
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
        wrong=_of_ties(g, x, how) + _overwritten(g, x, how), axes="(N, C, H, W)",
        where=f"max_pool2d_backward, with {how}",
    )  # fmt: skip


def _window(x, kernel_size, stride=None, ceil_mode=False):
    return window("max_pool2d", x.shape[2:], kernel_size, stride, 0, (1, 1), ceil_mode)


def _reference(x, **how):
    """((y, indices), what the backward pass needs)."""
    return reference.max_pool2d_with_indices(x, _window(x, **how))


def _true(g, x, how):
    return reference.max_pool2d_backward(g, _reference(x, **how)[1], (True,))[0]


# ---- backward ----------------------------------------------------------------------------------


def _backward(learner, x, how, rng, quick=False):
    right = Formula(lambda x: _reference(x, **how)[0][0], lambda g, x: _true(g, x, how))
    return gradients(
        learner, "max_pool2d_backward", right, [x], rng, how, quick=quick,
        wrong=lambda g: [_overwritten(g, x, how)],
    )  # fmt: skip


def _overwritten(g, x, how):
    """What stays if the last one to write to a pixel wins, in one order or the other."""
    (y, indices), saved = _reference(x, **how)
    which, _, at = saved.state
    by_taps, by_windows = np.zeros(x.shape), np.zeros(x.shape)
    for k, tap in enumerate(reference.taps(by_taps, at)):
        np.copyto(tap, g, where=which == k)
    for place in np.ndindex(y.shape):
        by_windows[place[:2]].flat[indices[place]] = g[place]
    return [
        Wrong("GB063", "max_pool2d_backward: dx is overwritten where windows overlap", dx,
              "several windows may have their maximum at one pixel: add (np.add.at)")
        for dx in (by_windows, by_taps)
    ]  # fmt: skip


def _of_ties(g, x, how):
    """What other choices between equal pixels give."""
    (y, _), saved = _reference(x, **how)
    at = saved.state[2]
    masks = np.stack([tap == y for tap in reference.taps(x, at)])  # (kh*kw, N, C, oh, ow)
    last = len(masks) - 1 - masks[::-1].argmax(axis=0)
    of_last = [g * (last == k) for k in range(len(masks))]
    return [
        Wrong("GB067", "every one of the equal pixels receives the whole of g",
              reference.add_taps(masks * g, x.shape, at), "the first of them only"),
        Wrong("ties-shared", "the equal pixels of a tie share g",
              reference.add_taps(masks * g / masks.sum(axis=0), x.shape, at),
              "a choice that others make too; here the first one counts, as in PyTorch"),
        Wrong("last-tie", "the last of the equal pixels receives g",
              reference.add_taps(np.stack(of_last), x.shape, at), "the first one, row by row"),
    ]  # fmt: skip


# ---- forward -----------------------------------------------------------------------------------


def _forward(learner, x, how):
    (right, indices), saved = _reference(x, **how)
    which, _, at = saved.state
    taps = list(reference.taps(x, at))

    def other(**changed):
        return _reference(x, **{"stride": at.stride} | how | changed)[0][0]

    wrong = [
        Wrong("mean", "the mean, not the maximum", np.mean(taps, axis=0), "the largest"),
        Wrong("minimum", "the minimum, not the maximum", np.min(taps, axis=0), "the largest"),
        Wrong("starts-at-zero", "0 where all pixels of the window are negative",
              np.maximum(right, 0), "begin with the first pixel, or with -np.inf, not with 0"),
        Wrong("absolute", "the largest without its sign", np.max(np.abs(taps), axis=0),
              "-3 is smaller than 1"),
        *pooling(other, at, how),
    ]  # fmt: skip
    returned = learner.max_pool2d_forward(x, **how)
    y, places = unpack("max_pool2d_forward", returned, ("y", "indices"))
    call = ", ".join(["max_pool2d_forward(x", *(f"{k}={v}" for k, v in how.items())]) + ")"
    return compare(f"y of {call}", y, right, wrong=wrong, axes="(N, C, oh, ow)",
                   where="max_pool2d_forward") or compare(
        f"indices of {call}", places, indices, wrong=_wrong_indices(x, at, taps, which),
        axes="(N, C, oh, ow)", where="h*W + w of the first maximum",
    )  # fmt: skip


def _wrong_indices(x, at, taps, which):
    """What the usual mistakes give for the places of the maxima."""
    n, c, h, w = x.shape
    (kh, kw), (sh, sw), (oh, ow) = at.kernel_size, at.stride, at.out
    i, j = np.arange(oh)[:, None], np.arange(ow)
    which = which.astype(int)
    u, v = np.divmod(which, kw)
    last = len(taps) - 1 - np.argmax(taps[::-1], axis=0)
    plane = np.arange(n * c).reshape(n, c, 1, 1)
    row, column = i * sh + u, j * sw + v
    return [
        Wrong("last-tie", "the last of equal maxima",
              (i * sh + last // kw) * w + j * sw + last % kw, "the first one, row by row"),
        Wrong("index-in-window", "places inside the window", which, "h*W + w in the plane"),
        Wrong("GB068", "h times H, not h times W", row * h + column, "a row has W pixels"),
        Wrong("GB068", "h times ow, not h times W", row * ow + column, "a row of x has W pixels"),
        Wrong("GB068", "the place in the window taken apart with kh",
              (i * sh + which // kh) * w + j * sw + which % kh,
              "a row of the window has kw pixels: u = p // kw, v = p % kw"),
        Wrong("index-by-columns", "pixels are counted column by column", column * h + row,
              "row by row: h*W + w"),
        Wrong("index-without-stride", "the stride is missing in the place",
              (i + u) * w + j + v, "h = i*sh + u, w = j*sw + v"),
        Wrong("index-in-array", "pixels are counted through all samples and channels",
              plane * h * w + row * w + column, "every plane (H, W) begins at 0"),
    ]  # fmt: skip

"""Checks max pooling, its indices and its gradient; then all once more with ties."""

import numpy as np

from minicnn.exercises.checking import Wrong, compare, gradients, same, sizes, unpack
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
        yield from _added(learner, x, how, rng)
        if not _right(learner, x, how, rng):
            yield from _backward(learner, x, how, rng)
    yield from _backward(learner, x, how, rng)
    x = rng.integers(0, 3, (2, 3, 5, 6)) * 1.0
    x[0, 0] = 0.0  # as after ReLU
    how = {"kernel_size": (2, 3), "stride": (2, 1)}
    yield from _forward(learner, x, how)
    yield from _added(learner, x, how, rng)


def _window(x, kernel_size, stride=None, ceil_mode=False):
    return window("max_pool2d", x.shape[2:], kernel_size, stride, 0, (1, 1), ceil_mode)


def _reference(x, **how):
    """((y, indices), what the backward pass needs)."""
    return reference.max_pool2d_with_indices(x, _window(x, **how))


def _true(g, x, how):
    return reference.max_pool2d_backward(g, _reference(x, **how)[1], (True,))[0]


def _said(how):
    return ", ".join(f"{name}={value}" for name, value in how.items())


# ---- backward ----------------------------------------------------------------------------------


def _backward(learner, x, how, rng):
    return gradients(
        learner, "max_pool2d_backward", lambda x: _reference(x, **how)[0][0], [x],
        lambda g, x: _true(g, x, how), rng, op="max_pool2d", params=how,
    )  # fmt: skip


def _right(learner, x, how, rng):
    """Whether the gradient is right: quicker than the check that says what is wrong."""
    g = rng.standard_normal(_reference(x, **how)[0][0].shape)
    return same(learner.max_pool2d_backward(g, x, **how), _true(g, x, how), 1e-11)


def _added(learner, x, how, rng):
    """Findings for what depends on ties, which differences cannot judge, and on the loops."""
    (y, indices), saved = _reference(x, **how)
    which, _, at = saved.state
    g, wrong = rng.standard_normal(y.shape), []
    masks = np.stack([tap == y for tap in reference.taps(x, at)])  # (kh*kw, N, C, oh, ow)
    last = len(masks) - 1 - masks[::-1].argmax(axis=0)

    def put(shares):
        dx = np.zeros(x.shape)
        for tap, share in zip(reference.taps(dx, at), shares, strict=True):
            tap += share
        return dx

    def chosen(winner):
        return [np.where(winner == k, g, 0) for k in range(len(masks))]

    if (masks.sum(axis=0) > 1).any():
        wrong = [
            Wrong("GB067", "every one of the equal pixels receives the whole of g",
                  put(masks * g), "the first of them only"),
            Wrong("ties-shared", "the equal pixels of a tie share g",
                  put(masks * g / masks.sum(axis=0)),
                  "a choice that others make too; here the first one counts, as in PyTorch"),
            Wrong("last-tie", "the last of the equal pixels receives g", put(chosen(last)),
                  "the first one, row by row"),
        ]  # fmt: skip
    by_taps, by_windows = np.zeros(x.shape), np.zeros(x.shape)
    for k, tap in enumerate(reference.taps(by_taps, at)):
        np.copyto(tap, g, where=which == k)
    for place in np.ndindex(y.shape):
        by_windows[place[:2]].flat[indices[place]] = g[place]
    wrong += [
        Wrong("GB063", "max_pool2d_backward: dx is overwritten where windows overlap", dx,
              "several windows may have their maximum at one pixel: add (np.add.at)")
        for dx in (by_windows, by_taps)
    ]  # fmt: skip
    returned = learner.max_pool2d_backward(g, x, **how)
    returned = returned[0] if isinstance(returned, tuple) and len(returned) == 1 else returned
    findings = compare(f"max_pool2d_backward(g, x, {_said(how)})", returned, _true(g, x, how),
                       wrong=wrong, axes="(N, C, H, W)", where="max_pool2d_backward")  # fmt: skip
    known = {mistake.code for mistake in wrong}
    tied = any(mistake.code == "GB067" for mistake in wrong)
    return [finding for finding in findings if tied or finding.code in known]


# ---- forward -----------------------------------------------------------------------------------


def _forward(learner, x, how):
    (right, indices), saved = _reference(x, **how)
    which, _, at = saved.state
    kernel_size = how["kernel_size"]
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
        Wrong("default-stride", "stride 1 where no stride is given",
              lambda: other(stride=(1, 1)) if "stride" not in how else None,
              "stride None means the kernel_size"),
        Wrong("stride-ignored", "the stride is ignored",
              lambda: other(stride=(1, 1)), "window (i, j) begins at row i sh, column j sw"),
        Wrong("stride-is-kernel", "the stride is ignored",
              lambda: other(stride=kernel_size), "the kernel_size is only the default"),
        Wrong("stride-swapped", "sh and sw are swapped",
              lambda: other(stride=at.stride[::-1]), "(rows, columns)"),
        Wrong("kernel-swapped", "kh and kw are swapped",
              lambda: other(kernel_size=kernel_size[::-1]), "(rows, columns)"),
        Wrong("rounded-up", "windows that stick out are kept",
              lambda: other(ceil_mode=True), "the remainder is left out: //"),
    ]  # fmt: skip
    returned = learner.max_pool2d_forward(x, **how)
    y, places = unpack("max_pool2d_forward", returned, ("y", "indices"))
    call = f"max_pool2d_forward(x, {_said(how)})"
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

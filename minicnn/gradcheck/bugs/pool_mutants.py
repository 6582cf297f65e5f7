"""Wrong backward passes of average and maximum pooling; their right lines are in pool.py."""

from dataclasses import replace

import numpy as np

from .operation import in_one_buffer
from .pool import (
    avg_dx,
    avg_forward,
    avg_pool2d,
    first_maximum,
    max_dx,
    max_pool2d,
    overlapping,
    padded,
    sizes_of,
    spread,
    square,
    tiled,
    with_remainder,
)
from .windows import crop, pad, pair

# ---- average pooling -------------------------------------------------------------------------


def first_pixel(g, x, at, *_):
    dx = np.zeros_like(pad(x, at.padding))
    for i, j, rows, columns in at:
        dx[:, :, rows.start, columns.start] += g[:, :, i, j]
    return crop(dx, at.padding)


def assigned(g, x, at, *_):
    dx = np.zeros_like(pad(x, at.padding))
    for i, j, rows, columns in at:
        dx[:, :, rows, columns] = g[:, :, i, j, None, None] / at.area
    return crop(dx, at.padding)


def assigned_by_taps(g, x, at, *_):
    dx = np.zeros_like(pad(x, at.padding))
    for _, _, rows, columns in at.taps():
        dx[:, :, rows, columns] = g / at.area
    return crop(dx, at.padding)


def to_the_border(g, x, at, *_):
    (kh, kw), (h, w), (oh, ow) = at.kernel, x.shape[2:], at.out
    i = np.minimum(np.arange(h) // kh, oh - 1)
    j = np.minimum(np.arange(w) // kw, ow - 1)
    return g[:, :, i][:, :, :, j] / at.area


def padding_left_out(rng):
    """The forward pass does not count the padding."""
    inputs, how = padded(rng)
    return inputs, how | {"count_include_pad": False}


def cropped_at_one_end(g, x, at, count_include_pad):
    share, (h, w) = g / sizes_of(x.shape, at, count_include_pad), x.shape[2:]
    return spread(share, pad(x, at.padding), replace(at, padding=(0, 0)))[:, :, :h, :w]


def sums(input, kernel_size, **how):
    kh, kw = pair(kernel_size)
    return avg_forward(input, kernel_size, **how) * (kh * kw)


wrong = avg_pool2d.wrong
wrong("GB058", "not divided", dx=lambda g, x, at, _: spread(g, x, at))
wrong(
    "GB059", "divided by kh", sample=tiled, dx=lambda g, x, at, _: spread(g / at.kernel[0], x, at)
)
wrong(
    "GB059", "divided by kw", sample=tiled, dx=lambda g, x, at, _: spread(g / at.kernel[1], x, at)
)
wrong(
    "GB060", "divided by OH OW", sample=square,
    dx=lambda g, x, at, _: spread(g / np.prod(at.out), x, at),
)  # fmt: skip
wrong("GB061", "the first pixel gets g", sample=tiled, dx=first_pixel)
wrong(
    "GB062", "np.tile for np.repeat", sample=tiled,
    dx=lambda g, x, at, _: np.tile(g, (1, 1, *at.kernel)) / at.area,
)  # fmt: skip
wrong("GB063", "assigns where windows overlap", sample=overlapping, dx=assigned)
wrong("GB063", "assigns, one element after another", sample=overlapping, dx=assigned_by_taps)
wrong("GB064", "the last windows reach to the border", sample=with_remainder, dx=to_the_border)
wrong(
    "GB065", "divided by the pixels inside", sample=padded,
    dx=lambda g, x, at, _: avg_dx(g, x, at, False),
)  # fmt: skip
wrong(
    "GB065", "divided by kh kw though padding does not count", sample=padding_left_out,
    dx=lambda g, x, at, _: spread(g / at.area, x, at),
)  # fmt: skip
wrong("GB048", "cropped at one end only", sample=padded, dx=cropped_at_one_end)
wrong(
    "GB050", "stride ignored", sample=tiled,
    dx=lambda g, x, at, _: spread(g / at.area, x, replace(at, stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB014", "sums for means, in both", sample=tiled, forward=sums,
    dx=lambda g, x, at, _: spread(g, x, at),
)  # fmt: skip


# ---- maximum pooling -------------------------------------------------------------------------


def tied(rng):
    """Few different numbers: in some window the largest occurs twice."""
    inputs, how = tiled(rng)
    inputs[0] = rng.integers(0, 3, inputs[0].shape) * 1.0
    inputs[0][0, 0, :2, :2] = 2.0
    return inputs, how


def to_every_tie(g, x, at):
    x = pad(x, at.padding, -np.inf)
    dx = np.zeros_like(x)
    for i, j, rows, columns in at:
        patch = x[:, :, rows, columns]
        largest = patch == patch.max(axis=(2, 3), keepdims=True)
        dx[:, :, rows, columns] += g[:, :, i, j, None, None] * largest
    return crop(dx, at.padding)


def maximum_assigned(g, x, at):
    x = pad(x, at.padding, -np.inf)
    dx = np.zeros_like(x)
    for i, j, rows, columns in at:
        patch = x[:, :, rows, columns]
        dx[:, :, rows, columns] = g[:, :, i, j, None, None] * first_maximum(patch)
    return crop(dx, at.padding)


def oblong(rng):
    """High windows on a wide image, so that a wrong width stays inside the image."""
    inputs, how = tiled(rng)
    kh, kw = sorted(how["kernel_size"], reverse=True)
    inputs[0] = rng.standard_normal((*inputs[0].shape[:2], 2 * kh, 2 * kh + 3 * kw))
    return inputs, how | {"kernel_size": (kh, kw), "stride": (kh, kw)}


def argmaxima(g, x, at):
    """(sample, channel, i, j), the window's first row and column, and the argmax inside it."""
    (kh, kw), (sh, sw) = at.kernel, at.stride
    for n, c, i, j in np.ndindex(*x.shape[:2], *g.shape[2:]):
        top, left = i * sh, j * sw
        argmax = x[n, c, top : top + kh, left : left + kw].argmax()
        yield (n, c, i, j), top, left, argmax


def argmax_over_kh(g, x, at):
    n, c, h, w = x.shape
    kh, _ = at.kernel
    dx = np.zeros((n, c, h, w + kh))
    for place, top, left, argmax in argmaxima(g, x, at):
        row, column = divmod(argmax, kh)
        dx[*place[:2], top + row, left + column] += g[place]
    return dx[..., :w]


def argmax_times_h(g, x, at):
    n, c, h, w = x.shape
    _, kw = at.kernel
    dx = np.zeros((n, c, h * w))
    for place, top, left, argmax in argmaxima(g, x, at):
        row, column = divmod(argmax, kw)
        dx[*place[:2], (top + row) * h + left + column] += g[place]
    return dx.reshape(x.shape)


def tiled_for_repeated(g, x, at):
    mask = np.zeros_like(x)
    for _, _, rows, columns in at:
        mask[:, :, rows, columns] = first_maximum(x[:, :, rows, columns])
    return np.tile(g, (1, 1, *at.kernel)) * mask


wrong = max_pool2d.wrong
wrong("GB066", "the whole window gets g", dx=spread)
wrong("GB067", "every tie gets g", sample=tied, dx=to_every_tie)
wrong("GB068", "the window's argmax over kh", sample=oblong, dx=argmax_over_kh)
wrong("GB068", "the plane's argmax times H", sample=oblong, dx=argmax_times_h)
wrong("GB069", "times the maximum", dx=lambda g, x, at: max_dx(g, x, at) * x)
wrong("GB063", "assigns where windows overlap", sample=overlapping, dx=maximum_assigned)
wrong("GB062", "np.tile for np.repeat", sample=tiled, dx=tiled_for_repeated)
wrong("GB001", "ones at the maxima", dx=lambda g, x, at: max_dx(np.ones_like(g), x, at))
wrong("GB008", "one buffer for all calls", dx=in_one_buffer(max_dx))
wrong("GB013", "gathered in float32", dx=lambda g, x, at: max_dx(g, x, at).astype(np.float32))

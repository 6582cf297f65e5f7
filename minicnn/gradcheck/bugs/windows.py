"""Windows that slide over an image: what convolution, pooling and im2col are made of."""

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from ...shapes import Window, pair, window


def over(shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> Window:
    """The windows of a kernel on images (N, C, H, W); stride None means the kernel's size."""
    return window("windows", shape[2:], kernel_size, stride, padding, dilation, ceil_mode)


def image_size(out, kernel_size, stride=1, padding=0, dilation=1) -> list[int]:
    """The rows and columns of an image that holds `out` windows, at least one of each."""
    pairs = [pair("windows", "size", p, 0) for p in (kernel_size, stride, padding, dilation)]
    axes = zip(out, *pairs, strict=True)
    return [max(1, s * (m - 1) + d * (k - 1) + 1 - 2 * p) for m, k, s, p, d in axes]


def area(at):
    """The number of pixels of a window."""
    return prod(at.kernel_size)


def borders(at, shape):
    """The padding at both ends of each axis, with what windows need that stick out beyond."""
    ends = zip(at.padding, at.overhang(shape[2:]), strict=True)
    return [(0, 0), (0, 0), *((p, max(p, beyond)) for p, beyond in ends)]


def steps(first, count, step, apart):
    """The rows and the columns of `count` pixels; the first ones are `first` steps in."""
    axes = zip(first, count, step, apart, strict=True)
    return tuple(slice(k * s, k * s + d * (n - 1) + 1, d) for k, n, s, d in axes)


def taps(at):
    """(u, v, rows, columns) of each element of the kernel: what it meets in all windows."""
    for u, v in np.ndindex(*at.kernel_size):
        yield u, v, *steps((u, v), at.out, at.dilation, at.stride)


# ---- from the image to its windows, and back -------------------------------------------------


def gather(x, at, value=0.0):
    """The pixels of all windows: (N, C, H, W) -> (N, C, kh, kw, oh, ow); padding is `value`."""
    x = np.pad(x, borders(at, x.shape), constant_values=value)
    pixels = np.empty((*x.shape[:2], *at.kernel_size, *at.out), x.dtype)
    for u, v, rows, columns in taps(at):
        pixels[:, :, u, v] = x[:, :, rows, columns]
    return pixels


def added(pixels, shape, at, add=True):
    """All windows added to where they lie on the padded image of this shape."""
    x = _blank(pixels, shape, at)
    for u, v, rows, columns in taps(at):
        x[:, :, rows, columns] = pixels[:, :, u, v] + (x[:, :, rows, columns] if add else 0)
    return x


# A mistake: where windows overlap the last pixel stays, one element of the kernel after another.
assigned_by_taps = partial(added, add=False)


def assigned(pixels, shape, at):
    """The same mistake, one window after another."""
    x = _blank(pixels, shape, at)
    for i, j in np.ndindex(*at.out):
        x[:, :, *steps((i, j), at.kernel_size, at.stride, at.dilation)] = pixels[..., i, j]
    return x


def assigning(
    op, code, family, dx, by_windows="assigns where windows overlap",
    by_taps="assigns, one element after another",
):  # fmt: skip
    """Adds both mistakes to an operation."""
    op.wrong(code, by_windows, sample=family, dx=partial(dx, put=assigned))
    op.wrong(code, by_taps, sample=family, dx=partial(dx, put=assigned_by_taps))


def _blank(pixels, shape, at):
    sizes = [n + sum(border) for n, border in zip(shape, borders(at, shape), strict=True)]
    return np.zeros(sizes, pixels.dtype)


def cropped(x, shape, at):
    """The image of this shape without its padding."""
    (ph, pw), (h, w) = at.padding, shape[2:]
    return x[:, :, ph : ph + h, pw : pw + w]


def cropped_at_one_end(x, shape, at):
    """A mistake: the padding in front stays."""
    return x[:, :, : shape[2], : shape[3]]


def uncropped(x, shape, at):
    """A mistake: the image with its padding."""
    return x


def scatter(pixels, shape, at, put: Callable = added, crop: Callable = cropped):
    """What the image's pixels receive from all windows: (N, C, kh, kw, oh, ow) -> (N, C, H, W)."""
    return crop(put(pixels, shape, at), shape, at)


def columns(x, at):
    """im2col: each window as a column, (N, C, H, W) -> (N, C kh kw, windows)."""
    return gather(x, at).reshape(len(x), x.shape[1] * area(at), prod(at.out))


def image(columns, shape, at, **how):
    """col2im: each column added back to where its window lies."""
    return scatter(columns.reshape(*shape[:2], *at.kernel_size, *at.out), shape, at, **how)

"""Windows that slide over an image: what convolution, pooling and im2col are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


def pair(value: Any) -> tuple[int, int]:
    """(rows, columns) of a parameter that may be one number for both."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


@dataclass(frozen=True)
class Windows:
    """The positions of a window on a padded image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    start: int = 0  # row and column of the first window; only a mistake has another

    @property
    def area(self) -> int:
        """The number of pixels of a window."""
        return self.kernel[0] * self.kernel[1]

    def window(self, i: int, j: int) -> tuple[slice, ...]:
        """The rows and the columns of one window."""
        axes = zip((i, j), self.stride, self.kernel, self.dilation, strict=True)
        return tuple(_steps(self.start + k * s, n, d) for k, s, n, d in axes)

    def tap(self, u: int, v: int) -> tuple[slice, ...]:
        """The rows and the columns that one element of the kernel meets, in all windows."""
        axes = zip((u, v), self.dilation, self.out, self.stride, strict=True)
        return tuple(_steps(self.start + k * d, n, s) for k, d, n, s in axes)

    def borders(self, shape: Any) -> list[tuple[int, int]]:
        """The padding at both ends of each axis, with what windows need that stick out beyond."""
        last = self.window(self.out[0] - 1, self.out[1] - 1)
        axes = zip(shape[2:], self.padding, last, strict=True)
        return [(0, 0), (0, 0), *((p, max(p, end.stop - n - p)) for n, p, end in axes)]


def _steps(first: int, count: int, step: int) -> slice:
    return slice(first, first + step * (count - 1) + 1, step)


def over(shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> Windows:
    """The windows of a kernel on images (N, C, H, W); stride None means the kernel's size."""
    kernel, padding, dilation = pair(kernel_size), pair(padding), pair(dilation)
    stride = kernel if stride is None else pair(stride)
    out = []
    for n, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        size = (-(-room // s) if ceil_mode else room // s) + 1
        # A window that would start beyond the image and its padding in front is left out.
        out.append(size - 1 if ceil_mode and (size - 1) * s >= n + p else size)
    return Windows(kernel, stride, padding, dilation, (out[0], out[1]))


def image_size(out, kernel, stride=1, padding=0, dilation=1) -> list[int]:
    """The rows and columns of an image that holds `out` windows, at least one of each."""
    parts = zip(out, *map(pair, (kernel, stride, padding, dilation)), strict=True)
    return [max(1, s * (m - 1) + d * (k - 1) + 1 - 2 * p) for m, k, s, p, d in parts]


# ---- from the image to its windows, and back -------------------------------------------------


def gather(x, at, value=0.0):
    """The pixels of all windows: (N, C, H, W) -> (N, C, kh, kw, oh, ow); padding is `value`."""
    x = np.pad(x, at.borders(x.shape), constant_values=value)
    pixels = np.empty((*x.shape[:2], *at.kernel, *at.out), x.dtype)
    for u, v in np.ndindex(*at.kernel):
        pixels[:, :, u, v] = x[:, :, *at.tap(u, v)]
    return pixels


def added(pixels, shape, at):
    """All windows added to where they lie on the padded image of this shape."""
    x = _blank(pixels, shape, at)
    for u, v in np.ndindex(*at.kernel):
        x[:, :, *at.tap(u, v)] += pixels[:, :, u, v]
    return x


def assigned(pixels, shape, at):
    """A mistake: where windows overlap the last one's pixel stays."""
    x = _blank(pixels, shape, at)
    for i, j in np.ndindex(*at.out):
        x[:, :, *at.window(i, j)] = pixels[..., i, j]
    return x


def assigned_by_taps(pixels, shape, at):
    """The same, for the windows' first pixels, then for the second ones and so on."""
    x = _blank(pixels, shape, at)
    for u, v in np.ndindex(*at.kernel):
        x[:, :, *at.tap(u, v)] = pixels[:, :, u, v]
    return x


def _blank(pixels, shape, at):
    sizes = [n + sum(border) for n, border in zip(shape, at.borders(shape), strict=True)]
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
    return gather(x, at).reshape(len(x), x.shape[1] * at.area, np.prod(at.out))


def image(columns, shape, at, **how):
    """col2im: each column added back to where its window lies."""
    return scatter(columns.reshape(*shape[:2], *at.kernel, *at.out), shape, at, **how)

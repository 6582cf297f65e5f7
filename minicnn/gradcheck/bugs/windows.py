"""Windows that slide over an image, one at a time: what convolution and pooling loop over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


def pair(value: Any) -> tuple[int, int]:
    """(rows, columns) of a parameter that may be one number for both."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


@dataclass(frozen=True)
class Windows:
    """The positions of a window on an image; iterates over the slices of the padded image."""

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

    def __iter__(self) -> Iterator[tuple[int, int, slice, slice]]:
        """(i, j, rows, columns) of each window, row by row."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        for i in range(self.out[0]):
            for j in range(self.out[1]):
                top, left = i * sh + self.start, j * sw + self.start
                rows = slice(top, top + dh * (kh - 1) + 1, dh)
                yield i, j, rows, slice(left, left + dw * (kw - 1) + 1, dw)

    def taps(self) -> Iterator[tuple[int, int, slice, slice]]:
        """(u, v, rows, columns) of each element of the kernel: what it meets in all windows."""
        (oh, ow), (sh, sw), (dh, dw) = self.out, self.stride, self.dilation
        for u, v in np.ndindex(*self.kernel):
            top, left = u * dh + self.start, v * dw + self.start
            rows = slice(top, top + sh * (oh - 1) + 1, sh)
            yield u, v, rows, slice(left, left + sw * (ow - 1) + 1, sw)


def windows(shape, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False) -> Windows:
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


def pad(x, padding, value=0.0):
    """x with rows and columns of `value` around it."""
    (ph, pw) = pair(padding)
    return np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)], constant_values=value)


def crop(x, padding):
    """x without the rows and columns that pad put around it."""
    (ph, pw) = pair(padding)
    return x[:, :, ph : x.shape[2] - ph, pw : x.shape[3] - pw]

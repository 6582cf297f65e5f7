"""Resizing and affine maps of a batch of images: arrays in, arrays out, Pillow's bits for uint8.

All arrays are (N, C, H, W).  uint8 is computed in Pillow's own fixed-point arithmetic, so results
equal `PIL.Image.resize` and `PIL.Image.transform` bit for bit; floats are not rounded.
Source: Pillow, src/libImaging/Resample.c and Geometry.c.
"""

import functools
import math
from typing import Any

import numpy as np

PRECISION_BITS = 32 - 8 - 2  # Resample.c: what an int32 leaves beside a pixel and a sign


@functools.lru_cache(maxsize=512)  # RandomResizedCrop has as many sizes as pixels in a row
def taps(n_in: int, n_out: int, antialias: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Which input pixels an output pixel is made of, and their weights, both (K, n_out).

    Linear interpolation: weights fall off as a triangle around the output pixel's centre.  With
    antialias that is as wide as an output pixel where this is wider than an input pixel, so that
    shrinking averages.  K is the largest number of pixels needed; others have weight 0.
    """
    scale = n_in / n_out
    width = max(scale, 1.0) if antialias else 1.0
    pixels, weights = [], []
    for j in range(n_out):
        centre = (j + 0.5) * scale
        first, last = max(int(centre - width + 0.5), 0), min(int(centre + width + 0.5), n_in)
        w = np.maximum(1 - np.abs((np.arange(first, last) - centre + 0.5) * (1 / width)), 0)
        w /= np.add.accumulate(w)[-1]  # in Pillow's order: np.sum rounds otherwise
        pixels.append(np.arange(first, last)[w > 0])
        weights.append(w[w > 0])
    k = max(map(len, weights))
    where, table = np.zeros((k, n_out), np.intp), np.zeros((k, n_out))
    for j, (p, w) in enumerate(zip(pixels, weights, strict=True)):
        where[: len(p), j], table[: len(p), j] = p, w
    return where, table


def bilinear(x: np.ndarray, height: int, width: int, antialias: bool = True) -> np.ndarray:
    """Images (N, C, height, width), interpolated linearly along rows and along columns.

    Rows first; columns first where the height shrinks by more than twice what the width does, as
    in Pillow since 13, which shows in the bits since uint8 is rounded in between.
    """
    h, w = x.shape[2:]
    passes = [(3, w, width), (2, h, height)]
    if h > height and h - height > 2 * (w - width):
        passes.reverse()
    for axis, n_in, n_out in passes:
        if n_in != n_out:
            x = _weighted(x, axis, *taps(n_in, n_out, antialias or x.dtype == np.uint8))
    return x


def _weighted(x: np.ndarray, axis: int, where: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums of pixels along an axis; for uint8 in units of 2^-PRECISION_BITS, rounded.

    Those weights add up to so nearly 1 that no sum leaves 0 .. 255, nor overflows.
    """
    weights = weights[..., None] if axis == 2 else weights  # along (H, W)
    if x.dtype != np.uint8:
        terms: Any = (
            x.take(i, axis) * w.astype(x.dtype) for i, w in zip(where, weights, strict=True)
        )
        return sum(terms)
    fixed = np.floor(weights * (1 << PRECISION_BITS) + 0.5).astype(np.int32)
    wide, total = x.astype(np.int32), np.array(1 << (PRECISION_BITS - 1), np.int32)
    for i, w in zip(where, fixed, strict=True):
        term = wide.take(i, axis)
        term *= w
        term += total
        total = term
    total >>= PRECISION_BITS
    return total.astype(np.uint8)


def nearest(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (N, C, height, width) of the nearest pixels."""
    h, w = x.shape[2:]
    rows, columns = (_steps(0.0, n / m, m).astype(np.intp) for n, m in ((h, height), (w, width)))
    return x[:, :, rows[:, None], columns]


def _steps(start: "np.ndarray | float", step: "np.ndarray | float", n: int) -> np.ndarray:
    """Centres of n pixels, added up one by one as in Pillow: start + step / 2, then + step."""
    start, step = np.asarray(start, np.float64), np.asarray(step, np.float64)
    terms = np.repeat(step[..., None], n, -1)
    terms[..., 0] = start + step * 0.5
    return np.cumsum(terms, -1)


def inverse_affine(
    angle: np.ndarray,
    translate: np.ndarray,
    scale: np.ndarray,
    shear: np.ndarray,
    centre: tuple[float, float],
) -> np.ndarray:
    """Where each output pixel comes from: matrices (N, 6) for `affine`.

    Parameters
    ----------
    angle, scale
        (N,); degrees clockwise, and a factor above 0.
    translate, shear
        (N, 2): x and y, in pixels and in degrees.
    centre
        (x, y) of what stays in place.

    Notes
    -----
    The forward map is T C R S shear C^-1: shear, scale and rotate about the centre, then translate;
    this is its inverse, in the order of operations of torchvision's, whose bits decide where a
    pixel on an edge goes.
    """
    matrices = np.empty((len(angle), 6))
    for i in range(len(angle)):  # by math's functions, one by one: NumPy's may differ in a bit
        rot, sx, sy = (math.radians(v) for v in (angle[i], shear[i][0], shear[i][1]))
        a = math.cos(rot - sy) / math.cos(sy)
        b = -math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)
        c = math.sin(rot - sy) / math.cos(sy)
        d = -math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)
        matrices[i] = (d, -b, 0, -c, a, 0)
    matrices /= np.asarray(scale)[:, None]
    x, y = -centre[0] - translate[:, 0], -centre[1] - translate[:, 1]
    matrices[:, 2] += matrices[:, 0] * x + matrices[:, 1] * y
    matrices[:, 5] += matrices[:, 3] * x + matrices[:, 4] * y
    matrices[:, 2] += centre[0]
    matrices[:, 5] += centre[1]
    return matrices


def inverse_rotation(angle: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Where each output pixel comes from: matrices (N, 6) for `affine`.

    Parameters
    ----------
    angle
        (N,), in degrees anticlockwise.
    centre
        (x, y) of what stays in place.

    Notes
    -----
    In the arithmetic of `PIL.Image.rotate`, which rounds sines and cosines to 15 places: quarter
    turns are exact.
    """
    matrices, (x, y) = np.empty((len(angle), 6)), centre
    for i, degrees in enumerate(angle):
        turn = -math.radians(degrees % 360)
        c, s = round(math.cos(turn), 15), round(math.sin(turn), 15)
        matrices[i] = (c, s, c * -x + s * -y + x, -s, c, -s * -x + c * -y + y)
    return matrices


def affine_nearest(x: np.ndarray, matrices: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Output pixel (i, j) is the input pixel that its centre is mapped into, or fill.

    Parameters
    ----------
    x
        (N, C, H, W).
    matrices
        (N, 6): column = m0 (j + 1/2) + m1 (i + 1/2) + m2, row likewise from m3, m4, m5.
    fill
        (C, 1, 1), for what comes from outside.
    """
    h, w = x.shape[2:]
    rows, columns = _sources(matrices, h, w)  # (N, H, W)
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    rows *= w
    rows += columns
    rows *= inside  # what lies outside reads pixel 0, and is filled
    return np.where(inside[:, None], _read(x, rows), fill.astype(x.dtype))


def _read(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Pixels of x, in x's shape (N, C, H, W), from places (N, H, W) counted within an image."""
    n, c, h, w = x.shape
    start = np.arange(n * c).reshape(n, c, 1, 1) * (h * w)
    return x.reshape(-1).take(where[:, None] + start)


def _sources(matrices: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and column (N, H, W) that each pixel comes from, which may lie outside.

    Pillow adds up floats where the map only scales and shifts, and 16.16 fixed point elsewhere.
    """
    m = matrices.T[:, :, None, None]  # (6, N, 1, 1)
    j, i = np.arange(w), np.arange(h)[:, None]
    f0, f1, f2, f3, f4, f5 = (
        np.floor(v * 65536.0 + 0.5).astype(np.int64)
        for v in (m[0], m[1], m[2] + m[0] * 0.5 + m[1] * 0.5,
                  m[3], m[4], m[5] + m[3] * 0.5 + m[4] * 0.5)
    )  # fmt: skip
    columns = (f2 + f1 * i + f0 * j) >> 16
    rows = (f5 + f4 * i + f3 * j) >> 16
    straight = (matrices[:, 1] == 0) & (matrices[:, 3] == 0)
    if straight.any():
        s = matrices[straight]
        columns[straight] = np.floor(_steps(s[:, 2], s[:, 0], w))[:, None, :]
        rows[straight] = np.floor(_steps(s[:, 5], s[:, 4], h))[:, :, None]
    return rows, columns


def affine_bilinear(x: np.ndarray, matrices: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """As `affine_nearest`, interpolating between the four pixels around the mapped centre."""
    h, w = x.shape[2:]
    m = matrices.T[:, :, None, None]
    j, i = np.arange(w) + 0.5, np.arange(h)[:, None] + 0.5
    columns = m[0] * j + m[1] * i + m[2]  # (N, H, W)
    rows = m[3] * j + m[4] * i + m[5]
    inside = (columns >= 0) & (columns < w) & (rows >= 0) & (rows < h)
    columns, rows = (np.where(inside, v, 0.5) - 0.5 for v in (columns, rows))
    left, top = np.floor(columns).astype(np.intp), np.floor(rows).astype(np.intp)
    dx, dy = (columns - left)[:, None], (rows - top)[:, None]

    def corner(down: int, across: int) -> np.ndarray:
        row, column = np.clip(top + down, 0, h - 1), np.clip(left + across, 0, w - 1)
        return _read(x, row * w + column)

    upper = _between(corner(0, 0), corner(0, 1), dx)
    lower = _between(corner(1, 0), corner(1, 1), dx)
    y = _between(upper, lower, dy).astype(x.dtype)  # which cuts fractions off, as Pillow does
    return np.where(inside[:, None], y, fill.astype(x.dtype))


def _between(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a + (b - a) share, in float64."""
    return a + np.subtract(b, a, dtype=np.float64) * share

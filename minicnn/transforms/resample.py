"""Resizing, rotating and affine maps of batches of images (N, C, H, W): Pillow does them."""

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class InterpolationMode(enum.Enum):
    """How a value between pixels is found."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"


def nearest(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (N, C, height, width) of the nearest pixels."""
    from PIL import Image

    return _gathered(x, _numbered(*x.shape[2:]).resize((width, height), Image.Resampling.NEAREST))


def bilinear(x: np.ndarray, height: int, width: int, antialias: bool = True) -> np.ndarray:
    """Images (N, C, height, width), interpolated linearly along rows and along columns.

    8-bit images come out with Pillow's bits.  Floats, of which Pillow has 32 bits only, keep all
    of theirs, and antialias may be turned off.
    """
    from PIL import Image

    if x.dtype == np.uint8:
        planes, size = map(_image, x.reshape(-1, *x.shape[2:])), (width, height)
        resized = [np.asarray(plane.resize(size, Image.Resampling.BILINEAR)) for plane in planes]
        return np.array(resized, np.uint8).reshape(*x.shape[:2], height, width)
    dtype = np.result_type(x.dtype, np.float16)
    rows, columns = (
        _weights(n_in, n_out, antialias).astype(dtype)
        for n_in, n_out in zip(x.shape[2:], (height, width), strict=True)
    )
    # In one piece, or the bits of the product would depend on how x lies in memory.
    return (rows @ np.ascontiguousarray(x) @ columns.T).astype(x.dtype, copy=False)


def _weights(n_in: int, n_out: int, antialias: bool) -> np.ndarray:
    """How much of each input pixel an output pixel has, (n_out, n_in).

    Weights fall off as a triangle around the output pixel's centre.  With antialias that is as wide
    as an output pixel where this is wider than an input pixel, so that shrinking averages.
    """
    scale = n_in / n_out
    centres = (np.arange(n_out)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(n_in) + 0.5 - centres) / (max(scale, 1.0) if antialias else 1.0)
    weights = np.maximum(1 - distances, 0)
    return weights / weights.sum(1, keepdims=True)


def inverse_affine(
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
    centre: Sequence[float],
) -> tuple[float, ...]:
    """Where each output pixel comes from, as `PIL.Image.transform` takes it.

    The forward map is T C R S shear C^-1: sheared by two angles, scaled and turned clockwise about
    the centre (x, y), then moved by so many pixels.  This is its inverse, in the order of
    operations of torchvision's, whose bits decide where a pixel on an edge goes.
    """
    rot, sx, sy = (math.radians(v) for v in (angle, *shear))
    a = math.cos(rot - sy) / math.cos(sy) / scale
    b = (-math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)) / scale
    c = math.sin(rot - sy) / math.cos(sy) / scale
    d = (-math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)) / scale
    x, y = -centre[0] - translate[0], -centre[1] - translate[1]
    return d, -b, d * x - b * y + centre[0], -c, a, -c * x + a * y + centre[1]


def moved(
    x: np.ndarray,
    draws: Sequence[Any],
    move: Callable[..., Any],
    interpolation: InterpolationMode,
    fill: np.ndarray,
) -> np.ndarray:
    """Images (N, C, H, W), each moved by what was drawn for it; their shape remains.

    move(image, draw, resample=..., fillcolor=...) makes one PIL image of another; fill (C, 1, 1)
    comes in from outside.  What is not 8-bit is float32 while it is interpolated, as Pillow has it.
    """
    from PIL import Image

    out, fill, numbers = np.empty_like(x), fill.astype(x.dtype), _numbered(*x.shape[2:])
    method = Image.Resampling[interpolation.name]
    for image, made, draw in zip(x, out, draws, strict=True):
        if interpolation is InterpolationMode.NEAREST:
            where = np.asarray(move(numbers, draw, resample=method, fillcolor=-1))
            made[:] = np.where(where < 0, fill, _gathered(image, where))
        else:
            for k, value in enumerate(fill.ravel().tolist()):
                made[k] = move(_image(image[k]), draw, resample=method, fillcolor=value)
    return out


def _image(plane: np.ndarray) -> Any:
    """Pixels (H, W) as a PIL image."""
    from PIL import Image

    return Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))


def _numbered(height: int, width: int) -> Any:
    """A PIL image whose pixels have numbers: what Pillow makes of it tells where pixels go."""
    from PIL import Image

    return Image.fromarray(np.arange(height * width, dtype=np.int32).reshape(height, width))


def _gathered(x: np.ndarray, numbers: Any) -> np.ndarray:
    """The pixels of x, (..., H, W), that have these numbers, in the numbers' shape."""
    return x.reshape(*x.shape[:-2], -1).take(np.asarray(numbers), -1)

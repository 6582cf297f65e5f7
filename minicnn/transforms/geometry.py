"""Transforms that move pixels: sizes, edges, crops, flips and affine maps."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..random import default_generator
from . import resample
from .base import Transform
from .resample import InterpolationMode

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")
PIL_MODES = {0: InterpolationMode.NEAREST, 2: InterpolationMode.BILINEAR}  # PIL's own numbers


def _interpolation(who: str, mode: Any) -> InterpolationMode:
    mode = PIL_MODES.get(mode, mode) if isinstance(mode, int) else mode
    if not isinstance(mode, InterpolationMode):
        raise ArgumentError(
            f"{who}: interpolation must be InterpolationMode.NEAREST or BILINEAR, not {mode!r}"
        )
    return mode


def _pair(who: str, size: Any) -> tuple[int, int]:
    """(height, width) from a number or a sequence of one or two."""
    sizes = tuple(size) if isinstance(size, Sequence) else (size,)
    if not 1 <= len(sizes) <= 2 or not all(_is_size(n) for n in sizes):
        raise ArgumentError(f"{who}: size must be a number from 1 up or (h, w), not {size!r}")
    return int(sizes[0]), int(sizes[-1])


def _is_size(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and bool(n >= 1)


def _filling(who: str, fill: Any, channels: int) -> np.ndarray:
    """One value for each channel, (C, 1, 1), from a number or a sequence."""
    values = np.asarray(fill).reshape(-1, 1, 1)
    if len(values) not in (1, channels):
        raise ArgumentError(f"{who}: fill has {len(values)} values for {channels} channels")
    return np.broadcast_to(values, (channels, 1, 1))


class Resize(Transform):
    """Images of another size.

    8-bit images come out with PIL's bits.  For floating Tensors nothing is rounded, and antialias
    may be turned off.

    Parameters
    ----------
    size
        (height, width), or a number: what the shorter edge becomes, the proportions kept.
    interpolation
        InterpolationMode.BILINEAR or NEAREST.
    max_size
        The most that the longer edge may become, if size is a number.
    antialias
        Shrink by averaging, instead of reading four pixels; 8-bit images always do.
    """

    _shown = (
        "size={size}, interpolation={interpolation.value}, max_size={max_size}, "
        "antialias={antialias}"
    )

    def __init__(
        self,
        size: "int | Sequence[int]",
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        _pair("Resize", size)
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = _interpolation("Resize", interpolation)
        sizes = size if isinstance(size, Sequence) else (size,)
        self._shorter = sizes[0] if len(sizes) == 1 else None
        if max_size is not None and (self._shorter is None or max_size <= self._shorter):
            raise ArgumentError(
                f"Resize: max_size={max_size} needs one smaller number as size, not {size}"
            )

    def target(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that an image of this size gets."""
        if self._shorter is None:
            return _pair("Resize", self.size)
        short, long = self._shorter, int(self._shorter * max(height, width) / min(height, width))
        if self.max_size is not None and long > self.max_size:
            short, long = int(self.max_size * short / long), self.max_size
        return (long, short) if width <= height else (short, long)

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H', W')."""
        size = self.target(*_not_empty("Resize", images))
        if size == images.shape[2:]:
            return images
        if self.interpolation is InterpolationMode.NEAREST:
            return resample.nearest(images, *size)
        return resample.bilinear(images, *size, self.antialias)


def _not_empty(who: str, images: np.ndarray) -> tuple[int, int]:
    """(H, W), neither of them 0."""
    h, w = images.shape[2:]
    if not (h and w):
        raise ShapeError(f"{who}: expected images of at least 1 x 1 pixel, found {h} x {w}")
    return h, w


def _pad(images: np.ndarray, edges: Sequence[int], fill: Any, mode: str) -> np.ndarray:
    """Pixels added on the left, top, right and bottom."""
    left, top, right, bottom = edges
    n, c, h, w = images.shape
    if mode == "constant":
        out = np.empty((n, c, top + h + bottom, left + w + right), images.dtype)
        out[:] = _filling("Pad", fill, c)
        out[:, :, top : top + h, left : left + w] = images
        return out
    options: Any = {"mode": mode}
    rows = np.pad(np.arange(h), (top, bottom), **options)
    columns = np.pad(np.arange(w), (left, right), **options)
    return images[:, :, rows[:, None], columns]


def _lacking(images: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """How many pixels the images are lower and narrower than a size."""
    return max(size[0] - images.shape[2], 0), max(size[1] - images.shape[3], 0)


class _Padding(Transform):
    """What has pixels to add: their numbers on each side, their value, and the mode."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        p = tuple(padding) if isinstance(padding, Sequence) else (padding,)
        edges = {1: p * 4, 2: p * 2, 4: p}.get(len(p))  # left, top, right, bottom
        if edges is None or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in p):
            raise ArgumentError(
                f"{type(self).__name__}: padding must be 1, 2 or 4 whole numbers from 0 up, not "
                f"{padding!r}"
            )
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(
                f"{type(self).__name__}: padding_mode must be one of {', '.join(PADDING_MODES)}, "
                f"not {padding_mode!r}"
            )
        self._edges, self.padding, self.fill = edges, padding, fill
        self.padding_mode = padding_mode


class Pad(_Padding):
    """Pixels added around the image.

    Parameters
    ----------
    padding
        How many, on every side; or (left and right, top and bottom); or (left, top, right, bottom).
    fill
        Their value, or one for each channel, in the mode constant.
    padding_mode
        constant; edge, the last pixel repeated; reflect, mirrored about the last pixel
        (c b | a b c); symmetric, mirrored about the edge (b a | a b c).
    """

    _shown = "padding={padding}, fill={fill}, padding_mode={padding_mode}"

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, C, top + H + bottom, left + W + right)."""
        return _pad(images, self._edges, self.fill, self.padding_mode)


class CenterCrop(Transform):
    """The middle of an image, on a black ground where that is larger than the image."""

    _shown = "size={size}"

    def __init__(self, size: "int | Sequence[int]") -> None:
        self.size = _pair("CenterCrop", size)

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, C, *size)."""
        th, tw = self.size
        dh, dw = _lacking(images, self.size)
        if dh or dw:
            edges = dw // 2, dh // 2, (dw + 1) // 2, (dh + 1) // 2
            images = _pad(images, edges, 0, "constant")
        top, left = (round((n - t) / 2) for n, t in zip(images.shape[2:], self.size, strict=True))
        return images[:, :, top : top + th, left : left + tw]


class RandomCrop(_Padding):
    """A piece of the image, all places equally likely.

    Parameters
    ----------
    size
        (height, width), or a number for both.
    padding, fill, padding_mode
        As in Pad, added first; none if padding is left out.
    pad_if_needed
        Widen an image that is smaller than size, on both sides.
    """

    _shown = "size={size}, padding={padding}"

    def __init__(
        self,
        size: "int | Sequence[int]",
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size, self.pad_if_needed = _pair("RandomCrop", size), pad_if_needed
        super().__init__(0 if padding is None else padding, fill, padding_mode)
        self.padding = padding

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, C, *size), a place drawn for each image."""
        images = self._padded(images)
        n, (h, w), (th, tw) = len(images), images.shape[2:], self.size
        if h < th or w < tw:
            raise ShapeError(
                f"RandomCrop: size {self.size} is larger than the images, {(h, w)}; "
                "give padding, or pad_if_needed=True"
            )
        if (h, w) == (th, tw):
            return images
        random = default_generator.numpy
        top, left = random.integers(0, h - th + 1, n), random.integers(0, w - tw + 1, n)
        windows = np.lib.stride_tricks.sliding_window_view(images, (th, tw), (2, 3))
        return windows[np.arange(n), :, top, left]

    def _padded(self, images: np.ndarray) -> np.ndarray:
        if any(self._edges):
            images = _pad(images, self._edges, self.fill, self.padding_mode)
        if self.pad_if_needed:
            dh, dw = _lacking(images, self.size)
            images = _pad(images, (dw, dh, dw, dh), self.fill, self.padding_mode)
        return images


class RandomResizedCrop(Transform):
    """A piece of the image, of a random area and shape, resized.

    Parameters
    ----------
    size
        (height, width) that every piece gets, or a number for both.
    scale
        The range of the piece's area, as a share of the image's.
    ratio
        The range of its width / height, of which the logarithm is drawn.
    interpolation, antialias
        As in Resize.

    Notes
    -----
    Where ten draws gave no piece that fits into the image it is the largest one in the middle with
    an allowed ratio.  C. Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """

    def __init__(
        self,
        size: "int | Sequence[int]",
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool = True,
    ) -> None:
        self.size = _pair("RandomResizedCrop", size)
        for name, value in (("scale", scale), ("ratio", ratio)):
            if len(value) != 2 or not 0 < value[0] <= value[1]:
                raise ArgumentError(
                    f"RandomResizedCrop: {name} must be (least, greatest) above 0, not {value}"
                )
        self.scale, self.ratio = scale, ratio
        self._resize = Resize(self.size, interpolation, antialias=antialias)
        self.interpolation, self.antialias = self._resize.interpolation, antialias

    def draw(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, h, w) of a random piece of an image of this size."""
        random, (low, high) = default_generator.numpy, np.log(self.ratio)
        for _ in range(10):
            area = height * width * random.uniform(self.scale[0], self.scale[1])
            ratio = math.exp(random.uniform(low, high))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = int(random.integers(0, height - h + 1))
                return top, int(random.integers(0, width - w + 1)), h, w
        h = min(height, max(round(width / self.ratio[0]), 1))
        w = min(width, max(round(height * self.ratio[1]), 1))
        return (height - h) // 2, (width - w) // 2, h, w

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, C, *size), a piece drawn for each image."""
        size = _not_empty("RandomResizedCrop", images)
        out = np.empty((*images.shape[:2], *self.size), images.dtype)
        for i in range(len(images)):
            top, left, h, w = self.draw(*size)
            out[i] = self._resize.batch(images[i : i + 1, :, top : top + h, left : left + w])[0]
        return out

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in x) for x in (self.scale, self.ratio))
        return (
            f"RandomResizedCrop(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


class RandomHorizontalFlip(Transform):
    """Left and right exchanged, with probability p."""

    axis = 3
    _shown = "p={p}"

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be from 0 to 1, not {p}")
        self.p = p

    def batch(self, images: np.ndarray) -> np.ndarray:
        """The same shape, drawn for each image."""
        flip = default_generator.numpy.random(len(images)) < self.p
        out = images.copy()
        out[flip] = np.flip(images[flip], self.axis)
        return out


class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom exchanged, with probability p."""

    axis = 2


class _Moving(Transform):
    """What rotations and affine maps have in common."""

    def __init__(self, degrees: Any, interpolation: Any, fill: Any, center: Any) -> None:
        who = type(self).__name__
        self.degrees = _range(who, "degrees", degrees, (2,))
        self.interpolation = _interpolation(who, interpolation)
        if center is not None and len(center) != 2:
            raise ArgumentError(f"{who}: center must be (x, y), not {center}")
        self.center, self.fill = center, 0 if fill is None else fill

    def _moved(self, images: np.ndarray, draws: Sequence[Any], move: Any) -> np.ndarray:
        fill = _filling(type(self).__name__, self.fill, images.shape[1])
        return resample.moved(images, draws, move, self.interpolation, fill)


class RandomAffine(_Moving):
    """Images rotated, moved, scaled and sheared at random about their centre.

    Parameters
    ----------
    degrees
        The range of the angle, (least, greatest), or d for (-d, d); clockwise.
    translate
        (a, b): moved by at most a widths and b heights, whole pixels; not at all if left out.
    scale
        The range of the factor; 1 if left out.
    shear
        The range of the shear along x in degrees, s for (-s, s), or (x least, x greatest,
        y least, y greatest); none if left out.
    interpolation
        InterpolationMode.NEAREST or BILINEAR, with PIL's bits for 8-bit images.
    fill
        What comes in from outside: a value, or one for each channel.
    center
        (x, y) of what stays in place, in pixels from the upper left corner; the middle if left out.

    Notes
    -----
    Each image of a batch gets its own draws; so does each call with a PIL image or a Tensor.
    """

    def __init__(
        self,
        degrees: "float | Sequence[float]",
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: "float | Sequence[float] | None" = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__(degrees, interpolation, fill, center)
        self.translate = translate
        if translate is not None and not (
            len(translate) == 2 and all(0 <= t <= 1 for t in translate)
        ):
            raise ArgumentError(f"RandomAffine: translate must be 2 of 0 to 1, not {translate}")
        self.scale = scale
        if scale is not None and not (len(scale) == 2 and all(s > 0 for s in scale)):
            raise ArgumentError(f"RandomAffine: scale must be 2 numbers above 0, not {scale}")
        self.shear = None if shear is None else _range("RandomAffine", "shear", shear, (2, 4))

    def draw(self, n: int, height: int, width: int) -> np.ndarray:
        """The matrices (n, 6) of n random maps, for `PIL.Image.transform`."""
        angle, scale = _uniform(self.degrees, n), np.ones(n)
        move, shear = np.zeros((n, 2)), np.zeros((n, 2))
        if self.translate is not None:
            for k, most in enumerate(np.multiply(self.translate, (width, height))):
                move[:, k] = np.round(_uniform((-most, most), n))
        if self.scale is not None:
            scale = _uniform(self.scale, n)
        if self.shear is not None:
            for k in range(len(self.shear) // 2):
                shear[:, k] = _uniform(self.shear[2 * k : 2 * k + 2], n)
        centre = (width * 0.5, height * 0.5) if self.center is None else self.center
        each: Any = zip(angle, move, scale, shear, strict=True)
        return np.array([resample.inverse_affine(a, m, s, h, centre) for a, m, s, h in each])

    def batch(self, images: np.ndarray) -> np.ndarray:
        """The same shape, each image by its own map."""
        matrices = self.draw(len(images), *images.shape[2:]).tolist()
        return self._moved(images, matrices, _mapped)

    def __repr__(self) -> str:
        nearest = self.interpolation is InterpolationMode.NEAREST
        how = None if nearest else self.interpolation.value
        values = vars(self) | {"interpolation": how, "fill": None if self.fill == 0 else self.fill}
        names = "degrees translate scale shear interpolation fill center".split()
        shown = (f"{name}={values[name]}" for name in names if values[name] is not None)
        return f"RandomAffine({', '.join(shown)})"


def _mapped(image: Any, matrix: Sequence[float], **options: Any) -> Any:
    """A PIL image of the same size by an affine map."""
    from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, **options)


class RandomRotation(_Moving):
    """Images rotated at random.

    Parameters
    ----------
    degrees
        The range of the angle, (least, greatest), or d for (-d, d); anticlockwise.
    interpolation, center, fill
        As in RandomAffine.
    expand
        Only False: a larger picture for each angle would give a batch of unequal images.
    """

    def __init__(
        self,
        degrees: "float | Sequence[float]",
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__(degrees, interpolation, fill, center)
        if expand:
            raise ArgumentError(
                "RandomRotation: expand=True would give images of unequal sizes; put Pad before it"
            )
        self.expand = False

    def draw(self, n: int) -> list[float]:
        """The angles of n random rotations."""
        return _uniform(self.degrees, n).tolist()

    def batch(self, images: np.ndarray) -> np.ndarray:
        """The same shape, each image by its own angle."""

        def rotated(image: Any, angle: float, **options: Any) -> Any:
            return image.rotate(angle, center=self.center, **options)

        return self._moved(images, self.draw(len(images)), rotated)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )


def _range(who: str, name: str, value: Any, sizes: tuple[int, ...]) -> list[float]:
    """[least, greatest, ...] from a number or a sequence, as floats."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ArgumentError(f"{who}: {name} as one number must be from 0 up, not {value}")
        return [-float(value), float(value)]
    if len(value) not in sizes:
        wanted = " or ".join(map(str, sizes))
        raise ArgumentError(f"{who}: {name} must be a number or {wanted}, not {value}")
    return [float(v) for v in value]


def _uniform(limits: Sequence[float], n: int) -> np.ndarray:
    """n random numbers between two limits."""
    low, high = limits
    return default_generator.numpy.uniform(low, high, n)

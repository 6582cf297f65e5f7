"""Transform, what all transforms share; chaining them, and those that leave pixels in place.

A batch is an array (N, C, H, W).  uint8 means 8-bit images, which a single call takes and gives as
PIL images (or uint8 Tensors); a floating type means what `ToTensor` made of them.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError

MODES = ("L", "RGB")
READABLE = ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")  # by ToTensor, as bytes
NUMBERS = ("I", "F")  # by ToTensor, as they are
MADE = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # of so many channels


class Transform:
    """One step from an image to what a model takes; a subclass defines `batch`.

    Called with one PIL image (mode L or RGB) it returns a PIL image, with a Tensor (..., H, W) a
    Tensor.  What is random is drawn from `minicnn.default_generator`: for each image of a batch
    by itself, for a Tensor once.  The draws of a batch are taken together, so the same images one
    by one get other draws than in a batch.
    """

    _shown = ""  # what repr shows, with the attributes' names in braces

    def batch(self, images: np.ndarray) -> Any:
        """The transformed batch (N, C, H', W') of a batch (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define batch(images)")

    def __call__(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            return to_pil(self.batch(from_pil(img, type(self).__name__)))[0]
        x = img.array
        if x.ndim < 2:
            raise ShapeError(
                f"{type(self).__name__}: expected a Tensor (..., H, W), found {img.shape}"
            )
        # What comes before H and W counts as channels of one image: all get the same draws.
        y = self.batch(x.reshape(1, math.prod(x.shape[:-2]), *x.shape[-2:]))
        return Tensor(y.reshape(*x.shape[:-2], *y.shape[-2:]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown.format_map(vars(self))})"


def is_pil(img: Any) -> bool:
    """Whether it is a PIL image; PIL is not imported to find out that it is none."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(img, module.Image)


def from_pil(img: Any, who: str, modes: Sequence[str] = MODES) -> np.ndarray:
    """A PIL image of one of these modes as a batch of one, (1, C, H, W): uint8, or a mode's own."""
    if not is_pil(img):
        raise DtypeError(f"{who}: expected a PIL image or a Tensor, found {type(img).__name__}")
    if img.mode not in modes:
        raise DtypeError(
            f"{who}: expected a PIL image of mode {', '.join(modes[:-1])} or {modes[-1]}, found "
            f"{img.mode}; convert it with .convert('RGB')"
        )
    x = np.asarray(img.convert("L") if img.mode == "1" else img)  # (H, W) or (H, W, C)
    return x[None, None] if x.ndim == 2 else x.transpose(2, 0, 1)[None]


def to_pil(images: np.ndarray) -> list[Any]:
    """The images of a uint8 batch (N, C, H, W) as PIL images, of the mode that MADE has for C."""
    from PIL import Image

    if images.shape[1] not in MADE:
        raise ShapeError(f"a PIL image has 1 to 4 channels, not {images.shape[1]}")
    last = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    return [Image.fromarray(np.ascontiguousarray(x)) for x in last]


def scaled(pixels: np.ndarray) -> np.ndarray:
    """0 .. 255 as float32 in [0, 1], in row-major order: ToTensor's arithmetic."""
    return np.divide(pixels, np.float32(255), dtype=np.float32, order="C")


class Compose(Transform):
    """One transform after the other.

    A step that is none of minicnn's (a function, say) is called image by image, as torchvision
    does: with a PIL image before ToTensor, with a Tensor after it; what follows it is then called
    image by image too.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def batch(self, images: Any) -> Any:
        """The batch as an array, or a list of samples once a foreign step made them."""
        for step in self.transforms:
            if isinstance(step, Transform) and isinstance(images, np.ndarray):
                images = step.batch(images)
            else:
                images = [step(x) for x in samples(images)]
        return images

    def __call__(self, img: Any) -> Any:
        for step in self.transforms:
            img = step(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {step}" for step in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


def samples(images: Any) -> list[Any]:
    """A batch as the samples that a foreign function gets: PIL images, or Tensors."""
    if isinstance(images, list):
        return images
    return to_pil(images) if images.dtype == np.uint8 else [Tensor(x) for x in images]


class Lambda(Transform):
    """A function of one sample: a PIL image before ToTensor, a Tensor after it."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, found {type(lambd).__name__}")
        self.lambd = lambd

    def batch(self, images: np.ndarray) -> list[Any]:
        """The function's results, as a list."""
        return [self.lambd(x) for x in samples(images)]

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)


class ToTensor(Transform):
    """An 8-bit image as a float32 Tensor (C, H, W) in [0, 1].

    Takes a PIL image, or an array (H, W) or (H, W, C); one that is not uint8 is turned round, but
    not scaled, like a PIL image of mode I (int32) or F (float32).  As in torchvision, mode 1 gives
    0 and 1, RGBA four channels, and P the numbers of the palette's colours, not the colours.
    """

    def batch(self, images: np.ndarray) -> np.ndarray:
        """uint8 divided by 255, as float32; what is floating stays as it is."""
        return scaled(images) if images.dtype == np.uint8 else images

    def __call__(self, img: Any) -> Tensor:
        if isinstance(img, Tensor):
            raise DtypeError("ToTensor: expected a PIL image or an array, found a Tensor already")
        if not isinstance(img, np.ndarray):
            x = from_pil(img, "ToTensor", (*READABLE, *NUMBERS))
            return Tensor(np.array(self.batch(x)[0], order="C"))
        if img.ndim not in (2, 3):
            raise ShapeError(f"ToTensor: expected an array (H, W) or (H, W, C), found {img.shape}")
        x = img[None] if img.ndim == 2 else img.transpose(2, 0, 1)
        return Tensor(np.array(self.batch(x), order="C"))


class ToPILImage(Transform):
    """A Tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W), as a PIL image.

    Floats are multiplied by 255 and cut to whole numbers, as in torchvision; what lies outside
    [0, 1] becomes black or white, where torchvision's wraps round.

    Parameters
    ----------
    mode
        Left out, or what the number of channels says: 1 L, 2 LA, 3 RGB, 4 RGBA.

    Raises
    ------
    DtypeError
        For what is neither a Tensor of uint8 or floats nor an array of uint8.
    ShapeError
        For another number of dimensions or channels.
    ArgumentError
        For a mode of another number of channels.
    """

    def __init__(self, mode: str | None = None) -> None:
        if mode not in (None, *MADE.values()):
            raise ArgumentError(
                f"ToPILImage: mode must be None, {', '.join(MADE.values())}, not {mode!r}"
            )
        self.mode = mode

    def batch(self, images: np.ndarray) -> np.ndarray:
        """uint8 of floats in [0, 1]; uint8 stays as it is."""
        if self.mode not in (None, MADE.get(images.shape[1])):
            raise ArgumentError(
                f"ToPILImage: mode {self.mode} does not fit {images.shape[1]} channels"
            )
        if images.dtype == np.uint8:
            return images
        if images.dtype.kind != "f":
            raise DtypeError(f"ToPILImage: expected uint8 or floats, found {images.dtype}")
        return (images * images.dtype.type(255)).clip(0, 255).astype(np.uint8)

    def __call__(self, pic: Any) -> Any:
        if not isinstance(pic, (Tensor, np.ndarray)):
            raise DtypeError(
                f"ToPILImage: expected a Tensor or an array, found {type(pic).__name__}"
            )
        x = pic.numpy() if isinstance(pic, Tensor) else pic
        if x.ndim not in (2, 3):
            raise ShapeError(f"ToPILImage: expected 2 or 3 dimensions, found {x.shape}")
        if x is pic and x.dtype != np.uint8:
            raise DtypeError(f"ToPILImage: expected an array of uint8, found {x.dtype}")
        if x.ndim == 3 and x is pic:
            x = x.transpose(2, 0, 1)
        return to_pil(self.batch(x[None, None] if x.ndim == 2 else x[None]))[0]

    def __repr__(self) -> str:
        return f"ToPILImage({'' if self.mode is None else f'mode={self.mode}'})"


class Normalize(Transform):
    """(x - mean) / std, channel by channel.

    Parameters
    ----------
    mean, std
        A number for each channel, or one for all.
    inplace
        For a Tensor: change it instead of making another.

    Raises
    ------
    DtypeError
        For images that ToTensor has not made floating.
    ArgumentError
        If a std is 0, or the number of channels is neither 1 nor the images'.
    """

    _shown = "mean={mean}, std={std}"

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def batch(self, images: np.ndarray) -> np.ndarray:
        """A new array: (images - mean) / std."""
        mean, std = self._checked(images)
        out = images - mean
        out /= std
        return out

    def __call__(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            raise DtypeError(
                f"Normalize: expected a Tensor, found {type(img).__name__}; put ToTensor before it"
            )
        x = img.array
        if x.ndim < 3:
            raise ShapeError(f"Normalize: expected a Tensor (..., C, H, W), found {img.shape}")
        if not self.inplace:
            return Tensor(self.batch(x))
        mean, std = self._checked(x)
        return img.sub_(Tensor(mean)).div_(Tensor(std))

    def _checked(self, x: np.ndarray) -> list[np.ndarray]:
        """Mean and std as (C, 1, 1) in x's dtype."""
        if x.dtype.kind != "f":
            raise DtypeError(
                f"Normalize: expected floating images, found {x.dtype}; put ToTensor before it"
            )
        statistics = []
        for name, value in (("mean", self.mean), ("std", self.std)):
            v = np.asarray(value, x.dtype).reshape(-1, 1, 1)
            if len(v) not in (1, x.shape[-3]):
                raise ArgumentError(
                    f"Normalize: {name} has {len(v)} values, the images have {x.shape[-3]} channels"
                )
            statistics.append(v)
        if not statistics[1].all():
            raise ArgumentError(f"Normalize: std {self.std} has a 0 in {x.dtype}, to divide by")
        return statistics


class Grayscale(Transform):
    """Colour as brightness, ITU-R 601-2's luma; PIL computes it of 8-bit images.

    Parameters
    ----------
    num_output_channels
        1, or 3 equal ones.
    """

    _shown = "num_output_channels={num_output_channels}"

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ArgumentError(
                f"Grayscale: num_output_channels must be 1 or 3, not {num_output_channels}"
            )
        self.num_output_channels = num_output_channels

    def batch(self, images: np.ndarray) -> np.ndarray:
        """(N, num_output_channels, H, W)."""
        if images.shape[1] not in (1, 3):
            raise ShapeError(f"Grayscale: expected 1 or 3 channels, found {images.shape[1]}")
        grey = images if images.shape[1] == 1 else _luma(images)
        return np.repeat(grey, self.num_output_channels, 1)

    def __call__(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            return super().__call__(img)
        x = img.array
        if x.ndim < 3:
            raise ShapeError(f"Grayscale: expected a Tensor (..., C, H, W), found {img.shape}")
        y = self.batch(x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:]))
        return Tensor(y.reshape(*x.shape[:-3], *y.shape[1:]))


def _luma(images: np.ndarray) -> np.ndarray:
    """The brightness (N, 1, H, W) of colours (N, 3, H, W)."""
    if images.dtype == np.uint8:
        grey = [np.asarray(image.convert("L")) for image in to_pil(images)]
        return np.array(grey, np.uint8).reshape(-1, 1, *images.shape[2:])
    weights = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1).astype(images.dtype)
    return (images * weights).sum(1, keepdims=True)

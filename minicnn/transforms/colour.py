"""ColorJitter: brightness, contrast, saturation and hue changed at random, by PIL's own means."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError
from ..random import default_generator
from .base import Transform, from_pil, to_pil

ENHANCERS = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}


class ColorJitter(Transform):
    """Images in other light: each of the changes asked for, in random order.

    Parameters
    ----------
    brightness, contrast, saturation
        The range of the factor, (least, greatest), or d for (max(0, 1 - d), 1 + d).  0 gives a
        black image, an evenly grey one, or one without colours; 1 the image itself.
    hue
        The range, within (-0.5, 0.5), of how far colours turn round the colour circle, as a share
        of it; or d for (-d, d).  Grey images have none to turn.

    Raises
    ------
    ArgumentError
        For a range that is none, or goes beyond what is possible.
    DtypeError
        For floating images: put it before ToTensor, unlike torchvision's, which has another
        arithmetic for them.

    Notes
    -----
    What `PIL.ImageEnhance` does, image by image, with draws of its own for each.
    """

    _shown = "brightness={brightness}, contrast={contrast}, saturation={saturation}, hue={hue}"

    def __init__(
        self,
        brightness: "float | Sequence[float]" = 0,
        contrast: "float | Sequence[float]" = 0,
        saturation: "float | Sequence[float]" = 0,
        hue: "float | Sequence[float]" = 0,
    ) -> None:
        self.brightness = _limits("brightness", brightness)
        self.contrast = _limits("contrast", contrast)
        self.saturation = _limits("saturation", saturation)
        self.hue = _limits("hue", hue, 0.0, (-0.5, 0.5))

    def draw(self) -> list[tuple[str, float]]:
        """The changes to one image and their factors, in the order in which they are made."""
        random, drawn = default_generator.numpy, []
        for k in random.permutation(4).tolist():
            name = (*ENHANCERS, "hue")[k]
            if (limits := getattr(self, name)) is not None:
                drawn.append((name, random.uniform(limits[0], limits[1])))
        return drawn

    def batch(self, images: np.ndarray) -> np.ndarray:
        """The same shape, each image by its own draws."""
        from PIL import ImageEnhance

        if images.dtype != np.uint8:
            raise DtypeError(
                f"ColorJitter: expected 8-bit images, found {images.dtype}; put it before ToTensor"
            )
        out = np.empty(images.shape, np.uint8)
        for image, made in zip(to_pil(images), out, strict=True):
            for name, factor in self.draw():
                if name == "hue":
                    image = turned(image, factor)
                else:
                    image = getattr(ImageEnhance, ENHANCERS[name])(image).enhance(factor)
            made[:] = from_pil(image, "ColorJitter")[0]
        return out


def turned(image: Any, share: float) -> Any:
    """A PIL image with its hues turned by a share of the colour circle; a grey one as it is."""
    from PIL import Image

    if image.mode == "L":
        return image
    h, s, v = image.convert("HSV").split()
    by = int(share * 255) % 256
    return Image.merge("HSV", (h.point(lambda x: (x + by) % 256), s, v)).convert(image.mode)


def _limits(
    name: str, value: Any, middle: float = 1.0, within: tuple[float, float] = (0.0, float("inf"))
) -> tuple[float, float] | None:
    """(least, greatest) from a number or a sequence; None if that changes nothing."""
    if isinstance(value, (int, float)):
        low, high = middle - value, middle + value
        if value >= 0 and middle == 1:
            low = max(low, 0.0)
    elif len(value) == 2:
        low, high = value
    else:
        raise ArgumentError(f"ColorJitter: {name} must be a number or 2, not {value}")
    if not within[0] <= low <= high <= within[1]:
        raise ArgumentError(
            f"ColorJitter: {name} must lie within {within[0]:g} and {within[1]:g}, the least "
            f"first, not {value}"
        )
    return None if low == high == middle else (float(low), float(high))

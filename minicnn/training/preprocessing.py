"""Reading a user's photographs, and making of them what a model was trained on.

A photographed digit becomes a sample as MNIST's were made: light ink on nothing, in a box of 20 by
20 pixels, its centre of mass in the middle of 28 by 28.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import DataError
from ..untrusted import image_file
from .progress import printable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Pixels of the longer side: ink is looked for in the whole picture, then in what surrounds it.
WORKING_SIZES = (256, 128)
BOX, SIZE, CENTRE = 20, 28, 14  # MNIST's; its pixels are counted from 0
FREE_PIXELS = 6_000_000  # so many a small file may have: a tablet's drawings have 5.6 million
STROKE = 2.0  # pixels of the box: the strokes of three quarters of MNIST's digits are broader
FINE = 5  # thin strokes are broadened in so many times the box's pixels
MIN_CONTRAST = 0.08  # of the way from black to white, between paper and ink
SPECK = 0.03  # of the largest piece of ink: smaller pieces are dirt
MAX_TEXTURE = 0.08  # standard deviation of the paper: anything stronger is ink


def read_image(path: "str | os.PathLike[str]") -> Any:
    """The image in a file, upright, as a PIL image of mode "L" (grey) or "RGB".

    What is transparent becomes white, or black if all that is not is light.  Sixteen bits become
    eight, and of an animation the first picture is taken.

    Raises
    ------
    DataError
        If the file is missing, damaged, or no image of FORMATS, or has more pixels than PIL's
        limit against decompression bombs allows (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    from PIL import ImageOps

    with image_file(path, FORMATS, FREE_PIXELS) as image:
        image.load()
        return _plain(ImageOps.exif_transpose(image))


def _plain(image: Any) -> Any:
    """Any of PIL's modes as "L" or "RGB"."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":  # 16 bits; PIL's own convert cuts them off
        values = np.nan_to_num(np.asarray(image, np.float32))
        top = 65535 if image.mode != "F" else max(values.max(), 1.0)  # floats: no agreed range
        return Image.fromarray(np.clip(values * (255 / top), 0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        return _on_paper(image.convert("RGBA"))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _on_paper(image: Any) -> Any:
    """An RGBA image on white, or on black if there is nothing but light ink in it."""
    from PIL import Image

    grey, alpha = np.asarray(image.convert("L")), np.asarray(image.getchannel("A"))
    ink = grey[alpha > 127]
    light = ink.size < grey.size and ink.size > 0 and ink.min() > 127
    paper = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def digit(image: Any) -> Tensor:
    """A photographed or drawn digit as MNIST has them: float32 (1, 28, 28), ink 1 on 0.

    The paper is what the border shows: ink is darker or lighter than that.  Light that falls
    unevenly is evened out, paper texture and specks are dropped, and a pen's thin strokes are
    broadened to what is common in MNIST.  "Size normalized to fit in a
    20x20 pixel box while preserving their aspect ratio", then "centered in a 28x28 image by
    computing the center of mass of the pixels": http://yann.lecun.com/exdb/mnist

    Parameters
    ----------
    image
        A PIL image as `read_image` gives it: one digit, and paper on all sides.

    Raises
    ------
    DataError
        If there is no ink.
    """
    grey = image.convert("L")
    for size in WORKING_SIZES:
        small = grey.copy()
        small.thumbnail((size, size))
        ink = _ink(np.asarray(small, np.float64) / 255)
        grey = _surroundings(grey, ink)
    ink = _broadened(ink[_box(ink)])
    return Tensor(_centred(_fitted(ink, BOX))[None])


def _box(ink: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that have ink."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _surroundings(grey: Any, ink: np.ndarray) -> Any:
    """The part of a picture with the ink found in a smaller copy, and a third more on all sides."""
    rows, columns = _box(ink)
    scale = grey.width / ink.shape[1]
    more = max(rows.stop - rows.start, columns.stop - columns.start) / 3
    edges = columns.start - more, rows.start - more, columns.stop + more, rows.stop + more
    left, top, right, bottom = (round(scale * edge) for edge in edges)
    return grey.crop((max(left, 0), max(top, 0), min(right, grey.width), min(bottom, grey.height)))


def _fitted(ink: np.ndarray, longer: int) -> np.ndarray:
    """The ink with its longer side made so many pixels."""
    from PIL import Image

    h, w = (max(1, round(n * longer / max(ink.shape))) for n in ink.shape)
    # PIL widens the filter where it shrinks: each pixel is a weighted mean of what it covers
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize((w, h), Image.Resampling.HAMMING))


def _broadened(ink: np.ndarray) -> np.ndarray:
    """A pen's strokes made as broad as MNIST's, which in a box of 20 pixels would be too faint."""
    from PIL import Image, ImageFilter

    fine = _fitted(ink, FINE * BOX)
    inside = np.pad(fine > 0.5, 1)
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1]
    core &= inside[1:-1, :-2] & inside[1:-1, 2:]
    edge = inside.sum() - core.sum()
    breadth = 2 * inside.sum() / max(edge, 1)  # of a stroke: its area over half its outline
    grow = round((FINE * STROKE - breadth) / 2)
    if grow < 1:
        return ink
    sheet = Image.fromarray(np.pad(fine, grow))
    broad = np.asarray(sheet.filter(ImageFilter.MaxFilter(2 * grow + 1)))
    return broad[_box(broad)]


def _ink(grey: np.ndarray) -> np.ndarray:
    """How much ink is at each pixel: 0 on paper, 1 in the middle of a stroke.

    Raises DataError for an empty sheet.
    """
    paper, texture = _paper(grey)
    difference = grey - paper
    dark, light = (np.where(d > 4 * texture, d, 0) for d in (-difference, difference))
    contrast = dark if (dark**2).sum() >= (light**2).sum() else light
    inside = contrast > _otsu(contrast[contrast > 0.02])
    full = np.median(contrast[inside]) if inside.any() else 0.0
    if full < MIN_CONTRAST:
        raise DataError(
            f"no ink found: expected a digit that stands out from its paper, found a contrast of "
            f"{full:.0%} of black to white"
        )
    floor = max(0.25 * full, 4 * texture)
    ink = np.clip((contrast - floor) / (full - floor), 0, 1)
    return np.where(_large_pieces(ink > 0, inside), ink, 0.0)


def _paper(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """The brightness that the paper has, or would have, at every pixel, and its texture.

    A quadratic function of the place, which light falling from a side comes close to, is fitted to
    the border (an eighth at each side), each time to what the time before came near to, so that
    ink which reaches the border falls away; then in the same way to the whole.
    """
    h, w = grey.shape
    y, x = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)  # (h, w, 6)
    border = (np.maximum(np.abs(x), np.abs(y)) > 0.75) | (min(h, w) < 3)
    near, paper = border, np.full_like(grey, np.median(grey[border]))
    for i in range(6):
        off = np.abs(grey - paper)
        texture = min(1.4826 * float(np.median(off[near])), MAX_TEXTURE)
        near = (off <= max(3 * texture, 0.02)) & (border | (i >= 3))
        if not near.any():
            break  # a border half dark, half light: its median is the brightness of no pixel
        a = terms[near]
        paper = terms @ (np.linalg.pinv(a.T @ a) @ (a.T @ grey[near]))
    return paper, texture


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values best in two: the largest variance between the parts.

    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9 (1979).
    """
    counts, edges = np.histogram(np.clip(values, 0, 1), 256, (0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * (means[0] - means[1]) ** 2)])


def _large_pieces(mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The connected pieces of a mask with enough of `inside` in them, beside the largest."""
    labels = _pieces(mask)
    sizes = np.bincount(labels.ravel(), weights=inside.ravel().astype(float))
    sizes[0] = 0  # what is not in the mask
    return (sizes >= max(SPECK * sizes.max(), 1))[labels]


def _pieces(mask: np.ndarray) -> np.ndarray:
    """Numbers that are equal for pixels connected at a side or corner, 0 outside the mask.

    Every pixel takes the lowest number around it, and then that of the pixel whose number it has,
    until nothing changes.
    """
    far = mask.size + 1
    number = np.where(mask, np.arange(1, far).reshape(mask.shape), far)
    while True:
        near = np.pad(number, 1, constant_values=far)
        near = np.minimum(np.minimum(near[:-2], near[1:-1]), near[2:])
        near = np.minimum(np.minimum(near[:, :-2], near[:, 1:-1]), near[:, 2:])
        lowest = np.where(mask, near, far)
        chain = np.append(lowest.ravel(), far)  # number n is the pixel n - 1
        lowest = np.where(mask, chain[np.minimum(lowest, far) - 1], far)
        if (lowest == number).all():
            return np.where(mask, number, 0)
        number = lowest


def _centred(box: np.ndarray) -> np.ndarray:
    """The box in SIZE x SIZE, its centre of mass at CENTRE as near as whole pixels allow."""
    h, w = box.shape
    mass = box.sum()
    y, x = (box.sum(1) @ np.arange(h)) / mass, (box.sum(0) @ np.arange(w)) / mass
    top = min(max(round(CENTRE - y), 0), SIZE - h)
    left = min(max(round(CENTRE - x), 0), SIZE - w)
    sheet = np.zeros((SIZE, SIZE), np.float32)
    sheet[top : top + h, left : left + w] = np.clip(box, 0, 1)
    return sheet


def picture(image: Any, shape: tuple[int, int, int]) -> Tensor:
    """Any other picture as a float32 Tensor of this (C, H, W), values in [0, 1].

    With three channels it fills the shape, and what sticks out is cut off evenly.  With one, as
    Fashion-MNIST is, it is shown whole, and light on dark: inverted if its border is light.

    Parameters
    ----------
    image
        A PIL image as `read_image` gives it.
    shape
        C is 1 or 3.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    size, smooth = (width, height), Image.Resampling.BICUBIC
    if channels == 3:
        pixels = np.asarray(ImageOps.fit(image.convert("RGB"), size, smooth))
        return Tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255))
    grey = image.convert("L")
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = int(np.median(border))
    if ground > 127:
        grey, ground = ImageOps.invert(grey), 255 - ground
    pixels = np.asarray(ImageOps.pad(grey, size, smooth, color=ground))
    return Tensor(pixels[None].astype(np.float32) / np.float32(255))


def bars(classes: Sequence[str], probabilities: Any, top: int = 3, width: int = 30) -> str:
    """The most probable classes, a line with a bar for each.

    Parameters
    ----------
    classes
        K names.
    probabilities
        (K,).
    top
        How many to show.
    width
        Columns that a bar of 100 % has.
    """
    p = np.asarray(probabilities, np.float64)
    order = np.argsort(-p, kind="stable")[:top]
    encoding = getattr(sys.stdout, "encoding", None)
    names = {i: printable(str(classes[i]), encoding) for i in order}
    longest = max(len(name) for name in names.values())
    block = "#" if printable("█", encoding) == "?" else "█"
    lines = (f"{names[i]:<{longest}}  {p[i]:7.2%}  {block * round(width * p[i])}" for i in order)
    return "\n".join(line.rstrip() for line in lines)

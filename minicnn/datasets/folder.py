"""ImageFolder: images in a folder for each class, decoded when they are asked for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, ShapeError
from ..untrusted import image_file
from .images import ArrayImages, ImageDataset

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")  # the decoders that these need, no others
GREY = ("1", "L", "I", "I;16", "I;16B", "F")
MAX_PIXELS = 2**26  # of one image, 64 million
FREE_PIXELS = 2**22  # so many a small file may have
MAX_BYTES = 2**31  # of a folder in memory


def decode(path: "str | os.PathLike[str]") -> tuple[np.ndarray, bool]:
    """An image file as uint8 (3, H, W), and whether it is a grey one.

    Raises
    ------
    DataError
        If the file is missing, damaged, not an image, or larger than MAX_PIXELS.
    """
    with image_file(path, FORMATS, FREE_PIXELS, MAX_PIXELS) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1), image.mode in GREY


def find_classes(root: Path) -> list[str]:
    """The names of root's subfolders, sorted.

    Raises
    ------
    DataError
        If there are none.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise DataError(f"{root}: expected a folder, found: {error.strerror}") from None
    if not names:
        raise DataError(f"{root}: expected a folder for each class in it, found none")
    return names


class ImageFolder(ImageDataset):
    """The images below root/CLASS/, for each subfolder CLASS of root.

    Images are decoded when they are asked for, as RGB: PIL images without a transform.  All images
    of a batch must have one size after the transform.

    Parameters
    ----------
    root
        The folder with the classes' folders; their images may lie in folders of their own again.
    transform, target_transform
        See ImageDataset.

    Attributes
    ----------
    samples, imgs
        (path, label) of each image, classes and paths in sorted order.
    targets
        The labels alone, a list of ints.
    classes, class_to_idx
        The names of the subfolders, sorted, and the label of each.

    Raises
    ------
    DataError
        If root has no class folders, or one of them no images; later, for an image that cannot be
        decoded.
    ShapeError
        For a batch of images of different sizes.
    """

    def __init__(
        self,
        root: "str | os.PathLike[str]",
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        super().__init__(Path(root).expanduser(), transform, target_transform)
        self.classes = find_classes(self.root)
        self.samples = self.imgs = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in self._paths(self.root / name)
        ]
        self.targets = [label for _, label in self.samples]

    def _paths(self, folder: Path) -> list[str]:
        """The images below a class's folder, in sorted order."""
        paths = [
            os.path.join(place, name)
            for place, _, names in sorted(os.walk(folder, followlinks=True))
            for name in sorted(names)
            if name.lower().endswith(EXTENSIONS)
        ]
        if not paths:
            raise DataError(
                f"{folder}: expected images ({', '.join(EXTENSIONS)}) of the class, found none"
            )
        return paths

    def _images(self, where: np.ndarray) -> np.ndarray:
        """One image only: several may differ in size."""
        (i,) = where
        return decode(self.samples[i][0])[0][None]

    def _batch(self, where: np.ndarray) -> Any:
        """Decoded one by one; the transform gets them together if their sizes allow it."""
        pixels = [decode(self.samples[i][0])[0] for i in where]
        if len({x.shape for x in pixels}) == 1:
            return self._collated(self._transformed(np.stack(pixels)))
        parts = [self._transformed(x[None]) for x in pixels]
        shapes = [np.shape(x[0]) for x in parts]
        for i, shape in zip(where, shapes, strict=True):
            if shape != shapes[0]:
                raise ShapeError(
                    f"ImageFolder: images of one batch must have one size, but "
                    f"{self.samples[where[0]][0]} has {shapes[0]} and {self.samples[i][0]} has "
                    f"{shape}; add transforms.Resize((h, w)) or CenterCrop"
                )
        if all(isinstance(x, np.ndarray) for x in parts):
            return self._collated(np.concatenate(parts))
        return self._collated([x for part in parts for x in part])

    def in_memory(self) -> ArrayImages:
        """All images, decoded once into one array; grey if every file is.

        Raises
        ------
        DataError
            If an image is damaged or has not the first one's size, or all together are too large.
        """
        n = len(self)
        images, all_grey = np.empty((0, 3, 0, 0), np.uint8), True
        for k, (path, _) in enumerate(self.samples):
            x, grey = decode(path)
            if k == 0:
                if n * x.size > MAX_BYTES:
                    raise DataError(
                        f"{self.root}: expected at most {MAX_BYTES} bytes of pixels, "
                        f"found {n} images like {path}, {x.size} bytes each"
                    )
                images = np.empty((n, *x.shape), np.uint8)
            if x.shape != images.shape[1:]:
                raise DataError(
                    f"{path}: expected {_size(images)} pixels like {self.samples[0][0]}, "
                    f"found {_size(x)}; images must have one size"
                )
            images[k], all_grey = x, all_grey and grey
        if all_grey:
            images = np.ascontiguousarray(images[:, :1])
        return ArrayImages(self.root, images, np.array(self.targets, np.int64), self.classes)

    def __len__(self) -> int:
        return len(self.samples)


def _size(x: np.ndarray) -> str:
    """Width x height, as image programs say it."""
    return f"{x.shape[-1]} x {x.shape[-2]}"

"""NpzDataset: images and labels in one .npz file, in the layout of Keras' mnist.npz."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..untrusted import npz_file, read_npy
from .images import ArrayImages, check_labels

MAX_CLASSES = 2**16


class NpzDataset(ArrayImages):
    """The images of an .npz file with x_train, y_train, x_test and y_test.

    Parameters
    ----------
    path
        The file, as `np.savez` or `np.savez_compressed` makes it.  x_...: (N, H, W) or
        (N, H, W, C) with C of 1 or 3, uint8, or floating with values in [0, 1].  y_...: integers
        (N,) or (N, 1), from 0 up.
    train
        The training set, else the test set.
    transform, target_transform
        See ImageDataset.  Floating images are Tensors, to a transform too, not PIL images.

    Attributes
    ----------
    data
        (N, C, H, W), uint8 or float32.
    targets
        int64 (N,).
    classes
        "0", "1", ... up to the largest label of both sets.

    Raises
    ------
    DataError
        If the file is missing or damaged, an array of it is missing, of another kind or larger than
        it may be, or images and labels do not belong together.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        path, part = Path(path).expanduser(), "train" if train else "test"
        arrays = read_npz(path, (f"x_{part}", "y_train", "y_test"))
        labels = {name: _labels(f"{path}: {name}", arrays[name]) for name in ("y_train", "y_test")}
        highest = max(int(y.max(initial=0)) for y in labels.values())
        name = f"y_{part}"
        images = _images(f"{path}: x_{part}", arrays[f"x_{part}"])
        targets = check_labels(
            f"{path}: {name}", labels[name], len(images), f"x_{part}", highest + 1
        )
        classes = [str(k) for k in range(highest + 1)]
        super().__init__(path, images, targets, classes, transform, target_transform)
        self.train = train


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """These arrays of an .npz file; nothing in it is unpickled.

    Raises
    ------
    DataError
        If the file or an array is missing or damaged.  What a header merely promises costs no
        memory.
    """
    arrays = {}
    with npz_file(path, path) as archive:
        for name in names:
            if f"{name}.npy" not in archive.namelist():
                raise DataError(f"{path}: expected an array {name}, found none")
            member = archive.getinfo(f"{name}.npy")
            arrays[name] = read_npy(f"{path}: {name}", archive, member)
    return arrays


def _images(where: str, x: np.ndarray) -> np.ndarray:
    """(N, C, H, W), uint8 or float32."""
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)) or not x.size:
        raise DataError(
            f"{where}: expected images (N, H, W), or (N, H, W, C) with C of 1 or 3, found {x.shape}"
        )
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    if x.dtype.kind != "f":
        if x.dtype != np.uint8:
            raise DataError(f"{where}: expected uint8, or floats in [0, 1], found {x.dtype}")
        return np.ascontiguousarray(x)
    if not (x.min() >= 0 and x.max() <= 1):  # a NaN is refused too
        raise DataError(
            f"{where}: expected floats in [0, 1], found {x.min():g} to {x.max():g}; "
            "divide by 255, or store uint8"
        )
    return np.ascontiguousarray(x, np.float32)


def _labels(where: str, y: np.ndarray) -> np.ndarray:
    """Integers (N,), below MAX_CLASSES."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "ui":
        raise DataError(f"{where}: expected integers (N,) or (N, 1), found {y.dtype} {y.shape}")
    return check_labels(where, y, len(y), where, MAX_CLASSES)

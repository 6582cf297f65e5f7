"""MNIST, whose four files are in the folder mnist beside this module (hence not mnist.py)."""

import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..arrays import Array, float32, int64, uint8
from ..autograd import Tensor
from ..data.dataset import Dataset, default_collate, rows
from ..errors import DataError
from .idx import read_idx


class MNIST(Dataset):
    """Handwritten digits, 28 x 28: 60,000 to train with and 10,000 to test with.

    Sample i is (image, label): a float32 Tensor (1, 28, 28) with values in [0, 1], and an int.
    That is as if `transform=ToTensor()` had been given to torchvision's; without a transform a
    batch is one gather.

    Parameters
    ----------
    root
        A folder with the four idx files, compressed or not, or with MNIST/raw/ as torchvision
        makes it; the files inside the package if left out.
    train
        The training set, else the test set.
    transform, target_transform
        Called on each image Tensor, on each label.

    Attributes
    ----------
    data
        uint8 Tensor (N, 28, 28).
    targets
        int64 Tensor (N,).
    classes
        The names of the ten classes.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the images and the labels do not belong together.

    Notes
    -----
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", Proc. IEEE 86 (1998).  The files' licence is beside them: CC BY-SA 3.0.
    """

    classes = [
        f"{digit} - {name}"
        for digit, name in enumerate(
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
        )
    ]

    def __init__(
        self,
        root: "str | os.PathLike[str] | None" = None,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        folder = Path(__file__).with_name("mnist") if root is None else Path(root).expanduser()
        part = "train" if train else "t10k"
        image_file = _find(folder, f"{part}-images-idx3-ubyte")
        label_file = _find(folder, f"{part}-labels-idx1-ubyte")
        images = read_idx(image_file, uint8, (None, 28, 28))
        labels = read_idx(label_file, uint8, (None,))
        if len(images) != len(labels):
            raise DataError(
                f"{label_file}: expected {len(images)} labels, one for each image in "
                f"{image_file.name}, found {len(labels)}"
            )
        if labels.size and labels.max() >= len(self.classes):
            raise DataError(f"{label_file}: expected labels 0 to 9, found {labels.max()}")
        self.root, self.train = folder, train
        self.transform, self.target_transform = transform, target_transform
        self.data, self.targets = Tensor(images), Tensor(labels.astype(int64))

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        i = operator.index(index)
        image: Any = Tensor(_scaled(self.data.array[i][None]))
        label: Any = int(self.targets.array[i])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __getitems__(self, indices: Sequence[Any]) -> list[Any]:
        if self.transform is not None or self.target_transform is not None:
            return default_collate([self[i] for i in indices])
        where = rows(indices)
        images = _scaled(self.data.array[where])[:, None]
        return [Tensor(images), Tensor(self.targets.array[where])]

    def __len__(self) -> int:
        return len(self.data)


def _scaled(pixels: Array) -> Array:
    """0 .. 255 as float32 in [0, 1]."""
    x = pixels.astype(float32)
    x /= 255
    return x


def _find(folder: Path, name: str) -> Path:
    """One of MNIST's files, in the folder or below it where torchvision puts it."""
    raw = folder / "MNIST" / "raw"
    for path in (folder / name, folder / f"{name}.gz", raw / name, raw / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"MNIST: {name}.gz (or {name}) is missing; put it into {folder} or {raw}")

"""Data sets by name or path: what the command line trains on, and what it lists."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArgumentError, DataError
from .cifar import CIFAR10
from .digits import DEBIAN, MNIST, FashionMNIST
from .folder import ImageFolder
from .images import ImageDataset
from .npz import NpzDataset

DEFAULT_ROOT = "data"  # in the working folder, as in torchvision's tutorials


class Record(NamedTuple):
    """What is known of a data set before it is loaded."""

    title: str
    train: int  # number of images
    test: int
    shape: tuple[int, int, int]  # (C, H, W)
    classes: list[str]
    licence: str
    source: str
    places: str  # where its files are looked for
    kind: type[ImageDataset]


DATASETS = {
    "mnist": Record(
        "MNIST, handwritten digits", 60_000, 10_000, (1, 28, 28), MNIST.classes,
        "CC BY-SA 3.0, copyright Yann LeCun and Corinna Cortes",
        "http://yann.lecun.com/exdb/mnist",
        "inside the package", MNIST,
    ),
    "fashion-mnist": Record(
        "Fashion-MNIST, articles of clothing", 60_000, 10_000, (1, 28, 28), FashionMNIST.classes,
        "MIT, copyright Zalando SE",
        "https://github.com/zalandoresearch/fashion-mnist",
        f"ROOT/FashionMNIST/raw, ROOT, {DEBIAN} (Debian's dataset-fashion-mnist)", FashionMNIST,
    ),
    "cifar10": Record(
        "CIFAR-10, small colour photographs", 50_000, 10_000, (3, 32, 32), CIFAR10.classes,
        "none stated; cite Krizhevsky 2009",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "ROOT/cifar-10-batches-py, ROOT/cifar-10-batches-bin, ROOT/cifar-10-python.tar.gz, "
        "ROOT/cifar-10-binary.tar.gz", CIFAR10,
    ),
}  # fmt: skip


def load(
    name: "str | os.PathLike[str]",
    root: "str | os.PathLike[str] | None" = None,
    download: bool = False,
) -> tuple[ImageDataset, ImageDataset]:
    """The training set and the test set of this name, or at this path.

    Parameters
    ----------
    name
        A name of DATASETS; or a folder with train/ and test/ (or val/), each with a folder of
        images for each class, which are all decoded into memory; or an .npz file (NpzDataset).
    root
        Where a data set with a name is looked for: `data` in the working folder if left out.
        MNIST is inside the package, and is looked for elsewhere only if root is given.
    download
        Download what is missing, into root.

    Raises
    ------
    ArgumentError
        If name is neither a known one nor a path.
    DataError
        If the data is missing or damaged.
    """
    name = os.fspath(name)
    if name in DATASETS:
        kind: Any = DATASETS[name].kind
        if root is None and kind is not MNIST:
            root = DEFAULT_ROOT
        return kind(root, train=True, download=download), kind(root, train=False, download=download)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folders(path)
    if path.suffix == ".npz":
        return NpzDataset(path, train=True), NpzDataset(path, train=False)
    raise ArgumentError(
        f"unknown data set {name!r}: expected {', '.join(DATASETS)}, a folder with train/ and "
        "test/ of class folders, or an .npz file"
    )


def _folders(path: Path) -> tuple[ImageDataset, ImageDataset]:
    """The sets below path/train and path/test, or path/val, in memory."""
    test = next((path / part for part in ("test", "val") if (path / part).is_dir()), None)
    if test is None or not (path / "train").is_dir():
        raise DataError(f"{path}: expected the folders train and test (or val), found none")
    kept, tested = ImageFolder(path / "train"), ImageFolder(test)
    if kept.classes != tested.classes:
        odd = sorted(set(kept.classes) ^ set(tested.classes))
        raise DataError(
            f"{test}: expected the classes of {path / 'train'}, but only one of them has "
            f"{', '.join(odd[:5])}"
        )
    a, b = kept.in_memory(), tested.in_memory()
    if a.images_shape != b.images_shape:
        raise DataError(
            f"{test}: expected images (C, H, W) of {a.images_shape} as in {path / 'train'}, "
            f"found {b.images_shape}"
        )
    return a, b

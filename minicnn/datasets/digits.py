"""MNIST, whose four files are in the folder mnist beside this module, and its twin FashionMNIST."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from ..errors import ArgumentError, DataError
from .download import download as fetch_file
from .idx import read_idx
from .images import ImageDataset, check_labels

PACKAGED = Path(__file__).with_name("mnist")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


def _renamed(old: str, new: str) -> property:
    """An attribute under an old name, which warns."""

    def get(self: Any) -> Tensor:
        warnings.warn(f"{type(self).__name__}.{old} is an old name: write .{new}", stacklevel=2)
        return getattr(self, new)

    return property(get, doc=f"`{new}` under an old name.")


class MNIST(ImageDataset):
    """Handwritten digits, 28 x 28: 60,000 to train with and 10,000 to test with.

    Sample i is (image, label): without a transform a PIL image of mode L, as in torchvision, and an
    int.  A batch without a transform is one gather, float32 (N, 1, 28, 28) with values in [0, 1].

    Parameters
    ----------
    root
        A folder with MNIST/raw/ as torchvision makes it, or with the four idx files, compressed or
        not.  The files inside the package are used if it has none of them, or is left out.
    train
        The training set, else the test set.
    transform, target_transform
        See ImageDataset.
    download
        Without effect: the package has the files.

    Attributes
    ----------
    data
        uint8 Tensor (N, 28, 28).
    targets
        int64 Tensor (N,).
    classes
        The names of the ten classes.
    raw_folder
        Where the files are.
    train_data, test_data, train_labels, test_labels
        The old names of data and of targets, whichever set it is; they warn, as in torchvision.

    Raises
    ------
    DataError
        If a file is missing, empty or damaged, or the images and the labels do not belong together.

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
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        given = None if root is None else Path(root).expanduser()
        image_file, label_file = self._files(given, FILES[:2] if train else FILES[2:], download)
        images = read_idx(image_file, np.uint8, (None, 28, 28))
        labels = read_idx(label_file, np.uint8, (None,))
        labels = check_labels(label_file, labels, len(images), image_file.name, len(self.classes))
        if not len(images):
            raise DataError(f"{image_file}: expected images, found none: the set is empty")
        own = given is not None and image_file.is_relative_to(given)
        super().__init__(given if own else image_file.parent, transform, target_transform)
        self.train = train
        self.data, self.targets = Tensor(images), Tensor(labels)
        self.raw_folder = str(image_file.parent)

    def _files(self, root: Path | None, names: tuple, download: bool) -> tuple[Path, Path]:
        """The images' and the labels' file."""
        places = [] if root is None else [root / "MNIST" / "raw", root]
        if not any(_existing(places, (name,)) for name in FILES):
            places = [PACKAGED]
        files = _existing(places, names)
        if files is None:
            raise DataError(
                f"MNIST: {_missing(places, names)} is missing beside the other files in {root}; "
                "put it there, or leave out root: the package has all four"
            )
        return files

    def _images(self, where: np.ndarray) -> np.ndarray:
        return self.data.array.take(where, 0)[:, None]

    def _labels(self, where: np.ndarray) -> np.ndarray:
        return self.targets.array.take(where)

    train_data, test_data = _renamed("train_data", "data"), _renamed("test_data", "data")
    train_labels = _renamed("train_labels", "targets")
    test_labels = _renamed("test_labels", "targets")


class Remote(NamedTuple):
    """A file that can be downloaded: its length in bytes and its MD5."""

    size: int
    md5: str


class FashionMNIST(MNIST):
    """Articles of clothing in MNIST's format: 60,000 to train with and 10,000 to test with.

    Parameters
    ----------
    root
        A folder with FashionMNIST/raw/ as torchvision makes it, or with the four idx files,
        compressed or not.  Where root has none, and if it is left out, the files of the Debian
        package dataset-fashion-mnist are used if it is installed.
    train, transform, target_transform
        As for MNIST.
    download
        Download what is missing into root/FashionMNIST/raw/, checked against its checksum.

    Notes
    -----
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv:1708.07747 (2017).  Licence: MIT.
    """

    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ]  # fmt: skip
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    remote = {
        "train-images-idx3-ubyte": Remote(26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        "train-labels-idx1-ubyte": Remote(29515, "25c81989df183df01b3e8a0aad5dffbe"),
        "t10k-images-idx3-ubyte": Remote(4422102, "bef4ecab320f06d8554ea6380940ec79"),
        "t10k-labels-idx1-ubyte": Remote(5148, "bb300cfdad3c16e7a12a480ee83cd310"),
    }

    def _files(self, root: Path | None, names: tuple, download: bool) -> tuple[Path, Path]:
        own = [] if root is None else [root / "FashionMNIST" / "raw", root]
        files = _existing(own, names) or _existing([DEBIAN], names)
        if files is None and download:
            if root is None:
                raise ArgumentError("FashionMNIST: download=True needs a root to download into")
            self._download(own)
            files = _existing(own, names)
        if files is None:
            where = f"{root} or {own[0]}" if own else "a folder and pass that as root"
            raise DataError(
                f"FashionMNIST: {_missing(own, names)} is missing; put it into {where}, pass "
                "download=True, or install the Debian package dataset-fashion-mnist"
            )
        return files

    def _download(self, places: list[Path]) -> None:
        """Whatever is missing of the four files, as torchvision does."""
        for name, remote in self.remote.items():
            if _existing(places, (name,)) is None:
                urls = [f"{mirror}{name}.gz" for mirror in self.mirrors]
                fetch_file(urls, places[0] / f"{name}.gz", md5=remote.md5, size=remote.size)


def _existing(places: list[Path], names: tuple[str, ...]) -> Any:
    """The path of every one of these files, compressed or not, if all are in these places.

    Kaggle and others write .idx3-ubyte where the files were called -idx3-ubyte at first.
    """
    paths = []
    for name in names:
        forms = [f"{n}{end}" for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
        paths.append(next((p for d in places for f in forms if (p := d / f).is_file()), None))
    return None if None in paths else tuple(paths)


def _missing(places: list[Path], names: tuple[str, ...]) -> str:
    """The first of the files that is in none of the places."""
    name = next(n for n in names if _existing(places, (n,)) is None)
    return f"{name}.gz (or {name})"

"""CIFAR10, from the python files, the binary files, or an archive of either."""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError
from ..untrusted import read_limited, reason
from .digits import Remote
from .download import download as fetch_file
from .images import ImageDataset, check_labels
from .pickles import read_pickle

ROW = 3 * 32 * 32
MAX_IMAGES = 10_000  # in one file
MAX_FILE = 64_000_000  # data_batch_1 has 31,035,704 bytes, pickled again by Python 3 up to 46e6
MAX_ARCHIVE = 250_000_000  # both archives unpack to less than 190 MB

PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
PARTS = {True: [f"data_batch_{k}" for k in range(1, 6)], False: ["test_batch"]}
ARCHIVES = {PYTHON: "cifar-10-python.tar.gz", BINARY: "cifar-10-binary.tar.gz"}


class CIFAR10(ImageDataset):
    """Photographs in ten classes, 3 x 32 x 32: 50,000 to train with and 10,000 to test with.

    Parameters
    ----------
    root
        A folder with cifar-10-batches-py/ (torchvision's layout) or cifar-10-batches-bin/, or
        with cifar-10-python.tar.gz or cifar-10-binary.tar.gz, which is read as it is.
    train
        The training set, else the test set.
    transform, target_transform
        See ImageDataset.
    download
        Where root has none of these, download cifar-10-python.tar.gz into it.

    Attributes
    ----------
    data
        uint8 array (N, 32, 32, 3).
    targets
        A list of N ints.

    Raises
    ------
    DataError
        If no file is found, or one is damaged or not what it should be.

    Notes
    -----
    The python files are pickles; they are read as data (`read_pickle`), never unpickled.
    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """

    classes = [
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ]  # fmt: skip
    mirrors = ("https://www.cs.toronto.edu/~kriz/",)
    remote = Remote(170498071, "c58f30108f718f92721af3b95e74349a")

    def __init__(
        self,
        root: "str | os.PathLike[str]",
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(Path(root).expanduser(), transform, target_transform)
        self.train = train
        parts = self._read()
        if parts is None and download:
            name = ARCHIVES[PYTHON]
            urls = [mirror + name for mirror in self.mirrors]
            fetch_file(urls, self.root / name, md5=self.remote.md5, size=self.remote.size)
            parts = self._read()
        if parts is None:
            raise DataError(
                f"CIFAR10: {ARCHIVES[PYTHON]} (or {ARCHIVES[BINARY]}, or what is in them, "
                f"{PYTHON} or {BINARY}) is missing; put it into {self.root}, or pass download=True"
            )
        images = np.concatenate([pixels for pixels, _ in parts])
        self.data = images.transpose(0, 2, 3, 1)  # torchvision's (N, H, W, C), planes in memory
        self.targets: list[int] = np.concatenate([labels for _, labels in parts]).tolist()

    def _read(self) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """Images (n, 3, 32, 32) and labels (n,) of each file; None if root has nothing."""
        for layout in (PYTHON, BINARY):
            parse, suffix = (parse_python, "") if layout == PYTHON else (parse_binary, ".bin")
            names = [name + suffix for name in PARTS[self.train]]
            folder, archive = self.root / layout, self.root / ARCHIVES[layout]
            if folder.is_dir():
                return [parse(folder / name, _content(folder / name)) for name in names]
            if archive.is_file():
                members = read_archive(archive, [f"{layout}/{name}" for name in names])
                return [parse(f"{archive}: {name}", data) for name, data in members.items()]
        return None

    def _images(self, where: np.ndarray) -> np.ndarray:
        return self.data.transpose(0, 3, 1, 2).take(where, 0)


def _content(path: Path) -> bytes:
    """A file of at most MAX_FILE bytes."""
    try:
        with open(path, "rb") as file:
            return _whole(path, file)
    except OSError as error:
        raise DataError(f"{path}: expected a file of CIFAR-10, found: {error.strerror}") from None


def _whole(path: Any, file: IO[bytes]) -> bytes:
    content = read_limited(file, MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise DataError(f"{path}: expected at most {MAX_FILE} bytes, found more")
    return bytes(content)


def parse_binary(path: Any, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Records of a label and 3072 pixels, red, green and blue planes of 32 rows."""
    count, rest = divmod(len(content), 1 + ROW)
    if rest or not 1 <= count <= MAX_IMAGES:
        raise DataError(
            f"{path}: expected 1 to {MAX_IMAGES} records of {1 + ROW} bytes, "
            f"found {len(content)} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(count, 1 + ROW)
    labels = check_labels(path, records[:, 0], count, "the same file", 10)
    return records[:, 1:].reshape(count, 3, 32, 32), labels


def parse_python(path: Any, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dict with data, uint8 (n, 3072), and labels, n ints."""
    batch = read_pickle(path, content)
    if not isinstance(batch, dict) or not {"data", "labels"} <= batch.keys():
        raise DataError(f"{path}: expected a dict with data and labels, found something else")
    data, labels = batch["data"], batch["labels"]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != ROW:
        what = f"shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: expected data of N x {ROW} bytes, found {what}")
    if not 1 <= len(data) <= MAX_IMAGES:
        raise DataError(f"{path}: expected 1 to {MAX_IMAGES} images, found {len(data)}")
    if not isinstance(labels, list) or not all(type(k) is int for k in labels):
        raise DataError(f"{path}: expected labels as a list of ints, found something else")
    if any(not 0 <= k <= 9 for k in labels):  # before NumPy, which has no int for a huge one
        raise DataError(f"{path}: expected labels 0 to 9, found others")
    numbers = check_labels(path, np.array(labels, np.int64), len(data), "the same file", 10)
    return data.reshape(-1, 3, 32, 32), numbers


class _Limited:
    """Reads from a file, and refuses to read more than so many bytes in all."""

    def __init__(self, path: Path, file: Any, limit: int) -> None:
        self.path, self.file, self.left = path, file, limit

    def read(self, n: int) -> bytes:
        """At most n bytes."""
        self.left -= n
        if self.left < 0:
            raise DataError(
                f"{self.path}: expected at most {MAX_ARCHIVE} bytes unpacked, found more"
            )
        return self.file.read(n)


def read_archive(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The contents of these members of a .tar.gz, in memory; no other is looked at.

    Nothing is written, so a member's path or link leads nowhere.
    """
    names, contents = list(names), dict[str, bytes]()
    try:
        with gzip.open(path) as unpacked:
            limited: Any = _Limited(path, unpacked, MAX_ARCHIVE)
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if name in names and member.isreg():
                        file: Any = archive.extractfile(member)
                        contents[name] = _whole(f"{path}: {name}", file)
                    if len(contents) == len(names):
                        break
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise DataError(
            f"{path}: expected a sound .tar.gz archive, found: {reason(error)}"
        ) from None
    for name in names:
        if name not in contents:
            raise DataError(f"{path}: expected the member {name}, found none")
    return {name: contents[name] for name in names}

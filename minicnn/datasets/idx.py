"""read_idx: arrays from idx files, the format that MNIST is published in.

Layout, all numbers big-endian: 00 00, a byte for the type, a byte for the number of dimensions;
four bytes for each size; the elements in row-major order.
Source: http://yann.lecun.com/exdb/mnist
"""

import gzip
import os
import zlib
from typing import Any

import numpy as np

from ..errors import DataError
from ..untrusted import read_array, read_limited

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMS = 8


def read_idx(
    path: "str | os.PathLike[str]", dtype: Any = None, shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """The array in an idx file, compressed by gzip or not (its first bytes tell which).

    Parameters
    ----------
    path
        The file.
    dtype
        The element type it must have; any if left out.
    shape
        The shape it must have, None for a size that may be any; any shape if left out.

    Raises
    ------
    DataError
        If the file is missing, damaged, too short, too long, or not what was asked for.  A header
        that promises more than the file holds costs no memory.
    """
    try:
        with open(path, "rb") as raw:
            if raw.peek(2)[:2] != b"\x1f\x8b":
                return _parse(path, raw, dtype, shape)
            with gzip.GzipFile(fileobj=raw) as file:
                return _parse(path, file, dtype, shape)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected sound gzip data, found damage: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: expected an idx file, found: {error.strerror}") from None


def _parse(path: Any, file: Any, dtype: Any, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """The array from the uncompressed content, if it is what was asked for."""
    stored, sizes = _header(path, file)
    if dtype is not None and np.dtype(dtype) != stored.newbyteorder("="):
        raise DataError(f"{path}: expected elements of {np.dtype(dtype)}, found {stored.name}")
    if shape is not None and not _fits(sizes, shape):
        wanted = " x ".join("N" if n is None else str(n) for n in shape)
        raise DataError(f"{path}: expected sizes {wanted}, found {' x '.join(map(str, sizes))}")
    array = read_array(path, file, sizes, stored, os.stat(path).st_size)
    return array.astype(stored.newbyteorder("="), copy=False)


def _header(path: Any, file: Any) -> tuple[np.dtype, tuple[int, ...]]:
    """The element type as it is stored, and the sizes."""
    magic = read_limited(file, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: expected an idx file (00 00, type, dimensions), found "
            f"{magic.hex(' ') or 'nothing'}"
        )
    if magic[2] not in TYPES:
        known = ", ".join(f"{t:02x}" for t in TYPES)
        raise DataError(f"{path}: expected an idx type of {known}, found {magic[2]:02x}")
    if not 1 <= magic[3] <= MAX_DIMS:
        raise DataError(f"{path}: expected 1 to {MAX_DIMS} dimensions, found {magic[3]}")
    sizes = read_limited(file, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(
            f"{path}: expected {magic[3]} sizes of 4 bytes, found {len(sizes)} bytes (truncated)"
        )
    return np.dtype(TYPES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _fits(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(sizes) == len(shape) and all(
        wanted in (None, n) for n, wanted in zip(sizes, shape, strict=True)
    )

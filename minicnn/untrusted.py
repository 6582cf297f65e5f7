"""What readers of files that may be damaged or hostile share: a header's claim costs nothing, and
what another library says of a file becomes one line."""

import io
import math
import os
import warnings
from typing import IO, Any

import numpy as np

from .errors import DataError

FREE_BYTES = 2**27  # this much may come out of any file
MAX_PACKING = 100  # beyond that, what unpacks to more bytes than so many per byte is a bomb
MAX_BYTES = 2**31  # of one array
MAX_FILE = 2**29  # of one image
MAX_HEADER = 10_000  # bytes of text that describe an array
CHUNK = 2**20
LONGEST = 300  # characters of a reason


def reason(error: BaseException) -> str:
    """What an error says, in one short line that does nothing to a terminal."""
    text = " ".join(str(error).split())[:LONGEST] or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)


def check_packing(where: Any, packed: int, unpacked: int) -> None:
    """Refuses what would unpack to far more than images or weights do: a bomb, or damage.

    Raises
    ------
    DataError
        If packed bytes claim to be more than FREE_BYTES, and MAX_PACKING times as many.
    """
    if unpacked > FREE_BYTES and unpacked > MAX_PACKING * packed:
        raise DataError(
            f"{where}: expected at most {MAX_PACKING} bytes out of each, found {packed} bytes that "
            f"claim to be {unpacked}"
        )


def read_limited(file: IO[bytes], limit: int) -> bytearray:
    """Up to limit bytes, in chunks: read(limit) would allocate what a header merely claims."""
    content = bytearray()
    while len(content) < limit:
        chunk = file.read(min(CHUNK, limit - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def in_memory(path: Any, free: int) -> IO[bytes]:
    """An image file's content to read from: who asks for what a header claims gets no more.

    Raises
    ------
    DataError
        If the file is larger than MAX_FILE, or a WebP image that `check_size` refuses: PIL makes
        room for its pixels before it tells how many they are.
    OSError
        If it cannot be read.
    """
    if (size := os.path.getsize(path)) > MAX_FILE:
        raise DataError(f"{path}: expected at most {MAX_FILE} bytes, found {size}")
    with open(path, "rb") as file:
        content = file.read()
    check_size(path, _webp_size(content), free)
    return io.BytesIO(content)


def check_size(path: Any, size: tuple[int, int], free: int) -> None:
    """Refuses an image, before it is decoded, that has far more pixels than its file has bytes.

    Raises
    ------
    DataError
        If it has more pixels than `free`, and as RGB takes MAX_PACKING times its file's bytes.
    """
    width, height = size
    if width * height > free and 3 * width * height > MAX_PACKING * os.path.getsize(path):
        raise DataError(
            f"{path}: expected at most {free} pixels in so small a file, found {width} x {height}"
        )


def _webp_size(content: bytes) -> tuple[int, int]:
    """The width and height that a WebP image claims; (0, 0) for other files.

    Source: https://developers.google.com/speed/webp/docs/riff_container and RFC 6386, section 9.1.
    """
    kind, head = content[12:16], content[20:30]
    if content[8:12] != b"WEBP" or len(head) < 10:
        return 0, 0
    if kind == b"VP8X":  # the canvas of an extended file
        return _little(head[4:7]) + 1, _little(head[7:10]) + 1
    if kind == b"VP8L":  # lossless
        bits = _little(head[1:5])
        return bits % 2**14 + 1, (bits >> 14) % 2**14 + 1
    return _little(head[6:8]) % 2**14, _little(head[8:10]) % 2**14


def _little(number: bytes) -> int:
    return int.from_bytes(number, "little")


def read_npy(where: Any, archive: Any, info: Any) -> np.ndarray:
    """An .npy file in an archive as a writable array; every claim is checked before it is used.

    Parameters
    ----------
    where
        For errors.
    archive, info
        The zipfile.ZipFile, and the zipfile.ZipInfo of the member.

    Raises
    ------
    DataError
        That begins with `where`, if the header asks for what is not there, or for too much.
    Exception
        Of many kinds, from zipfile and from the parser of the header.
    """
    import zipfile

    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: expected deflate or no compression, found another")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(where, file)
        if dtype.kind not in "buif":
            raise DataError(f"{where}: expected an array of numbers, found {dtype!s:.60}")
        most = math.prod(max(n, 1) for n in shape) * dtype.itemsize
        if min(shape, default=0) < 0 or most > MAX_BYTES:
            raise DataError(f"{where}: expected at most {MAX_BYTES} bytes, found {shape!s:.60}")
        size = math.prod(shape) * dtype.itemsize
        check_packing(where, info.compress_size, size)
        content = read_limited(file, size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content)} (cut short)"
        raise DataError(f"{where}: expected {size} bytes for shape {shape}, found {found}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(where: Any, file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, in Fortran's order?, dtype) from an .npy file's header."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where}: expected .npy version 1 or 2, found {version[0]}")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, about odd text in the header
        return read(file, max_header_size=MAX_HEADER)

"""What readers of files that may be damaged or hostile share: a header's claim costs nothing, and
what another library says of a file becomes one line."""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
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
    """Refuses, as a DataError, what would unpack to far more than images or weights do: a bomb."""
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


@contextlib.contextmanager
def image_file(
    path: Any, formats: tuple[str, ...], free: int, most: float = math.inf
) -> Iterator[Any]:
    """An image file opened by PIL, which may use the decoders of these formats only.

    A DataError says what is wrong, also in the `with` block: no such file, damage, another format,
    or more pixels than `most` or PIL's own limit against decompression bombs; or more than `free`,
    which as RGB take more than MAX_PACKING times the file's bytes.
    """
    from PIL import Image, UnidentifiedImageError

    if not os.path.isfile(path):
        there = "no regular file" if os.path.exists(path) else "nothing"
        raise DataError(f"{path}: expected an image, found {there}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what decoders say of odd but readable files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if (size := os.path.getsize(path)) > MAX_FILE:
                raise DataError(f"{path}: expected at most {MAX_FILE} bytes, found {size}")
            content = Path(path).read_bytes()
            _check_size(path, _webp_size(content), size, free)
            # From memory: who asks for what a header claims gets no more than there is.
            with Image.open(io.BytesIO(content), formats=formats) as image:
                if image.width * image.height > most:
                    raise DataError(
                        f"{path}: expected at most {most} pixels, found "
                        f"{image.width} x {image.height}"
                    )
                _check_size(path, image.size, size, free)
                yield image
            return
    except DataError:
        raise
    except UnidentifiedImageError:
        wrong = f"expected an image ({', '.join(formats)}), found none of these"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        wrong = f"expected at most {Image.MAX_IMAGE_PIXELS} pixels, found more"
    except Exception as error:  # decoders meet damage with whatever exception it leads them to
        wrong = f"expected a sound image, found damage: {reason(error)}"
    raise DataError(f"{path}: {wrong}")


def _check_size(path: Any, shape: tuple[int, int], size: int, free: int) -> None:
    """Refuses an image, before it is decoded, that has far more pixels than its file has bytes."""
    width, height = shape
    if width * height > free and 3 * width * height > MAX_PACKING * size:
        raise DataError(
            f"{path}: expected at most {free} pixels in so small a file, found {width} x {height}"
        )


def _webp_size(content: bytes) -> tuple[int, int]:
    """The width and height that a WebP image claims; (0, 0) for other files.

    PIL knows them too, but tells them only after its decoder has reserved room for all pixels:
    for a hostile file of 100 bytes that was a gigabyte.
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


def read_array(
    where: Any, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, packed: int
) -> np.ndarray:
    """The rest of a file as a writable array in row-major order: all of it, and nothing more.

    The header that claims shape and dtype may lie; packed is how many bytes the file really takes.
    Every claim is checked, a DataError that begins with `where` says what is wrong, and memory is
    taken for what is there: NumPy's own readers take at once what a header claims.
    """
    # A size of 0 must not hide how large the others claim to be.
    most = math.prod(max(n, 1) for n in shape) * dtype.itemsize
    if min(shape, default=0) < 0 or most > MAX_BYTES:
        raise DataError(f"{where}: expected at most {MAX_BYTES} bytes, found sizes {shape!s:.60}")
    size = math.prod(shape) * dtype.itemsize
    check_packing(where, packed, size)
    content = read_limited(file, size + 1)  # up to the end, where the checksum is
    if len(content) != size:
        there = "more" if len(content) > size else f"{len(content)} (cut short)"
        raise DataError(f"{where}: expected {size} bytes for shape {shape}, found {there}")
    return np.frombuffer(content, dtype).reshape(shape)


@contextlib.contextmanager
def npz_file(path: Any, label: Any) -> Iterator[Any]:
    """An .npz file as a zipfile.ZipFile; what goes wrong with it is a DataError about `label`."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
            return
    except DataError:
        raise
    except OSError as error:
        wrong = error.strerror or reason(error)
    except Exception as error:  # zipfile and the .npy header's parser raise a dozen kinds
        wrong = reason(error)
    raise DataError(f"{label}: expected a sound .npz file, found: {wrong}")


def read_npy(where: Any, archive: Any, info: Any) -> np.ndarray:
    """A member of a zipfile.ZipFile, an .npy file, as a writable array.

    Not by `np.load(allow_pickle=False)`: see `read_array`.  Besides its DataErrors come exceptions
    of many kinds, from zipfile and from the parser of the header.
    """
    import zipfile

    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: expected deflate or no compression, found another")
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in headers:
            raise DataError(f"{where}: expected .npy version 1 or 2, found {version[0]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, about odd text in the header
            shape, fortran, dtype = headers[version](file, max_header_size=MAX_HEADER)
        if dtype.kind not in "buif":
            raise DataError(f"{where}: expected an array of numbers, found {dtype!s:.60}")
        stored = shape[::-1] if fortran else shape
        array = read_array(where, file, stored, dtype, info.compress_size)
    return array.T if fortran else array

"""Tensors to and from safetensors files, whole or not at all; what they mean is for callers.

Format: https://huggingface.co/docs/safetensors.  The library is imported when first used.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arrays import dtype_of
from .autograd import Tensor
from .devices import to_device
from .errors import ArgumentError, DataError

# safetensors' names for the element types that minicnn has
DTYPES = ("BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64")


def save_file(
    tensors: Mapping[str, Tensor],
    path: "str | os.PathLike[str]",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors to a safetensors file, which PyTorch's safetensors reads too.

    The file appears complete or not at all: a failure leaves an older one as it was.  Tensors are
    written in row-major order whatever their strides; two over the same memory are written twice.

    Parameters
    ----------
    tensors
        Names and tensors, on any device.
    path
        The file; its folder must exist.
    metadata
        Text to store under names of text.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    if not all(isinstance(x, str) for item in (metadata or {}).items() for x in item):
        raise TypeError("save_file: metadata must be text under names of text")
    arrays = {name: _array(name, t) for name, t in tensors.items()}
    content = save(arrays, None if metadata is None else dict(metadata))
    try:
        replace_file(os.path.realpath(path), content)  # through a link, not instead of it
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def load_file(path: "str | os.PathLike[str]") -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory of their own, on the CPU.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds a type that minicnn does not have.
    """
    with _opened(path) as file:
        return {name: Tensor(_loaded(path, file, name)) for name in file.keys()}  # noqa: SIM118


def load_metadata(path: "str | os.PathLike[str]") -> dict[str, str]:
    """The text that `save_file` was given as metadata; empty if there was none.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _array(name: str, t: Tensor) -> np.ndarray:
    """What is written of one tensor: a C-ordered array on the host."""
    if not isinstance(name, str) or not isinstance(t, Tensor):
        raise TypeError(
            f"save_file: expected Tensors under names of text, found a {type(t).__name__} "
            f"under {name!r}"
        )
    if name == "__metadata__":
        raise ArgumentError("save_file: the name '__metadata__' is the file format's own")
    dtype_of(t.dtype)
    return np.asarray(to_device(t.array, "cpu"), order="C")  # ascontiguousarray makes 0-dim 1-dim


def replace_file(target: str, content: bytes) -> None:
    """Puts content in target's place in one step, once all of it is on the disk."""
    exists = os.path.exists(target)
    if exists and not os.path.isfile(target):
        raise OSError("it is not a regular file")
    temporary = os.path.join(os.path.dirname(target), f".minicnn-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if exists:
                os.chmod(temporary, os.stat(target).st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C too
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


@contextmanager
def _opened(path: "str | os.PathLike[str]") -> Iterator[Any]:
    """A safetensors file to read from; whatever goes wrong with it is a DataError."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        found = "no regular file" if os.path.exists(path) else "nothing"
        raise DataError(f"{path}: expected a safetensors file, found {found}")
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except DataError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected a sound safetensors file, found: {reason}") from None


def _loaded(path: Any, file: Any, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        raise DataError(
            f"{path}: expected elements of {', '.join(DTYPES)}, found {dtype} in tensor {name!r}"
        )
    return file.get_tensor(name)  # read into memory, not mapped from the file

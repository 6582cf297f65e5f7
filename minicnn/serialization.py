"""Tensors, and trees of dicts and lists that hold them, to and from files; never pickled.

A file is written whole or not at all.  `save_file` and `load_file` know tensors under names, the
safetensors format (https://huggingface.co/docs/safetensors); `save` and `load` put what else there
is (numbers, text, nesting) as JSON into the file's metadata.  The library is imported when first
used.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from . import arrays as array_types
from .arrays import dtype_of, is_floating
from .autograd import Tensor
from .devices import device, to_device
from .errors import ArgumentError, DataError
from .nn.module import Parameter
from .untrusted import check_packing, npz_file, read_npy, reason

# safetensors' names for the element types that minicnn has
DTYPES = ("BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64")

HEADER_LIMIT = 2**23
"""The longest header of a file, in bytes: names, shapes, and the tree of `save`."""

NPZ_LIMIT = 2**30
"""The most bytes that an .npz file may unpack to."""

DEPTH_LIMIT = 100
"""How deep dicts and lists may be nested."""

TREE = "minicnn"
"""The metadata's name for the tree of `save`."""

Path = str | os.PathLike[str]

# ---- tensors under names -----------------------------------------------------------------------


def save_file(
    tensors: Mapping[str, Tensor],
    path: Path,
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
    if not all(isinstance(x, str) for item in (metadata or {}).items() for x in item):
        raise TypeError("save_file: metadata must be text under names of text")
    for name, t in tensors.items():
        if not isinstance(name, str) or not isinstance(t, Tensor):
            raise TypeError(
                f"save_file: expected Tensors under names of text, found a {type(t).__name__} "
                f"under {name!r}"
            )
    write_file(path, _content({name: t.array for name, t in tensors.items()}, metadata))


def _content(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> bytes:
    """The bytes of a safetensors file."""
    from safetensors.numpy import save

    content = save(
        {name: _plain(name, a) for name, a in arrays.items()},
        None if metadata is None else dict(metadata),
    )
    if (length := int.from_bytes(content[:8], "little")) > HEADER_LIMIT:
        raise ArgumentError(
            f"save: names, numbers and text take {length} bytes, more than the {HEADER_LIMIT} that "
            "a file may hold; put long lists of numbers into a tensor"
        )
    return content


def write_file(path: Path, content: bytes) -> None:
    """Replaces a file in one step, through a link too; a DataError says why that is impossible."""
    try:
        replace_file(os.path.realpath(path), content)  # through a link, not instead of it
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def load_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory of their own, on the CPU.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds a type that minicnn does not have.
    """
    with _opened(path) as file:
        return {name: Tensor(_loaded(path, file, name)) for name in file.keys()}  # noqa: SIM118


def load_metadata(path: Path) -> dict[str, str]:
    """The text that `save_file` was given as metadata; empty if there was none.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """What is written of one tensor: a C-ordered array on the host."""
    if name == "__metadata__":
        raise ArgumentError("save_file: the name '__metadata__' is the file format's own")
    dtype_of(array.dtype)
    return np.asarray(to_device(array, "cpu"), order="C")  # ascontiguousarray makes 0-dim 1-dim


def replace_file(target: str, content: bytes) -> None:
    """Puts content in target's place in one step, once all of it is on the disk."""
    exists = os.path.exists(target)
    if exists and not os.path.isfile(target):
        raise OSError("it is not a regular file")
    temporary = os.path.join(os.path.dirname(target), f".minicnn-{os.urandom(8).hex()}.tmp")
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
def _opened(path: Path, label: Any = None) -> Iterator[Any]:
    """A safetensors file to read from; whatever goes wrong with it is a DataError about `label`."""
    from safetensors import SafetensorError, safe_open

    label = path if label is None else label
    if not os.path.isfile(path):
        what = "no regular file" if os.path.exists(path) else "nothing"
        raise DataError(f"{label}: expected a safetensors file, found {what}")
    try:
        with open(path, "rb") as start:
            length = int.from_bytes(start.read(8), "little")
        if length > HEADER_LIMIT:
            raise ValueError(f"a header of {length} bytes, more than {HEADER_LIMIT}")
        with safe_open(path, framework="np") as file:
            yield file
    except DataError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{label}: expected a sound safetensors file, found: {reason(error)}"
        ) from None


def _loaded(label: Any, file: Any, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        raise DataError(
            f"{label}: expected elements of {', '.join(DTYPES)}, found {dtype} in tensor {name!r}"
        )
    return file.get_tensor(name)  # read into memory, not mapped from the file


# ---- trees: what torch.save and torch.load are for ---------------------------------------------


def save(obj: Any, f: Path | BinaryIO) -> None:
    """Writes weights, or a tree of dicts, lists and tuples with tensors and plain values in it.

    The file is a safetensors file whatever it is called: the tensors under their paths in the tree
    (`model.conv1.weight`), the tree itself in the metadata.  That of a state_dict can be read with
    `safetensors.torch.load_file` too.  A tensor that occurs twice is written twice.

    Parameters
    ----------
    obj
        Tensors, Parameters, NumPy arrays and scalars, numbers, bool, text, None, dtypes and devices
        in dicts (whose keys are numbers, text, None or tuples of them), lists and tuples, nested
        at most 100 deep.
    f
        A path, where the file appears complete or not at all, or a file open for writing bytes.

    Raises
    ------
    TypeError
        For anything else, a Module for one: save its state_dict().
    ArgumentError
        If names, numbers and text take more than 8 MiB, or the nesting is too deep.
    DataError
        If the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_encode(obj, "", arrays), separators=(",", ":"))
    content = _content(arrays, {TREE: tree})
    if isinstance(f, (str, os.PathLike)):
        write_file(f, content)
    else:
        f.write(content)


def load(
    f: Path | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool = True,
) -> Any:
    """What `save` wrote, with the same types; or the tensors of a safetensors or .npz file by name.

    Nothing is ever unpickled, so a file can do no harm, whatever `weights_only` says.

    Parameters
    ----------
    f
        A path, or a file open for reading bytes.
    map_location
        The device for the tensors.  The CPU if left out, wherever they were when saved, and if it
        is a function, as older programs pass.

    Raises
    ------
    DataError
        If the file is missing, damaged, or a checkpoint of PyTorch, which is a pickle; the message
        says how to convert it.
    """
    where = device("cpu" if map_location is None or callable(map_location) else map_location)
    if isinstance(f, (str, os.PathLike)):
        return _load(f, str(f), where)
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile() as copy:  # the safetensors library reads files by name
        shutil.copyfileobj(f, copy)
        copy.flush()
        return _load(copy.name, type(f).__name__, where)


def _load(path: Path, label: str, where: device) -> Any:
    start = b""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(9)
    if start.startswith(b"PK"):
        return {name: Tensor(to_device(a, where)) for name, a in _read_npz(path, label).items()}
    if start.startswith(b"\x80") and start[8:] != b"{":  # safetensors: a length, then JSON
        raise _pickled(label)
    with _opened(path, label) as file:
        names = dict.fromkeys(file.keys())  # in the file's order

        def make(kind: str, name: str) -> Any:
            if name not in names:  # or a small file could ask for a big tensor a thousand times
                raise ValueError(f"a tree that names {name!r:.50}, missing or named before")
            del names[name]
            return _made(kind, _loaded(label, file, name), where)

        tree = (file.metadata() or {}).get(TREE)
        if tree is None:
            return {name: make("Tensor", name) for name in [*names]}
        return _decode(_parsed(tree), make)


def _pickled(label: str) -> DataError:
    return DataError(
        f"{label}: is a pickle, as PyTorch's checkpoints are; it could run any program, so it is "
        "not read here.  Convert it with PyTorch (of a nested checkpoint take the weights, "
        'weights["model"] or so):\n'
        "    import torch, safetensors.torch\n"
        f'    weights = torch.load("{label}", weights_only=True)\n'
        f'    safetensors.torch.save_file(weights, "{os.path.splitext(label)[0]}.safetensors")'
    )


# ---- the tree as JSON --------------------------------------------------------------------------


def _is_key(key: Any) -> bool:
    """Whether a dict with this key can be saved."""
    if type(key) is tuple:
        return all(map(_is_key, key))
    return key is None or type(key) in (bool, int, float, str)


def _encode(obj: Any, path: str, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:
    """obj as JSON: None, numbers, text and lists as they are, all else as {type: content}.

    Arrays go into `arrays`; their content is their name there.
    """
    if depth > DEPTH_LIMIT:
        raise ArgumentError(f"save: nested more than {DEPTH_LIMIT} deep; does it contain itself?")

    def inside(key: Any, value: Any) -> Any:
        return _encode(value, f"{path}.{key}" if path else str(key), arrays, depth + 1)

    kind = type(obj)
    if obj is None or kind in (bool, int, float, str):
        return obj
    if kind in (list, tuple):
        items = [inside(i, value) for i, value in enumerate(obj)]
        return items if kind is list else {"tuple": items}
    if kind in (dict, OrderedDict) and all(map(_is_key, obj)):
        return {kind.__name__: [[inside("key", k), inside(k, v)] for k, v in obj.items()]}
    if isinstance(obj, (Tensor, np.ndarray, np.generic)):
        return _encode_array(obj, path or "tensor", arrays)
    if isinstance(obj, (device, np.dtype)):
        return {"device" if kind is device else "dtype": str(obj)}
    where = f"under {path!r}" if path else "at the top"
    advice = "save its state_dict()" if hasattr(obj, "state_dict") else "see help(minicnn.save)"
    raise TypeError(f"save: found a {kind.__name__} {where}, which cannot be saved; {advice}")


def _encode_array(obj: Any, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    name = name.encode("utf-8", "replace").decode()  # text may hold half of a surrogate pair
    while name in arrays or name == "__metadata__":  # {"a": {"b": x}, "a.b": y}
        name += "_"
    if not isinstance(obj, Tensor):
        arrays[name] = np.asarray(obj)
        return {"scalar" if isinstance(obj, np.generic) else "array": name}
    arrays[name] = obj.array
    kind = "Parameter" if isinstance(obj, Parameter) else "Tensor"
    return {kind + " that requires grad" if obj.requires_grad else kind: name}


def _parsed(text: str) -> Any:
    """JSON from a file that may be hostile."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) != 1:
            raise ValueError(f"a tree with {len(pairs)} keys in an object, not one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise ValueError(f"a tree nested more than {DEPTH_LIMIT} deep") from None


def _decode(node: Any, make: Callable[[str, str], Any], depth: int = 0) -> Any:
    """What `_encode` made JSON of; make(kind, name) gives the arrays."""
    if depth > DEPTH_LIMIT:
        raise ValueError(f"a tree nested more than {DEPTH_LIMIT} deep")
    if isinstance(node, list):
        return [_decode(item, make, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    [(kind, content)] = node.items()
    if kind in ("tuple", "dict", "OrderedDict") and isinstance(content, list):
        items = [_decode(item, make, depth + 1 if kind == "tuple" else depth) for item in content]
        return tuple(items) if kind == "tuple" else _dict_of(kind, items)
    if not isinstance(content, str):
        raise ValueError(f"a tree with a {kind!r:.50} of {content!r:.50}")
    if kind == "device":
        return device(content)
    if kind == "dtype" and content in map(str, array_types.DTYPES):
        return np.dtype(content)
    return make(kind, content)


def _dict_of(kind: str, items: list[Any]) -> dict[Any, Any]:
    if not all(type(item) is list and len(item) == 2 and _is_key(item[0]) for item in items):
        raise ValueError(f"a tree with a {kind} that is not made of pairs of a key and a value")
    mapping = dict(items) if kind == "dict" else OrderedDict(items)
    if len(mapping) != len(items):
        raise ValueError(f"a tree with a {kind} that has a key twice")
    return mapping


def _made(kind: str, array: np.ndarray, where: device) -> Any:
    """The object that was saved, of its kind and its array."""
    if kind in ("array", "scalar"):
        return array if kind == "array" else array[()]
    name, _, learns = kind.partition(" that ")
    if name not in ("Tensor", "Parameter") or (learns and not is_floating(array.dtype)):
        raise ValueError(f"a tree with a {kind!r:.50} of {array.dtype}")
    made = Tensor if name == "Tensor" else Parameter
    return made(to_device(array, where), requires_grad=bool(learns))


# ---- .npz --------------------------------------------------------------------------------------


def _read_npz(path: Path, label: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; their sizes are checked before they are unpacked."""
    arrays = {}
    with npz_file(path, label) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("data.pkl") for member in members):
            raise _pickled(label)
        size = sum(member.file_size for member in members)
        if size > NPZ_LIMIT:
            raise ValueError(f"one that unpacks to {size} bytes, more than {NPZ_LIMIT}")
        check_packing(label, os.path.getsize(path), size)
        for member in members:
            array = read_npy(f"{label}: {member.filename!r:.60}", archive, member)
            plain = np.asarray(array, dtype_of(array.dtype), order="C")
            arrays[member.filename.removesuffix(".npy")] = plain
    return arrays

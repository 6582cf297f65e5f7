"""read_pickle: the data in a pickle, read as data; nothing in it is imported, called or made.

`pickletools` of the standard library splits a pickle into opcodes; here are the few that numbers,
text, lists, tuples, dicts and NumPy arrays of bytes need.  A global stays a name, and a call of it
a note, out of which only an array of uint8 is ever made.
"""

import math
import pickletools
import warnings
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ..untrusted import reason

MAX_OPCODES = 200_000  # a batch of CIFAR-10 has some 40,000
MARK = object()

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = (
    "BININT BININT1 BININT2 LONG1 SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES "
    "SHORT_BINUNICODE BINUNICODE"
).split()
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
RECONSTRUCT = (
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
)


class Global(NamedTuple):
    """`module name`, as the pickle has it."""

    name: str


class Made:
    """What a call would have made: the global's name, its arguments, and the state set after."""

    def __init__(self, name: str, args: tuple) -> None:
        self.name, self.args, self.state = name, args, ()


class _Unreadable(Exception):
    """Why a pickle is not one of plain data."""


def read_pickle(path: Any, content: bytes) -> Any:
    """What a pickle of plain data holds.

    Text comes as str whether it was pickled as text or as bytes (Python 2 had one type for both).

    Parameters
    ----------
    path
        For errors.
    content
        The pickle, protocol 2 to 4.

    Raises
    ------
    DataError
        If it is damaged, or holds anything but numbers, text, lists, tuples, dicts with text as
        keys, and C-ordered arrays of uint8.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools' about escapes in text it then refuses
            return _plain(_Machine().run(content))
    except (_Unreadable, ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
        raise DataError(
            f"{path}: expected a pickle of plain data, found: {reason(error)}"
        ) from None


class _Machine:
    """The pickle's stack machine, as far as plain data needs it."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.encoded = self.length = 0  # characters made into bytes; bytes of the pickle

    def run(self, content: bytes) -> Any:
        """The value left when the pickle stops."""
        self.length = len(content)
        for count, (opcode, arg, _) in enumerate(pickletools.genops(content)):
            if count > MAX_OPCODES:
                raise _Unreadable(f"more than {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                break
            self._step(opcode.name, arg)
        (result,) = self.stack
        return result

    def _step(self, name: str, arg: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(arg)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[arg] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[arg])
        elif name == "MARK":
            stack.append(MARK)
        elif name not in ("PROTO", "FRAME"):
            self._combine(name, arg)

    def _combine(self, name: str, arg: Any) -> None:
        """The opcodes that take several values off the stack."""
        stack = self.stack
        if name == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif name in SHORT_TUPLES:
            stack.append(tuple(self._pop(SHORT_TUPLES[name])))
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1) if name == "APPEND" else self._to_mark()
            _as(list, stack[-1]).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._to_mark()
            keys = [_as(str, _text(key)) for key in items[::2]]
            _as(dict, stack[-1]).update(zip(keys, items[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = [arg] if arg else [_as(str, part) for part in self._pop(2)]
            stack.append(Global(" ".join(parts)))
        elif name == "REDUCE":
            function, args = self._pop(2)
            stack.append(self._call(_as(Global, function).name, _as(tuple, args)))
        elif name == "BUILD":
            (state,) = self._pop(1)
            _as(Made, stack[-1]).state = _as(tuple, state)
        else:
            raise _Unreadable(f"the opcode {name}")

    def _call(self, name: str, args: tuple) -> Any:
        """A note of the call, or bytes: protocol 2 has them as `_codecs.encode(text, "latin1")`."""
        if name == "_codecs encode" and len(args) == 2 and args[1] == "latin1":
            self.encoded += len(_as(str, args[0]))
            if self.encoded > self.length:  # one text may be asked for again and again
                raise _Unreadable("more bytes than the pickle has")
            return args[0].encode("latin-1")
        if name not in (*RECONSTRUCT, "numpy dtype"):
            raise _Unreadable(f"a call of {name!r:.60}")
        return Made(name, args)

    def _pop(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise _Unreadable("too few values on the stack")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def _to_mark(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise _Unreadable("no mark on the stack")


def _as(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise _Unreadable(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    """The value with its arrays in place of the notes; only the topmost level is looked into."""
    if isinstance(value, dict):
        return {key: _plain_item(item) for key, item in value.items()}
    return _plain_item(value)


def _plain_item(value: Any) -> Any:
    return _array(value) if isinstance(value, Made) else _text(value)


def _array(made: Made) -> np.ndarray:
    """The array that a note describes: (version, shape, dtype, Fortran order?, content)."""
    if made.name not in RECONSTRUCT or len(made.state) != 5:
        raise _Unreadable(f"{made.name} where an array belongs")
    _, shape, dtype, fortran, content = made.state
    kind = dtype.args[0] if isinstance(dtype, Made) and dtype.args else None
    if kind not in ("u1", "|u1") or fortran is not False:
        raise _Unreadable(f"an array of {_short(kind)}, not a C-ordered one of u1")
    if isinstance(content, str):  # a string of Python 2's
        content = content.encode("latin-1")
    pixels = np.frombuffer(_as(bytes, content), np.uint8)
    sound = all(type(n) is int and 0 <= n < 2**31 for n in _as(tuple, shape))
    if not sound or math.prod(shape) != len(pixels):
        raise _Unreadable(f"an array of shape {_short(shape)} in {len(pixels)} bytes")
    return pixels.reshape(shape)


def _short(value: Any) -> str:
    """A value for a message: a tuple of tuples, each twice in the next, is too long to print."""
    items = value if isinstance(value, tuple) else (value,)
    plain = len(items) < 10 and all(isinstance(x, (str, int, type(None))) for x in items)
    return f"{value!r:.60}" if plain else f"a {type(value).__name__}"

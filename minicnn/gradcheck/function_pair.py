"""FunctionPair: the forward and backward under test, called on copies of their inputs.

The arrays are float64 copies where the functions take them, whatever type the user gave; a function
that insists on its own type is called with that.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError

Array = Any  # numpy.ndarray
LIBRARIES = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))


class Broken(Exception):
    """The functions under test raised, or returned what no gradient can be; str() is a sentence."""

    def __init__(self, sentence: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code  # of the mistake that it is


class FunctionPair:
    """A pair of functions, its inputs, and what calling it means.

    `wrt` says which inputs to check, `names` what to call them; backward takes a tuple as g where
    forward returned one.
    """

    def __init__(
        self, forward: Callable, backward: Callable, inputs: Sequence[Any], wrt: list[int],
        names: list[str],
    ) -> None:  # fmt: skip
        self.forward, self.backward, self.wrt, self.names = forward, backward, wrt, names
        self.given = list(inputs)
        self.several = False  # whether forward returns several outputs
        self.inputs = [
            np.array(x, np.float64, order="C") if i in wrt else copied(x)
            for i, x in enumerate(inputs)
        ]
        self.y = self._first_outputs()

    def _first_outputs(self) -> list[Array]:
        """The outputs at the point; inputs keep their own type if they must.

        Copies, of copies: forward may change what it was given, or return it.
        """
        try:
            return [copied(y) for y in self.outputs(self.fresh())]
        except Broken:
            own = [copied(x) for x in self.given]
            if all(
                getattr(a, "dtype", 0) == getattr(b, "dtype", 0)
                for a, b in zip(own, self.inputs, strict=True)
            ):
                raise
            self.inputs = own
            return [copied(y) for y in self.outputs(self.fresh())]

    @property
    def checked(self) -> list[Array]:
        """The inputs whose gradients are checked."""
        return [self.inputs[i] for i in self.wrt]

    def fresh(self) -> list[Any]:
        """Copies of the inputs, for one call to do with as it likes."""
        return [copied(x) for x in self.inputs]

    def outputs(self, inputs: list[Any]) -> list[Array]:
        """What forward returns, as a list of arrays, not copied."""
        try:
            with np.errstate(all="ignore"):
                result = self.forward(*inputs)
        except Exception as error:
            raise Broken(f"forward raised {_described(error)}") from error
        self.several = isinstance(result, tuple) or (
            isinstance(result, list) and any(isinstance(y, np.ndarray) for y in result)
        )
        listed = [np.asarray(y) for y in (result if self.several else [result])]
        for y in listed:
            if y.dtype.kind not in "fiubc" or (
                y.dtype.kind == "c" and not any(map(np.iscomplexobj, inputs))
            ):
                kind = type(result).__name__ if y.dtype == object else str(y.dtype)
                raise Broken(f"forward returned {_an(kind)}; it must return an array of floats")
        return listed

    @property
    def floating(self) -> list[bool]:
        """Which of the outputs have a gradient: those of floating type."""
        return [y.dtype.kind == "f" for y in self.y]

    def join(self, arrays: Sequence[Array]) -> Array:
        """The floating ones of as many arrays as there are outputs, in one vector of float64."""
        parts = [np.array(a, np.float64).ravel() for a in compress(arrays, self.floating)]
        return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0)])

    def gradients(self, g: list[Array], inputs: list[Any]) -> list[Any]:
        """What backward returns for each input of wrt: an array, or None.

        forward is called first: backward may be a method that reads what forward left behind.
        """
        self.outputs([copied(x) for x in inputs])
        argument = tuple(g) if self.several else g[0]
        try:
            with np.errstate(all="ignore"):
                result = self.backward(argument, *inputs)
        except Exception as error:
            raise Broken(f"backward raised {_described(error)}") from error
        return [self._gradient(i, dx) for i, dx in zip(self.wrt, self._listed(result), strict=True)]

    def _listed(self, result: Any) -> list[Any]:
        """One gradient for each input of wrt."""
        total, wanted = len(self.given), len(self.wrt)
        if not isinstance(result, (tuple, list)):
            if isinstance(result, np.ndarray | np.generic | float | None) and wanted == 1:
                return [result]
            raise Broken(
                f"backward returned {_an(type(result).__name__)}; it must return a tuple of "
                f"{total} gradients, one for each input"
            )
        if len(result) == total:
            return [result[i] for i in self.wrt]
        if len(result) == wanted:
            return list(result)
        raise Broken(
            f"backward returned {len(result)} gradients; forward takes {total} inputs, and each "
            "needs one (None where none is wanted)"
        )

    def _gradient(self, i: int, dx: Any) -> Any:
        if dx is None:
            return None
        array = np.asarray(dx)
        if array.dtype.kind not in "fiub":
            raise Broken(
                f"backward returned {_an(str(array.dtype))} array for {self.names[i]}; a gradient "
                "is an array of floats"
            )
        return array


def copied(x: Any) -> Any:
    """A copy of an array; anything else as it is."""
    return x.copy() if isinstance(x, np.ndarray) else x


def _an(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind


def _described(error: Exception) -> str:
    """The error, and the last line of the user's own that it came from."""
    text = " ".join(str(error).split())
    trace, where = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(LIBRARIES):
            where = f" (line {trace.tb_lineno}, in {code.co_name})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def picked(inputs: Sequence[Any], wrt: Any) -> list[int]:
    """The inputs to check: those named, else all of floating type."""
    if wrt is None:
        floats = [
            i for i, x in enumerate(inputs)
            if isinstance(x, np.ndarray | np.floating | float) and np.asarray(x).dtype.kind == "f"
        ]  # fmt: skip
        if not floats:
            kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in inputs)
            raise ArgumentError(
                f"check_backward: no input is of floating type ({kinds or 'there is none'}); "
                "give x.astype(float)"
            )
        return floats
    places = [wrt] if isinstance(wrt, int) else list(wrt)
    for i in places:
        if not isinstance(i, int) or not -len(inputs) <= i < len(inputs):
            raise ArgumentError(f"check_backward: wrt={wrt!r}: there are {len(inputs)} inputs")
        if not np.issubdtype(np.asarray(inputs[i]).dtype, np.number):
            raise ArgumentError(
                f"check_backward: wrt={wrt!r}: input {i} is not an array of numbers"
            )
    return [i % len(inputs) for i in places]

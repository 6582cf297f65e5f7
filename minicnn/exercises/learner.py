"""The learner's code: loading it, calling it, and saying kindly what went wrong in it."""

import inspect
import linecache
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from .exercise import Exercise
from .results import Finding, Stop, Wrong
from .watching import watched

WATCHED_CALLS = 3  # of each function; watching makes a call a few times slower


class Learner:
    """What a checker sees of the learner's code: `learner.linear_forward(x, weight, bias)`.

    An attribute is what the learner's file has under that name.  Functions are watched: calling a
    library, taking differences, or changing an array that was passed in ends the check with a
    finding.  So does a missing name, and NotImplementedError ("not written yet").

    Attributes
    ----------
    points
        (points, of), set by `score`.
    """

    def __init__(self, namespace: dict[str, Any], files: Iterable[str]) -> None:
        self.namespace, self.files = namespace, frozenset(files)
        self._functions: dict[str, _Watched] = {}
        self.points: tuple[int, int] | None = None
        self.allow: frozenset[str] = frozenset()  # libraries that this exercise may call
        self.exercise: Exercise | None = None  # whose planted mistakes are to be recognised
        self.screen = sys.stdout  # what the learner's code prints is kept from it

    def __getattr__(self, name: str) -> Any:
        if name not in self.namespace:
            raise Stop(
                "missing", f"there is no {name}", f"{name} in your file", "no such name",
                "keep the names of the stub; `minicnn exercises reset` brings the stub back",
            )  # fmt: skip
        value = self.namespace[name]
        if not callable(value) or isinstance(value, type):
            return value
        return self._functions.setdefault(name, _Watched(self, name, value))

    def replacing(self, functions: dict[str, Callable[..., Any]]) -> "Learner":
        """The same, with other functions in the place of some; for planted mistakes."""
        return Learner(self.namespace | functions, self.files)

    def plain(self, name: str) -> Any:
        """The function itself, for one that may change its arguments; watch it with `watching`."""
        return self.namespace[name] if name in self.namespace else getattr(self, name)

    def watching(self, *inputs: Any) -> AbstractContextManager[None]:
        """A `with` block in which the learner's code is watched: for methods of classes."""
        return watched(self.files, inputs, self.allow)

    def wrong(self, run: Callable[[Any], Any]) -> "list[Wrong]":
        """What run(solution) gives where the solution has one of the exercise's mistakes in it."""
        return [
            Wrong(mutant.code, mutant.title, partial(run, solution), mutant.where)
            for mutant, solution in (self.exercise.mistakes if self.exercise else ())
        ]

    def tell(self, text: str) -> None:
        """Shows at once how far a long check is."""
        print(text, file=self.screen, flush=True)

    def score(self, points: int, of: int) -> None:
        """Keeps a score, which is shown and stored."""
        self.points = points, of


class _Watched:
    """A function of the learner's; its first calls are watched."""

    def __init__(self, learner: Learner, name: str, function: Callable[..., Any]) -> None:
        self.learner, self.name, self.function, self.calls = learner, name, function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls > WATCHED_CALLS:
            return self.function(*args, **kwargs)
        self._try_signature(args, kwargs)
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        before = [array.copy() for array in arrays]
        with self.learner.watching(*arrays):
            result = self.function(*args, **kwargs)
        for array, copy in zip(arrays, before, strict=True):
            if not np.array_equal(array, copy, equal_nan=array.dtype.kind in "fc"):
                raise Stop(
                    "GB009", f"{self.name} changes an array that it was given",
                    "arguments as they were: their owner still needs them",
                    f"the argument of shape {array.shape} has other values after the call",
                    f"{self.name}: x += 1 and x[...] = 1 change x; x = x + 1 does not",
                )  # fmt: skip
        return result

    def _try_signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Stops the check if the function cannot be called so."""
        try:
            inspect.signature(self.function).bind(*args, **kwargs)
        except TypeError as error:
            named = "".join(f", {name}=..." for name in kwargs)
            raise Stop(
                "arguments", f"{self.name} takes other arguments than the stub",
                f"{len(args)} arguments{named}", str(error), f"the line def {self.name}(...)",
            ) from None  # fmt: skip
        except ValueError:  # a function in C that does not tell
            return


# ---- loading -----------------------------------------------------------------------------------


def load_file(path: Path) -> Learner:
    """The learner's file as a module; what fails on the way ends the check with a finding."""
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(
            "unreadable", f"{path} cannot be read", "a text file", str(error), str(path)
        ) from None
    linecache.checkcache(str(path))
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module
    files = beside(path)
    with stopping_on_errors(files):
        exec(compile(source, str(path), "exec"), vars(module))
    return Learner(vars(module), files)


def beside(path: Path) -> list[str]:
    """The learner's files: this one, and those of other exercises, which it may import."""
    return [str(path), *map(str, path.parent.glob("ex[0-9]*.py"))]


def from_functions(functions: dict[str, Callable[..., Any]]) -> Learner:
    """Functions, and classes, that were defined elsewhere: in a notebook."""
    values = [f for value in functions.values() for f in (value, *vars(value).values())]
    codes = [getattr(value, "__code__", None) for value in values]
    return Learner(dict(functions), {code.co_filename for code in codes if code})


# ---- errors ------------------------------------------------------------------------------------


@contextmanager
def stopping_on_errors(files: Iterable[str]) -> Iterator[None]:
    """What the learner's code raises becomes a Stop; an error from elsewhere is passed on."""
    files = set(files)
    try:
        yield
    except (Exception, SystemExit) as error:
        finding = _error_finding(error, files)
        if finding is None:
            raise
        raise Stop(*finding) from None


def unexpected(error: Exception) -> Finding:
    """What to say where the checker itself stumbled over what the learner's code gave it."""
    line = traceback.extract_tb(error.__traceback__)[-1]
    return Finding(
        "unexpected", "the check could not go on with what your code gave it",
        "what the stub promises: names, arguments, what is returned",
        f"{type(error).__name__}: {error}",
        f"the check was at line {line.lineno} of {line.filename}; if your code is as the stub "
        "promises, this is a fault of the exercise",
    )  # fmt: skip


def _error_finding(error: BaseException, files: set[str]) -> Finding | None:
    """What to say of an error, with the learner's line; None if the learner had no part in it."""
    if isinstance(error, SyntaxError) and error.filename in files:
        return Finding(
            "syntax", f"Python cannot read line {error.lineno}: {error.msg}", "",
            (error.text or "").strip(),
            f"{Path(str(error.filename)).name}, line {error.lineno}, column {error.offset}",
        )  # fmt: skip
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    if not frames:
        return None
    last = frames[-1]
    place = _place(last)
    if isinstance(error, NotImplementedError):
        return Finding("todo", f"{last.name} is not written yet", where=place)
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
    return Finding("error", f"{last.name} raises {type(error).__name__}", "", reason, place)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}:\n{frame.line}"


class _TimeUp(BaseException):
    """Raised by the alarm, wherever the learner's code is; `except Exception` lets it through."""


@contextmanager
def time_limit(seconds: float, files: Iterable[str]) -> Iterator[None]:
    """Ends what runs inside after so many seconds, with a finding that names the line.

    By an alarm, which only the main thread of a POSIX system has; elsewhere nothing is limited.
    """
    if not hasattr(signal, "setitimer") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again: `except:` may swallow the first
    try:
        yield
    except _TimeUp as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        wanted = set(files)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in wanted]
        place = [_place(frame) for frame in frames[-1:]]
        raise Stop(*too_long(seconds, *place)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def too_long(seconds: float, place: str = "") -> Finding:
    """The finding for a check that did not end."""
    return Finding(
        "time", f"no end after {seconds:g} s", "an answer in a moment",
        "still running: a loop without an end, perhaps", place or "your loops",
    )  # fmt: skip

"""Which names the installed CuPy has, and which arguments its functions take.

CuPy can be imported without a driver.  That is done once, in another process, so that nothing of it
stays in this one; the answer is kept in the cache.  Without CuPy nothing is checked.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import Distribution, distributions
from typing import Any

from .shim import cache_folder

MODULES = (
    "cupy", "cupy._core", "cupy.cuda", "cupy.cuda.runtime", "cupy.lib", "cupy.lib.stride_tricks",
    "cupy.linalg",
)  # fmt: skip

_QUESTION = """
import functools, inspect, json, sys
import cupy
def signature(f):
    try:
        return [[p.name, p.kind, p.default is not p.empty]
                for p in inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):
        return None
found = {}
for name in sys.argv[1:]:
    module = functools.reduce(getattr, name.split(".")[1:], cupy)
    found[name] = {n: signature(getattr(module, n, None)) for n in dir(module)}
found["ndarray"] = {n: (getattr(cupy.ndarray, n).__doc__ or "").split("\\n")[0]
                    for n in dir(cupy.ndarray)}
print(json.dumps(found))
"""


@cache
def _installed() -> Distribution | None:
    return next((d for d in distributions() if (d.name or "").startswith("cupy-cuda")), None)


def version() -> str:
    """The version of the installed CuPy, or of the one that the stand-in was written after."""
    found = _installed()
    return "14.2.0" if found is None else found.version


@cache
def _known() -> dict[str, dict]:
    """By module, and for "ndarray": the names, with what is known about their arguments."""
    found = _installed()
    if found is None:
        return {}
    path = cache_folder() / f"{found.name}-{found.version}-{sys.version_info.minor}.json"
    if not path.exists():
        # -E: PYTHONPATH may have the stand-in in CuPy's place (programs/gpu_run.py --stand-in)
        command = [sys.executable, "-E", "-W", "ignore", "-c", _QUESTION, *MODULES]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(answer)
        unfinished.replace(path)
    return json.loads(path.read_text())


def check(module: str, name: str) -> None:
    """An AttributeError where the real module has no such name."""
    known = _known().get(module)
    if known is not None and name not in known:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")


def check_method(name: str) -> None:
    """An AttributeError where a real cupy.ndarray has no such attribute."""
    known = _known().get("ndarray")
    if known is not None and name not in known:
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")


@cache
def signature(module: str, name: str) -> inspect.Signature | None:
    """What a real function takes, if that can be known."""
    parameters = _known().get(module, {}).get(name)
    if parameters is None:
        return None
    return inspect.Signature(
        [
            inspect.Parameter(n, kind, default=None if optional else inspect.Parameter.empty)
            for n, kind, optional in parameters
        ]
    )


def check_keywords(method: str, given: dict[str, Any]) -> None:
    """A TypeError for keywords that a real cupy.ndarray's method does not take."""
    taken = _keywords(method) if given else None
    if taken is not None and given.keys() - taken:
        wrong = sorted(given.keys() - taken)[0]
        raise TypeError(f"{method}() got an unexpected keyword argument {wrong!r}")


@cache
def _keywords(method: str) -> frozenset[str] | None:
    """Read from the first line of its documentation: _ndarray_base.sum(self, axis=None, ...)."""
    line = _known().get("ndarray", {}).get(method, "")
    inside = re.match(rf"\w+\.{method}\((.*?)\)(\s*->.*)?$", line)
    if inside is None or "**" in inside[1]:
        return None
    words = [p.partition("=")[0].split() for p in inside[1].replace("*", "").split(",")]
    return frozenset(w[-1] for w in words if w) - {"self"}

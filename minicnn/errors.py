"""The errors minicnn raises, and the module path each one carries; nothing here knows an array."""

import threading
from typing import Any


class _Scope(threading.local):
    """The nn.Modules whose forward is running in this thread, outermost first."""

    def __init__(self) -> None:
        self.modules: list[Any] = []


scope = _Scope()


def module_path() -> str:
    """Where we are, as `LeNet5.c3`: the outermost module's class, then attribute names."""
    if not scope.modules:
        return ""
    names = [type(scope.modules[0]).__name__]
    for parent, child in zip(scope.modules, scope.modules[1:], strict=False):
        paths = [name for name, module in parent.named_modules() if module is child]
        names.append(paths[0] if paths else type(child).__name__)
    return ".".join(names)


class MinicnnError(RuntimeError):
    """Base of all errors here.  A RuntimeError, because that is what PyTorch's users catch."""

    def __init__(self, message: str) -> None:
        path = module_path()
        super().__init__(f"{message}  [{path}]" if path else message)


class ShapeError(MinicnnError, ValueError):
    """Shapes that do not fit each other, or an operation."""


class DtypeError(MinicnnError, TypeError):
    """An element type that an operation refuses, or two that must be the same."""


class ArgumentError(MinicnnError, ValueError):
    """An argument whose value an operation refuses."""


class DeviceError(MinicnnError):
    """A device that is not there, or arrays on different devices."""


class GradientError(MinicnnError):
    """A backward pass that cannot be done, or an op's backward that returned something wrong."""


class InPlaceError(GradientError):
    """A change in place that would make a gradient wrong."""


class AnomalyError(GradientError):
    """A NaN or infinity found by `autograd.set_detect_anomaly`."""


class StateDictError(MinicnnError):
    """Saved weights that do not fit the model: missing, unexpected or mis-shaped keys."""


class DataError(MinicnnError, ValueError):
    """A data or weights file that is missing, damaged, or not what it should be."""


PACKAGES = {"PIL": "pillow"} | {
    name: name for name in "llvmlite matplotlib numba numpy rich safetensors typer".split()
}


def missing(error: ImportError) -> str | None:
    """What to install for an import that failed, in one line; None if it is none of ours."""
    package = PACKAGES.get((error.name or "").partition(".")[0])
    why = " ".join(str(error).split())
    return package and f"the package {package} cannot be imported ({why}): pip install {package}"

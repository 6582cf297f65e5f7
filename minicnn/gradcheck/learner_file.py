"""`minicnn gradcheck FILE.py:NAME`: the functions in a learner's file, checked.

A target `FILE.py:NAME` is one of

- a function NAME(*inputs) with its gradient NAME_backward(g, *inputs) beside it; where NAME ends in
  _forward, that is replaced by _backward;
- a class with forward(self, *inputs) and backward(self, g), which returns the gradients of the
  inputs.  An array attribute W for which backward leaves a dW is a parameter, and is checked too;
  zero_grad() is called first where there is one;
- a class with static forward(ctx, *inputs) and backward(ctx, g), as torch.autograd.Function has;
- one of this engine's Functions.

The inputs come from NAME_inputs(rng), which returns a list of arrays (and of whatever else forward
takes); without it, and where NAME is a known operation or one is named, from that.  A class that
takes arguments is made by NAME_new(rng).
"""

import inspect
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Context, Function
from ..errors import ArgumentError, DataError
from . import bugs
from .check import check_backward
from .report import Report
from .tensors import gradcheck, leaf


def check_file(target: str, op: str | None = None, seed: int = 0) -> Report:
    """Checks `FILE.py:NAME`; see above for what the file provides."""
    path, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise ArgumentError(f"{target!r} is not FILE.py:NAME, as in homework.py:conv2d")
    module = _loaded(Path(path))
    learner = module.get(name)
    if not callable(learner):
        own = [n for n, f in module.items() if callable(f) and not n.startswith("_")]
        own = [n for n in own if not getattr(module[n], "__module__", "").startswith("numpy")]
        known = ", ".join(own[:8]) or "none"
        raise ArgumentError(f"{path} has no function or class {name!r}; it has {known}")
    rng, base = np.random.default_rng(seed), name.removesuffix("_forward")
    op = op or (base if base in {*bugs.OPERATIONS, *bugs.ALIASES} else None)
    inputs, params = _inputs(module, path, name, op, rng)
    if isinstance(learner, type) and issubclass(learner, Function):
        return gradcheck(learner.apply, [leaf(x) for x in inputs], raise_exception=False, seed=seed)
    forward, backward, inputs = _pair(module, path, name, inputs, params, rng)
    how: dict[str, Any] = {"op": op, "params": params} if op else {}
    return check_backward(forward, backward, inputs, seed=seed, **how)


def _loaded(path: Path) -> dict[str, Any]:
    """The names that a learner's file defines; what is wrong with it is said with its line."""
    try:
        source = path.read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), vars(module))  # the user asks for it to be run
    except SyntaxError as error:
        raise DataError(f"{path}, line {error.lineno}: {error.msg}: {error.text or ''}") from None
    except Exception as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise DataError(f"{path}{where}: {type(error).__name__}: {error}") from error
    return vars(module)


def _inputs(
    module: dict[str, Any], path: str, name: str, op: str | None, rng: np.random.Generator
) -> tuple[list[Any], dict[str, Any]]:
    """The inputs to check with, and the params of the operation."""
    for known in (f"{name}_inputs", f"{name.removesuffix('_forward')}_inputs"):
        if known in module:
            return list(module[known](rng)), {}
    if op is None:
        raise ArgumentError(
            f"{path}: which inputs? define {name}_inputs(rng), which returns a list of arrays, or "
            f"name a known operation with --op"
        )
    return bugs.operation(op).sample(rng)


def _pair(
    module: dict[str, Any], path: str, name: str, inputs: list[Any], params: dict[str, Any],
    rng: np.random.Generator,
) -> tuple[Callable, Callable, list[Any]]:  # fmt: skip
    """Forward and backward as check_backward takes them, and the inputs, parameters included."""
    learner = module[name]
    if isinstance(learner, type):
        forward = getattr(learner, "forward", None)
        if forward is None or getattr(learner, "backward", None) is None:
            raise ArgumentError(f"{path}: class {name} needs a forward and a backward")
        if next(iter(inspect.signature(forward).parameters), "") == "ctx":
            return (*_with_context(learner), inputs)
        new = module.get(f"{name}_new")
        return _of_object(new(rng) if new else learner(), inputs)
    other = f"{name.removesuffix('_forward')}_backward"
    if other not in module:
        raise ArgumentError(f"{path}: {name} has no gradient beside it; define {other}(g, *inputs)")
    return _taking(learner, params), _taking(module[other], params), inputs


def _taking(f: Callable, params: dict[str, Any]) -> Callable:
    """f with those of the params that it takes; its argument names stay visible."""
    parameters = inspect.signature(f).parameters
    given = {n: v for n, v in params.items() if n in parameters}
    if not given:
        return f

    def call(*args: Any) -> Any:
        return f(*args, **given)

    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p for n, p in parameters.items() if n not in given]
    )
    return call


def _with_context(function: Any) -> tuple[Callable, Callable]:
    def forward(*inputs: Any) -> Any:
        return function.forward(Context(function, (True,) * len(inputs)), *inputs)

    def backward(g: Any, *inputs: Any) -> Any:
        ctx = Context(function, (True,) * len(inputs))
        function.forward(ctx, *inputs)
        return function.backward(ctx, g)

    return forward, backward


def _of_object(layer: Any, inputs: list[Any]) -> tuple[Callable, Callable, list[Any]]:
    """A layer with a state; its parameters become further inputs."""
    count = len(inputs)
    y = layer.forward(*inputs)
    layer.backward(np.ones_like(y))
    names = [
        n for n, v in vars(layer).items()
        if isinstance(v, np.ndarray) and v.dtype.kind == "f" and hasattr(layer, f"d{n}")
    ]  # fmt: skip

    def forward(*arrays: Any) -> Any:
        vars(layer).update(zip(names, arrays[count:], strict=True))
        return layer.forward(*arrays[:count])

    def backward(g: Any, *arrays: Any) -> Any:
        forward(*arrays)
        if hasattr(layer, "zero_grad"):
            layer.zero_grad()
        dx = layer.backward(g)
        listed = dx if isinstance(dx, tuple) else (dx,)
        return (*listed, *(getattr(layer, f"d{n}") for n in names))

    parameters = [*list(inspect.signature(layer.forward).parameters)[:count], *names]
    kind = inspect.Parameter.POSITIONAL_ONLY
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, kind) for n in parameters]
    )
    return forward, backward, [*inputs, *(getattr(layer, n).astype(float) for n in names)]

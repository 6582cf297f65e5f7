"""gradcheck, check_module, check_model, check_op: the check for this engine's tensors and ops."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Function, Tensor, grad, no_grad
from ..errors import ArgumentError, DeviceError, DtypeError, GradientError
from .check import examine, failed
from .report import Report

Array = Any  # numpy.ndarray


class _Graph:
    """fn of tensors as a forward and a backward of arrays; the tensors hold them meanwhile."""

    def __init__(self, fn: Callable[..., Any], inputs: list[Any], wanted: list[Tensor]) -> None:
        self.fn, self.inputs, self.wanted = fn, inputs, wanted
        self.kept = [x.array for x in wanted]
        if not all(isinstance(a, np.ndarray) for a in self.kept):
            raise DeviceError(
                "gradcheck: compares numbers on the CPU; give it tensors and a module there, .cpu()"
            )
        every = _listed(fn(*inputs))
        self.checked = [i for i, y in enumerate(every) if y.requires_grad]

    def forward(self, *arrays: Array) -> Any:
        """The output that has a gradient, or a tuple of several."""
        with self._holding(arrays), no_grad():
            every = _listed(self.fn(*self.inputs))
            outputs = tuple(every[i].array for i in self.checked)
            return outputs if len(outputs) > 1 else outputs[0]

    def backward(self, g: Any, *arrays: Array) -> tuple[Array | None, ...]:
        """The engine's gradients; None for an input that no output depends on in the graph."""
        with self._holding(arrays):
            every = _listed(self.fn(*self.inputs))
            outputs = [every[i] for i in self.checked]
            gradients = grad(outputs, self.wanted, g, allow_unused=True)
        return tuple(None if g is None else g.array for g in gradients)

    @contextmanager
    def _holding(self, arrays: Sequence[Array]) -> Iterator[None]:
        """The tensors hold these arrays; afterwards their own again, untouched."""
        try:
            for x, a in zip(self.wanted, arrays, strict=True):
                x.array = a
            yield
        finally:
            for x, kept in zip(self.wanted, self.kept, strict=True):
                x.array = kept


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    *,
    seed: int = 0,
) -> Report:
    """Checks fn's gradients against differences, in float64, and says what is wrong with them.

    Parameters
    ----------
    fn
        Takes the inputs, returns a tensor or a tuple of them.
    inputs
        Those that require grad are checked.  Leaves of float32 are checked as float64, where fn
        lets them; others must be float64.
    eps
        The step of the differences; by default chosen for each entry.
    atol, rtol
        An entry is right if |analytic - numeric| <= atol + rtol |numeric|, beside the error bar of
        the differences, which alone decides by default.
    raise_exception
        Raise GradientError, with the worst entry and the diagnosis, where a gradient is wrong.
    seed
        Of the random upstream gradient.  It is random because a gradient of ones cannot see a
        transposed one, among other mistakes.

    Returns
    -------
    Report
        True if all is right.
    """
    inputs = _listed(inputs)
    wanted = _wanted(inputs)
    names = [f"input {next(i for i, x in enumerate(inputs) if x is w)}" for w in wanted]
    report = _examined(fn, inputs, wanted, names, seed, eps=eps, atol=atol, rtol=rtol)
    if raise_exception and not report.ok:
        raise GradientError(f"gradcheck: {report.summary()}{_first(report)}")
    return report


def _first(report: Report) -> str:
    """The most likely mistake, to stand at the end of an error message."""
    d = report.diagnosis[0] if report.diagnosis else None
    return f"  [{d.code} {d.title}: {d.evidence}]" if d else ""


def _examined(
    fn: Callable, inputs: list, wanted: list[Tensor], names: list[str], seed: int, **how: Any
) -> Report:
    graph = _Graph(fn, inputs, wanted)
    if not graph.checked:
        return failed("no output of fn has a gradient; was the graph cut?", "GB003")
    arrays, places = [x.array for x in wanted], list(range(len(wanted)))
    return examine(graph.forward, graph.backward, arrays, places, names, None, seed, **how)


def _listed(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _wanted(inputs: list[Any]) -> list[Tensor]:
    """The inputs to check, each once: those that require grad."""
    wanted = list({id(x): x for x in inputs if isinstance(x, Tensor) and x.requires_grad}.values())
    if not wanted:
        raise GradientError("gradcheck: no input requires grad, so there is nothing to check")
    for x in wanted:
        if x.dtype != np.float64 and not x.is_leaf:
            raise DtypeError(f"gradcheck: {x.dtype} in a tensor that is no leaf; use x.double()")
    return wanted


def check_module(
    module: Any, input: Any, *, loss: Callable[..., Any] | None = None, seed: int = 0,
    entries: int = 1000,
) -> Report:  # fmt: skip
    """Checks the gradients of a module's input and of every parameter, in float64.

    Parameters
    ----------
    module
        An nn.Module; its parameters and buffers are as they were afterwards.
    input
        A tensor, or a tuple of those that forward takes; floating ones are checked too.
    loss
        loss(output) gives what is differentiated; by default the output, with a random upstream
        gradient.
    seed
        Of all random choices.
    entries
        So many entries of each gradient are compared, a random sample of larger ones.
    """
    given = list(input) if isinstance(input, (tuple, list)) else [input]
    with _in_float64(module, given) as (tensors, notes):
        floats = [x for x in tensors if isinstance(x, Tensor) and x.dtype.kind == "f"]
        parameters = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        names = ["input" if len(floats) == 1 else f"input {k}" for k in range(len(floats))]
        names += [n for n, _ in parameters]
        wanted = [*floats, *(p for _, p in parameters)]
        if not wanted:
            raise ArgumentError("check_module: neither the input nor a parameter takes a gradient")

        def fn(*_: Any) -> Any:
            output = module(*tensors)
            return output if loss is None else loss(output)

        report = _examined(fn, [], wanted, names, seed, entries=entries)
    report.title = f"gradient check of {type(module).__name__}"
    report.notes += notes
    return report


@contextmanager
def _in_float64(module: Any, given: list[Any]) -> Iterator[tuple[list[Any], list[str]]]:
    """The module's arrays and the inputs in float64, dropout off; all put back afterwards."""
    tensors = [*(p for _, p in module.named_parameters()), *(b for _, b in module.named_buffers())]
    kept = [(t, t.array, t.grad) for t in tensors]
    dropouts = [
        m for m in module.modules() if type(m).__name__.startswith("Dropout") and m.training
    ]
    inputs = []
    for x in given:
        floating = isinstance(x, Tensor) and x.dtype.kind == "f"
        inputs.append(Tensor(x.array.astype(np.float64)).requires_grad_() if floating else x)
    try:
        for m in dropouts:
            m.training = False
        for t in tensors:
            t.array = t.array.astype(np.float64) if t.dtype.kind == "f" else t.array.copy()
        yield inputs, ["dropout was switched off for the check"] if dropouts else []
    finally:
        for t, array, gradient in kept:
            t.array, t.grad = array, gradient
        for m in dropouts:
            m.training = True


def check_model(
    model: Any, input: Any = None, loss: Callable[..., Any] | None = None, *, seed: int = 0,
    entries: int = 24,
) -> Report:  # fmt: skip
    """Checks every parameter of a network by samples, and prints a table by layer.

    Parameters
    ----------
    model
        An nn.Module.
    input
        What it takes; by default three random inputs of its `input_shape`.
    loss
        loss(output) gives what is differentiated; by default the output itself.
    seed
        Of all random choices.
    entries
        So many entries of each gradient are compared.
    """
    if input is None:
        shape = getattr(model, "input_shape", None)
        if shape is None:
            raise ArgumentError(
                f"check_model: {type(model).__name__} has no input_shape; give input"
            )
        rng = np.random.default_rng(seed)
        input = Tensor(rng.standard_normal((3, *shape)))
    report = check_module(model, input, loss=loss, seed=seed, entries=entries)
    print(report)
    return report


# ---- the engine's ops ------------------------------------------------------------------------

# The engine's ops that a known operation has under another name.
OTHER_NAMES = {
    "softmaxcrossentropy": "crossentropy", "im2col": "unfold", "col2im": "fold",
    "transpose": "permute", "batchnorm2d": "batchnorm",
}  # fmt: skip


def check_op(op: str, seed: int = 0) -> tuple[bool, str]:
    """Checks one of the engine's ops on all its samples; whether all are right, and a table."""
    from ..ops import OPS

    plain = re.sub("_", "", op).lower()
    wanted = OTHER_NAMES.get(plain, plain)
    function = next((f for name, f in OPS.items() if name.lower() == wanted), None)
    if function is None:
        raise ArgumentError(f"--op {op} is none of the engine's ops: {', '.join(OPS)}")
    lines: list[str] = []
    ok, count = True, 0
    for sample in function.samples(np.random.default_rng(seed)):  # type: ignore[attr-defined]
        if sample.raises is None:
            report = _of_sample(function, sample, seed)
            if report is not None:
                count, ok = count + 1, ok and report.ok
                lines += _line(count, report)
    head = f"{function.__name__}: {count} samples, {'all right' if ok else 'WRONG'}"
    return ok, "\n".join([head, *lines])


def leaf(x: Any) -> Any:
    """A tensor of an array, which requires grad if it can; anything else as it is."""
    if not isinstance(x, np.ndarray):
        return x
    return Tensor(x, requires_grad=x.dtype.kind == "f")


def _of_sample(op: type[Function], sample: Any, seed: int) -> Report | None:
    """None for a sample that has no gradient."""
    inputs = [leaf(a.astype(float) if _floats(a) else a) for a in sample.args]
    if not any(y.requires_grad for y in _listed(op.apply(*inputs, **sample.kwargs))):
        return None
    return gradcheck(
        lambda *x: op.apply(*x, **sample.kwargs), inputs, raise_exception=False, seed=seed
    )


def _floats(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _line(number: int, report: Report) -> list[str]:
    shapes = " ".join(str(r.shape) for r in report.inputs)
    if not report.ok:
        return [f"  {number:2}  {shapes}", str(report)]
    error = max((r.error for r in report.inputs), default=0.0)
    kinks = sum(int(r.kinks.sum()) for r in report.inputs)
    on_kinks = f", {kinks} entries on kinks" if kinks else ""
    return [f"  {number:2}  {shapes}  right, error {error:.0e}{on_kinks}"]

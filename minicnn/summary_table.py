"""summary: a model's layers as a table, with what each costs, found by running it once."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .arrays import is_floating
from .autograd import Tensor, no_grad
from .creation import zeros
from .errors import ArgumentError
from .nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Linear,
    MaxPool2d,
    Module,
    Subsample2d,
)
from .random import default_generator
from .shapes import pair


def summary(
    model: Module,
    input_size: Any = None,
    *,
    batch_size: int | None = None,
    dtype: Any = None,
    device: Any = None,
) -> "Summary":
    """Prints a table of the model's layers in the order of their calls, and returns its figures.

    The model runs once on zeros, in evaluation mode and without gradients; it is left as it was.
    A layer that is called twice has two rows, its parameters count once.  In a notebook the table
    is displayed in HTML.

    Parameters
    ----------
    input_size
        One input's shape, as (1, 28, 28) or (784,), for torchsummary's users; or a batch's, as
        (16, 1, 28, 28) or (16, 784), for torchinfo's.  The model's own `input_shape` if left out.
    batch_size
        With it, input_size is one input's, whatever its dimensions; 1 if neither says it.
    dtype, device
        The input's; those of the model's parameters if left out.

    Returns
    -------
    Summary
        Its text is one line, so that `print(summary(...))` does not print the table twice:
        torchsummary prints and returns None, torchinfo's result prints as the table again.

    Raises
    ------
    ArgumentError
        If input_size is missing or no shape, or batch_size no number of inputs.
    Exception
        What the model raises.  The table up to the layer that failed is printed before.

    Notes
    -----
    Connections are counted as in LeCun, Bottou, Bengio, Haffner 1998: for every output unit its
    inputs and its bias, whether they have parameters or not, and padding as if it were input.
    Multiply-adds are products of an input and a weight; biases, pooling's sums and activations are
    none.  Both are of one input, and of layers only: what forward computes by functions is not
    seen.  `?` stands for a module with parameters that is not one of minicnn's layers.  Memory is
    that of the whole batch, views counted as if they were copies.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expected a Module, not a {type(model).__name__}")
    shape = _input_shape(model, input_size, batch_size)
    like = next((p for p in model.parameters() if is_floating(p.dtype)), zeros(1))
    x = zeros(shape, dtype=dtype or like.dtype, device=device or like.device)
    trace = _Trace(shape[0])
    with _left_as_found(model), _watched(model, trace), no_grad():
        try:
            model(x)
        except Exception as error:
            _show(_summarised(model, x, trace, error).table)
            raise
    result = _summarised(model, x, trace)
    _show(result.table)
    return result


def _input_shape(model: Module, size: Any, batch_size: int | None) -> tuple[int, ...]:
    """The batch's shape."""
    size = getattr(model, "input_shape", None) if size is None else size
    if size is None:
        raise ArgumentError("summary: input_size is missing; give an input's shape, as (1, 28, 28)")
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ArgumentError(
            f"summary: input_size must be a shape of whole numbers, as (1, 28, 28), not {size!r}"
        )
    if batch_size is not None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(
                f"summary: batch_size must be a whole number from 1 up, not {batch_size!r}"
            )
        return (batch_size, *shape)
    return shape if len(shape) in (2, 4) else (1, *shape)


def _show(table: "Table") -> None:
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(table)
    else:
        print(table)


# ---- what is found out -------------------------------------------------------------------------


@dataclass
class Row:
    """One call of a layer.

    Attributes
    ----------
    name, type
        Path in the model ("" for the model itself), and class.
    input_shape, output_shape
        With the batch; None where there is no tensor.
    parameters
        Elements of parameters that no earlier row has counted.
    shared
        Whether all of its parameters were counted before.
    connections, mult_adds
        Of one input; None if unknown.
    output_bytes
        Of the whole batch.
    failed
        Whether the call raised what ended the run.
    """

    name: str
    type: str
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None = None
    parameters: int = 0
    shared: bool = False
    connections: int | None = 0
    mult_adds: int | None = 0
    output_bytes: int = 0
    failed: bool = False


@dataclass
class Summary:
    """What `summary` found: a Row per call of a layer, and totals over the model.

    Attributes
    ----------
    rows
        In the order of the calls.  A module that holds others has a row only if it holds
        parameters itself.
    total_params, trainable_params
        Elements of all parameters, those of layers that were not called included.
    total_connections, total_mult_adds
        Of one input, without what is unknown.
    input_bytes, output_bytes, param_bytes
        Memory of the input, of all rows' outputs, and of the parameters.
    not_called
        Paths of modules with parameters of their own that forward did not call.
    table
        The whole table; it prints as text, and is HTML in a notebook.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    total_params: int
    trainable_params: int
    input_bytes: int
    param_bytes: int
    not_called: list[str]
    error: str = ""
    total_connections: int = field(init=False)
    total_mult_adds: int = field(init=False)
    output_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.total_connections = sum(row.connections or 0 for row in self.rows)
        self.total_mult_adds = sum(row.mult_adds or 0 for row in self.rows)
        self.output_bytes = sum(row.output_bytes for row in self.rows)

    def __str__(self) -> str:
        return (
            f"{self.model}: {self.total_params:,} parameters, {self.total_mult_adds:,} "
            f"multiply-adds for an input {self.input_shape[1:]}"
        )

    __repr__ = __str__

    @property
    def table(self) -> "Table":
        return Table(list(map(_cells, self.rows)), self._footer())

    def _footer(self) -> list[str]:
        frozen = self.total_params - self.trainable_params
        unknown = any(row.connections is None for row in self.rows)
        lines = [
            f"Total params: {self.total_params:,}",
            f"Trainable params: {self.trainable_params:,}",
            f"Non-trainable params: {frozen:,}",
            f"Connections: {self.total_connections:,}, mult-adds: {self.total_mult_adds:,} "
            f"(one input{'; without ?' if unknown else ''})",
            f"Memory: input {_size(self.input_bytes)}, outputs {_size(self.output_bytes)} "
            f"(batch of {self.input_shape[0]}), params {_size(self.param_bytes)}",
        ]
        if self.error:
            return [*lines, f"Stopped at {self.error}"]
        return [*lines, *(f"Not called: {name}" for name in self.not_called)]


def _summarised(
    model: Module, x: Tensor, trace: "_Trace", error: Exception | None = None
) -> Summary:
    """The rows and totals of a run, of one that ended in an error too."""
    rows = [call.row for call in trace.calls if call.has_row()]
    message = ""
    if error is not None and trace.failed is not None:
        failed = trace.failed.row
        failed.failed = True
        rows = [*(row for row in rows if row is not failed), failed]  # the last line of the table
        where = f"{failed.name} ({failed.type})" if failed.name else failed.type
        message = f"{where}, which got {failed.input_shape}: {error}"
    parameters = list(model.parameters())
    called = {id(call.module) for call in trace.calls}
    idle = [
        name
        for name, module in model.named_modules()
        if id(module) not in called and _has_own_parameters(module)
    ]
    return Summary(
        type(model).__name__,
        x.shape,
        rows,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        x.array.nbytes,
        sum(p.array.nbytes for p in parameters),
        idle,
        message,
    )


def _has_own_parameters(module: Module) -> bool:
    return bool(list(module.parameters(recurse=False)))


# ---- watching a run ----------------------------------------------------------------------------


class _Call(NamedTuple):
    module: Module
    row: Row

    def has_row(self) -> bool:
        return not list(self.module.children()) or _has_own_parameters(self.module)


class _Trace:
    """The calls of a run so far, in the order in which they began."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.calls: list[_Call] = []
        self.counted: set[int] = set()  # ids of parameters
        self.failed: _Call | None = None  # the innermost one that raised
        self.error: Exception | None = None

    def around(self, name: str, module: Module, forward: Callable) -> Callable:
        """The module's forward, with every call written down."""

        def watching(*args: Any, **kwargs: Any) -> Any:
            inputs = _tensors((*args, *kwargs.values()))
            row = Row(name, type(module).__name__, inputs[0].shape if inputs else None)
            self._count_parameters(module, row)
            call = _Call(module, row)
            self.calls.append(call)
            try:
                output = forward(*args, **kwargs)
            except Exception as error:
                if self.error is not error:  # else a module inside has raised it
                    self.failed, self.error = call, error
                raise
            _fill_in(row, module, _tensors(output), self.batch_size)
            return output

        return watching

    def _count_parameters(self, module: Module, row: Row) -> None:
        own = list(module.parameters(recurse=False))
        new = [p for p in own if id(p) not in self.counted]
        row.parameters, row.shared = sum(p.numel() for p in new), bool(own and not new)
        self.counted.update(map(id, new))


def _tensors(values: Any) -> list[Tensor]:
    """The tensors of an output, or of arguments."""
    values = values if isinstance(values, (tuple, list)) else (values,)
    return [v for v in values if isinstance(v, Tensor)]


@contextmanager
def _watched(model: Module, trace: _Trace) -> Iterator[None]:
    """Every module's forward writes its calls into the trace; afterwards it is its own again.

    A forward hook would not do: it is not called when forward raises.
    """
    modules = list(model.named_modules())
    before = [vars(module).get("forward") for _, module in modules]
    try:
        for name, module in modules:
            module.forward = trace.around(name, module, module.forward)  # type: ignore[method-assign]
        yield
    finally:
        for (_, module), own in zip(modules, before, strict=True):
            if "forward" in vars(module):
                del module.forward
            if own is not None:
                module.forward = own  # type: ignore[method-assign]


@contextmanager
def _left_as_found(model: Module) -> Iterator[None]:
    """Evaluation mode inside; each module's own mode and the random numbers' state afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    state = default_generator.get_state()  # F.dropout(x) draws in evaluation mode too
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
        default_generator.set_state(state)


# ---- what a layer costs ------------------------------------------------------------------------


def _fill_in(row: Row, module: Module, outputs: list[Tensor], batch_size: int) -> None:
    """What is known only after the call."""
    if outputs:
        row.output_shape = outputs[0].shape
        row.output_bytes = sum(y.array.nbytes for y in outputs)
    costs = _of_one_unit(module)
    if costs is not None:
        inputs, biases, products = costs
        units = outputs[0].numel() // batch_size  # of one input
        row.connections, row.mult_adds = (inputs + biases) * units, products * units
    elif isinstance(module, AdaptiveAvgPool2d) and row.input_shape is not None:
        row.connections = _covered(row.input_shape, outputs[0].shape)
    elif isinstance(module, ConvTranspose2d) and row.input_shape is not None:
        units, outs = (math.prod(s) // batch_size for s in (row.input_shape, outputs[0].shape))
        row.mult_adds = units * math.prod(module.weight.shape[1:])  # to all that a unit feeds
        row.connections = row.mult_adds + (outs if module.bias is not None else 0)
    elif _has_own_parameters(module):
        row.connections = row.mult_adds = None


def _of_one_unit(layer: Module) -> tuple[int, int, int] | None:
    """(inputs, biases, products of an input and a weight) of one output unit of a layer."""
    if isinstance(layer, (Conv2d, Linear)):
        fan_in = math.prod(layer.weight.shape[1:])
        return fan_in, int(layer.bias is not None), fan_in
    if isinstance(layer, Subsample2d):  # the coefficient multiplies the sum
        return math.prod(layer.kernel_size), 1, 1
    if isinstance(layer, (AvgPool2d, MaxPool2d)):
        return math.prod(pair("summary", "kernel_size", layer.kernel_size)), 0, 0
    if isinstance(layer, (BatchNorm1d, BatchNorm2d)):  # in evaluation a factor and a shift
        return 1, 1, 1
    return None


def _covered(size: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Connections of adaptive pooling, (N, C, H, W) -> (N, C, oh, ow), whose cells may overlap."""
    rows, columns = (
        sum(-((i + 1) * n // -o) - i * n // o for i in range(o))
        for n, o in zip(size[-2:], out[-2:], strict=True)
    )
    return out[-3] * rows * columns


# ---- how it looks ------------------------------------------------------------------------------

WIDTH = 80  # columns of a terminal
HEADINGS = ("Layer", "Output", "Params", "Connections", "Mult-adds", "Memory")


class Table:
    """Columns of text and lines below them: `print` shows text, a notebook HTML."""

    def __init__(self, rows: list[tuple[str, ...]], footer: list[str]) -> None:
        self.rows, self.footer = rows, footer

    def __str__(self) -> str:
        every = [HEADINGS, *self.rows]
        widths = [max(map(len, column)) for column in zip(*every, strict=True)]
        gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
        lines = [
            gap.join(
                cell.ljust(w) if i < 2 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in every
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self.footer])

    def _repr_html_(self) -> str:
        from html import escape

        align = ["left", "left", *["right"] * (len(HEADINGS) - 2)]

        def line(tag: str, cells: tuple[str, ...]) -> str:
            return "".join(
                f'<{tag} style="text-align: {a}">{escape(cell)}</{tag}>'
                for a, cell in zip(align, cells, strict=True)
            )

        body = "".join(f"<tr>{line('td', row)}</tr>" for row in self.rows)
        below = "<br>".join(map(escape, self.footer))
        head = f"<thead><tr>{line('th', HEADINGS)}</tr></thead>"
        return f"<table>{head}<tbody>{body}</tbody></table><p>{below}</p>"


def _cells(row: Row) -> tuple[str, ...]:
    shape = "-" if row.output_shape is None else "x".join(map(str, row.output_shape))
    return (
        f"{row.name} {row.type}".strip(),
        "failed" if row.failed else shape,
        "shared" if row.shared else _count(row.parameters),
        _count(row.connections),
        _count(row.mult_adds),
        _size(row.output_bytes),
    )


def _count(n: int | None) -> str:
    """A count; `-` for none, `?` for unknown."""
    return "?" if n is None else f"{n:,}" if n else "-"


def _size(n: float) -> str:
    """Bytes with a unit, of 1024 each, and about three digits."""
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while n >= 1000:
        n, unit = n / 1024, next(units)
    return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"

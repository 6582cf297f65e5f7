"""summary: a model's layers as a table, with what each costs, found by running it once."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .arrays import is_floating
from .autograd import Tensor, no_grad
from .creation import zeros
from .errors import ArgumentError
from .fusion import waits
from .kernels import Call
from .nn import AdaptiveAvgPool2d, BatchNorm1d, BatchNorm2d, ConvTranspose2d, MaxPool2d, Module
from .random import default_generator
from .shapes import Window, pair


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
    none.  Both are of one input.  What forward computes by functions is counted in the row of its
    module, if that has one: a layer of your own that calls `F.conv2d`.  `?` stands for a module
    with parameters in which minicnn sees no convolution, linear layer or pooling that uses them.
    Memory is that of the whole batch, views counted as if they were copies.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expected a Module, not a {type(model).__name__}")
    shape = _input_shape(model, input_size, batch_size)
    like = next((p for p in model.parameters() if is_floating(p.dtype)), zeros(1))
    x = zeros(shape, dtype=dtype or like.dtype, device=device or like.device)
    trace = _Trace(model, x)
    try:
        trace.run()
    finally:
        result = trace.summary()
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
    total_connections = property(lambda self: sum(row.connections or 0 for row in self.rows))
    total_mult_adds = property(lambda self: sum(row.mult_adds or 0 for row in self.rows))
    output_bytes = property(lambda self: sum(row.output_bytes for row in self.rows))

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


# ---- watching a run ----------------------------------------------------------------------------


class _Trace:
    """A run of a model: the calls of its layers so far, in the order in which they began."""

    def __init__(self, model: Module, x: Tensor) -> None:
        self.model, self.x = model, x
        self.rows: list[Row] = []
        self.called: set[int] = set()  # ids of modules
        self.counted: set[int] = set()  # ids of parameters
        self.kernel_calls: list[tuple[Call, Sequence]] = []  # of the innermost module, and weights
        self.failed: Row | None = None  # of the innermost call that raised
        self.error: Exception | None = None

    def run(self) -> None:
        """Runs the model, with every module's forward writing its calls down.

        A forward hook would not do: it is not called when forward raises.
        """
        modules = [
            (name, module, module.training, vars(module).get("forward"))
            for name, module in self.model.named_modules()
        ]
        state = default_generator.get_state()  # F.dropout(x) draws in evaluation mode too
        waits.watch = lambda *call: self.kernel_calls.append(call)
        try:
            self.model.eval()
            for name, module, *_ in modules:
                module.forward = self._around(name, module, module.forward)  # type: ignore[method-assign]
            with no_grad():
                self.model(self.x)
            self.failed = None  # else of an error that forward itself has caught
        finally:
            waits.watch = None
            default_generator.set_state(state)
            for _, module, training, own in modules:
                module.training = training
                vars(module).pop("forward", None)
                if own is not None:
                    module.forward = own  # type: ignore[method-assign]

    def _around(self, name: str, module: Module, forward: Callable) -> Callable:
        """The module's forward, with every call written down."""

        def watching(*args: Any, **kwargs: Any) -> Any:
            inputs = _tensors((*args, *kwargs.values()))
            row = Row(name, type(module).__name__, inputs[0].shape if inputs else None)
            own = list(module.parameters(recurse=False))
            new = [p for p in own if id(p) not in self.counted]
            row.parameters, row.shared = sum(p.numel() for p in new), bool(own and not new)
            self.counted.update(map(id, new))
            self.called.add(id(module))
            if own or not list(module.children()):
                self.rows.append(row)
            of_caller, self.kernel_calls = self.kernel_calls, []
            try:
                output = forward(*args, **kwargs)
                self._fill_in(row, module, _tensors(output))
            except Exception as error:
                if self.error is not error:  # else a module inside has raised it
                    self.failed, self.error = row, error
                raise
            finally:
                self.kernel_calls = of_caller
            return output

        return watching

    def _fill_in(self, row: Row, module: Module, outputs: list[Tensor]) -> None:
        """What is known only after the call."""
        if outputs:
            row.output_shape = outputs[0].shape
            row.output_bytes = sum(y.array.nbytes for y in outputs)
        cost = outputs and _cost_of_layer(module, row.input_shape or (), outputs[0].shape)
        used = {id(w) for _, weights in self.kernel_calls for w in weights}
        if cost:
            costs = [cost]
        elif any(id(p) not in used for p in module.parameters(recurse=False)):
            row.connections = row.mult_adds = None
            return
        else:
            costs = [_cost(call) for call, _ in self.kernel_calls]
        row.connections, row.mult_adds = (
            sum(part) // len(self.x) for part in zip((0, 0), *costs, strict=True)
        )

    def summary(self) -> Summary:
        """The rows and totals, of a run that ended in an error too."""
        rows, message = self.rows, ""
        if (failed := self.failed) is not None:
            failed.failed = True
            rows = [*(row for row in rows if row is not failed), failed]  # the table's last line
            where = f"{failed.name} ({failed.type})" if failed.name else failed.type
            message = f"{where}, which got {failed.input_shape}: {self.error}"
        parameters = list(self.model.parameters())
        return Summary(
            type(self.model).__name__,
            self.x.shape,
            rows,
            sum(p.numel() for p in parameters),
            sum(p.numel() for p in parameters if p.requires_grad),
            self.x.array.nbytes,
            sum(p.array.nbytes for p in parameters),
            [
                name
                for name, module in self.model.named_modules()
                if id(module) not in self.called and list(module.parameters(recurse=False))
            ],
            message,
        )


def _tensors(values: Any) -> list[Tensor]:
    """The tensors of an output, or of arguments."""
    values = values if isinstance(values, (tuple, list)) else (values,)
    return [v for v in values if isinstance(v, Tensor)]


# ---- what a call costs -------------------------------------------------------------------------


def _cost(call: Call) -> tuple[int, int]:
    """(connections, multiply-adds) of a kernel call."""
    weight, *bias = call.shapes or (None,)
    products = 0 if weight is None else math.prod(weight[1:])  # of one output unit
    window = sum(math.prod(a.kernel_size) for a in call.arguments if isinstance(a, Window))
    inputs = max(products, window)  # a weight for each, or one or none for the whole window
    units = math.prod(call.shape)
    return (inputs + (bias not in ([], [None]))) * units, products * units


def _cost_of_layer(layer: Module, x: tuple[int, ...], y: tuple[int, ...]) -> Any:
    """The same of a layer that makes no kernel calls, from its input's and output's shapes."""
    units = math.prod(y)
    if isinstance(layer, (BatchNorm1d, BatchNorm2d)):  # in evaluation a factor and a shift
        return 2 * units, units
    if isinstance(layer, ConvTranspose2d):  # each input goes to all units that it feeds
        products = math.prod(x) * math.prod(layer.weight.shape[1:])
        return products + (units if layer.bias is not None else 0), products
    if isinstance(layer, AdaptiveAvgPool2d):  # whose cells may overlap
        rows, columns = (
            sum(-((i + 1) * n // -o) - i * n // o for i in range(o))
            for n, o in zip(x[-2:], y[-2:], strict=True)
        )
        return math.prod(y[:-2]) * rows * columns, 0
    if isinstance(layer, MaxPool2d) and layer.return_indices:
        return math.prod(pair("summary", "kernel_size", layer.kernel_size)) * units, 0
    return None


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

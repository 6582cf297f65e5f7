"""Small examples for the catalogue's pages, computed from an operation and its mutant."""

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np

from . import OPERATIONS
from .graph import CASES, Node, gradients, walk
from .operation import Mutant, Operation

# A row of an example: arrays with a label, side by side; or a line of text.
Row = list[tuple[str, Any]] | str

# The operation whose example shows a general mistake best.
HOMES = {"GB002": "mse_loss", "GB009": "relu", "GB012": "dropout", "GB014": "sigmoid",
         "GB018": "linear", "GB078": "add", "GB079": "mul", "GB080": "permute"}  # fmt: skip

# Which of the operation's examples shows a mistake best, where it is not the first that shows it.
EXAMPLES = {"GB059": 1, "GB061": 1, "GB062": 1, "GB064": 3, "GB067": 4, "GB068": 5}


def worked_example(code: str) -> tuple[str, list[Row]]:
    """What the example is about, and its rows."""
    if code == "GB010":
        return _float32_noise()
    if code == "GB031":
        return _at_the_kink()
    for case in CASES:
        if case.code == code:
            return _of_a_tape(case)
    op, mutant, inputs, params = _case(code)
    y, g = op.forward(*inputs, **params), _upstream(op.forward(*inputs, **params))
    usual = {k: p.default for k, p in inspect.signature(op.forward).parameters.items()}
    said = {k: v for k, v in params.items() if not isinstance(v, np.ndarray)}
    told = ", ".join(f"{k}={v}" for k, v in said.items() if v not in (usual[k], (usual[k],) * 2))
    given = [*zip(op.inputs, inputs, strict=True), ("g", g)]
    given[1:1] = [(k, v) for k, v in params.items() if isinstance(v, np.ndarray)]
    title = f"{op.name}({told})" if told else op.name
    show = _SPECIAL.get(code, _gradients)
    return f"{title}: {mutant.name}", [given, *show(op, mutant, inputs, params, y, g)]


def _case(code: str) -> tuple[Operation, Mutant, list[Any], dict[str, Any]]:
    """The first of the operations' examples on which a mutant with this code goes wrong."""
    home = HOMES.get(code)
    for op in [OPERATIONS[home]] if home else OPERATIONS.values():
        for mutant in (m for m in op.mutants if m.code == code):
            for inputs, params in op.examples[EXAMPLES.get(code, 0) :]:
                if code in _SPECIAL or _differs(op, mutant, inputs, params):
                    return op, mutant, inputs, params
    raise LookupError(f"{code}: no example of an operation shows it")


def _differs(op, mutant, inputs, params) -> bool:
    """Whether the mutant runs on this example and returns something else."""
    g = _upstream(op.forward(*inputs, **params))
    try:
        return bool(_wrong_ones(op, mutant, inputs, params, g))
    except (IndexError, ValueError):  # the example has not the shape that the mistake needs
        return False


def _wrong_ones(op, mutant, inputs, params, g) -> list[tuple[str, Any, Any]]:
    """(name, wrong, right) of each gradient that is not as it should be."""
    right = op.backward(g, *inputs, **params)
    wrong = mutant.backward(g.copy(), *(np.copy(x) for x in inputs), **params)
    named = zip(op.inputs, wrong, right, strict=True)
    return [(f"d{name}", a, n) for name, a, n in named if not _alike(a, n)]


def _alike(a: Any, n: Any) -> bool:
    return a is n or (a.shape == n.shape and np.allclose(a, n))


def _upstream(y: Any) -> Any:
    """Small whole numbers of both signs, as an upstream gradient that can be followed by hand."""
    return np.resize([2.0, -1, 1, 3, -2, 1, 4, -3], np.shape(y))


# ---- what the rows show ----------------------------------------------------------------------


def _gradients(op, mutant, inputs, params, y, g) -> list[Row]:
    wrong = _wrong_ones(op, mutant, inputs, params, g)
    return [row for name, a, n in wrong for row in _compared(name, a, n)]


def _compared(name: str, a: Any, n: Any) -> list[Row]:
    """The wrong gradient beside the right one, plane by plane."""
    if a.shape != n.shape:
        both: Row = [(f"{name}, right", n), (f"{name}, wrong", a)]
        return [both, f"shape {a.shape} instead of {n.shape}"]
    planes = zip(_planes(name, n), _planes(name, a), strict=True)
    return [[(f"{k}, right", right), (f"{k}, wrong", wrong)] for (k, right), (_, wrong) in planes]


def _shared(op, mutant, inputs, params, y, g) -> list[Row]:
    first = mutant.backward(g, *inputs, **params)
    before = [np.copy(a) for a in first]
    mutant.backward(10 * g, *inputs, **params)
    place = next(i for i, a in enumerate(first) if not _alike(a, before[i]))
    name = op.inputs[place]
    after = "the same, after backward(10 g)"
    return [[(f"d{name}", before[place]), (after, first[place])]]


def _mutated(op, mutant, inputs, params, y, g) -> list[Row]:
    given = [np.copy(x) for x in (*inputs, g)]
    mutant.backward(given[-1], *given[:-1], **params)
    named = zip((*op.inputs, "g"), (*inputs, g), given, strict=True)
    return [[(f"{k} before", x), (f"{k} afterwards", z)] for k, x, z in named if not _alike(z, x)]


def _truncated(op, mutant, inputs, params, y, g) -> list[Row]:
    inputs = [0.7 * x for x in inputs]  # between the whole numbers, where differences are taken
    moved = [np.copy(x) for x in inputs]
    moved[0].flat[0] += 0.01
    outputs = [f(*i, **params) for i in (inputs, moved) for f in (op.forward, mutant.forward)]
    return [
        "with 0.7 times these inputs:",
        [("y, right", outputs[0]), ("y, wrong", outputs[1])],
        f"and with the first entry of {op.inputs[0]} 0.01 larger:",
        [("y, right", outputs[2]), ("y, wrong: unmoved", outputs[3])],
    ]


def _repeated(op, mutant, inputs, params, y, g) -> list[Row]:
    twice = [mutant.forward(*inputs, **params) for _ in range(2)]
    return [[("y, first call", twice[0]), ("y, second call", twice[1])]]


def _dtypes(op, mutant, inputs, params, y, g) -> list[Row]:
    right = op.backward(g, *inputs, **params)
    wrong = mutant.backward(g, *inputs, **params)
    named = zip(op.inputs, wrong, right, strict=True)
    return [f"d{k}: {n.dtype} right, {a.dtype} wrong" for k, a, n in named if a.dtype != n.dtype]


def _outputs(op, mutant, inputs, params, y, g) -> list[Row]:
    wrong = mutant.forward(*inputs, **params)
    return [[(f"y of {op.name}", y), ("y of this forward", wrong)]]


_SPECIAL: dict[str, Callable[..., list[Row]]] = {
    "GB008": _shared, "GB009": _mutated, "GB011": _truncated, "GB012": _repeated,
    "GB013": _dtypes, "GB014": _outputs,
}  # fmt: skip


def _of_a_tape(case) -> tuple[str, list[Row]]:
    x, w = np.array([[1.0, -1, 2], [0.5, 2, -2]]), np.array([[1.0, 2, -1], [1, 0.5, 1]])
    g, carry = _upstream(case.right(Node(x), Node(w)).value), copy(case.walk)
    right = gradients(case.right, walk, g, x, w)
    wrong = gradients(case.program, carry, g, x, w)
    if case.code == "GB007":
        wrong = gradients(case.program, carry, g, x, w)  # the second backward
    rows: list[Row] = [[("x", x), ("w", w), ("g", g)]]
    for name, a, n in zip("xw", wrong, right, strict=True):
        if a is None or not _alike(a, n):
            rows.append([(f"d{name}, right", n), (f"d{name}, wrong", "None" if a is None else a)])
    return f"{case.right.__doc__.removesuffix('.')}, on a tape: {case.name}", rows


def _float32_noise() -> tuple[str, list[Row]]:
    shown: list[tuple[str, Any]] = []
    h = 1e-5
    for dtype in (np.float32, np.float64):
        x: Any = np.array([0.5, 30, 1000], dtype)
        shown += [] if shown else [("x", x), ("dx, right", 2 * x)]
        shown.append((f"n in {dtype.__name__}", ((x + h) ** 2 - (x - h) ** 2) / (2 * h)))
    return "y = x^2, by central differences with h = 1e-5", [shown]


def _at_the_kink() -> tuple[str, list[Row]]:
    relu, x, h = OPERATIONS["relu"], np.array([-1.0, 0, 2]), 1e-6
    g, y = np.array([2.0, 2, 2]), OPERATIONS["relu"].forward(x)
    left, right = (y - relu.forward(x - h)) / h * g, (relu.forward(x + h) - y) / h * g
    slopes: Row = [("left slope", left), ("right slope", right), ("central", (left + right) / 2)]
    return "relu, with x = 0 in the middle", [
        [("x", x), ("g", g), ("dx, right", relu.backward(g, x)[0])],
        slopes,
        "dx lies between the two one-sided slopes: right.",
    ]


# ---- arrays as text --------------------------------------------------------------------------


def side_by_side(arrays: list[tuple[str, Any]], width: int) -> list[str]:
    """Labelled arrays beside each other, in as many lines of blocks as the width asks for."""
    lines: list[str] = []
    row: list[list[str]] = []
    for block in (block for label, a in arrays for block in _blocks(label, a)):
        if row and 2 + sum(len(b[0]) + 4 for b in row) + len(block[0]) > width:
            lines += [*_joined(row), ""]
            row = []
        row.append(block)
    return [*lines, *_joined(row)]


def _joined(row: list[list[str]]) -> list[str]:
    height = max(map(len, row))
    filled = [block + [" " * len(block[0])] * (height - len(block)) for block in row]
    return [("  " + "    ".join(parts)).rstrip() for parts in zip(*filled, strict=True)]


def _blocks(label: str, a: Any) -> Iterator[list[str]]:
    """The label over the numbers, plane by plane."""
    if isinstance(a, str):
        yield _padded([label, a])
        return
    for name, plane in _planes(label, np.asarray(a)):
        yield _padded([name, *_lines(plane)])


def _planes(label: str, a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of at most two axes that an array consists of, each with its place."""
    leading = a.shape[:-2]
    for place in np.ndindex(leading):
        where = f"[{', '.join(map(str, place))}]" if np.prod(leading) > 1 else ""
        yield label + where, a[place]


def _padded(lines: list[str]) -> list[str]:
    width = max(map(len, lines))
    return [line.ljust(width) for line in lines]


def _lines(a: np.ndarray) -> list[str]:
    """The rows of at most two axes, in columns of equal width."""
    texts = [[_number(v) for v in row] for row in np.atleast_2d(a)]
    width = max(len(t) for row in texts for t in row)
    return [" ".join(t.rjust(width) for t in row) for row in texts]


def _number(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "."
    value = float(value) + 0.0  # -0 becomes 0
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"

"""Mistakes of the graph rather than of one backward pass, on a tape small enough to show them.

A program is written with Nodes; `walk` carries its gradient back.  Each Case has the mistake in
one of the two, and `Case.make` wraps it as a function of the engine's Tensors.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...autograd import Function, Tensor
from .operation import Bug

BUGS = (
    Bug("GB003", "severed graph",
        "h = Node(w.value * w.value)   # or w.detach(), w.data, w.numpy()", "h = w * w",
        "no gradient (None or 0) where n is not 0",
        "Compute with the tensors themselves: what goes through .detach(), .data or NumPy leaves "
        "the graph, and no gradient comes back."),
    Bug("GB004", "assigned instead of accumulated",
        "parent.grad = vjp(node.grad)", "parent.grad += vjp(node.grad)",
        "x * x: r = 1/2; x + f(x): a - n = -g; in general a is the last path's term only",
        "A value that is used several times receives a gradient from each use: add them."),
    Bug("GB005", "counted twice",
        "order += [node]   # once for each use", "if node not in order: order += [node]",
        "r = 2 behind a value that is used twice",
        "Go through every node once, when its own gradient is complete: keep a set of those seen."),
    Bug("GB006", "no topological order",
        "for parent in node.parents: walk(parent)   # as soon as it is met",
        "for node in reversed(topological(out)): ...",
        "x + f(x): a = g; in general a - n is minus the term of a path that came too late",
        "A node may send its gradient on only when all nodes that use it have sent theirs: sort "
        "them first."),
    Bug("GB007", "stale gradients from an earlier backward",
        "loss.backward()", "zero_grad(); loss.backward()",
        "r = 2 for leaves after two calls (3, 4, ... after more), and in a chain without resets "
        "depth + 1 inside",
        "Set all gradients to zero before each backward: they are added up."),
    Bug("GB015", "weight decay missing or doubled",
        "dw = x.T @ g             # the loss has lam/2 * (w**2).sum()",
        "dw = x.T @ g + lam * w",
        "a - n proportional to w: -lam w where missing, +lam w where doubled",
        "Count the penalty once: in the loss and its gradient, or in the optimiser's "
        "weight_decay."),
)  # fmt: skip


class Node:
    """A value on the tape, and for each parent how a gradient goes back to it."""

    def __init__(self, value: Any, *parents: tuple["Node", Callable[[Any], Any]]) -> None:
        self.value, self.parents = value, parents
        self.grad: Any = 0.0

    def __add__(self, other: "Node") -> "Node":
        return Node(self.value + other.value, (self, lambda g: g), (other, lambda g: g))

    def __mul__(self, other: "Node") -> "Node":
        x, y = self.value, other.value
        return Node(x * y, (self, lambda g: g * y), (other, lambda g: g * x))


def tanh(x: Node) -> Node:
    """The hyperbolic tangent."""
    y = np.tanh(x.value)
    return Node(y, (x, lambda g: g * (1 - y * y)))


def total(x: Node) -> Node:
    """The sum of all entries, as a loss is one."""
    return Node(x.value.sum(), (x, lambda g: g * np.ones_like(x.value)))


def topological(out: Node) -> list[Node]:
    """Every node once, each before its parents."""
    order: list[Node] = []

    def visit(node: Node) -> None:
        if node not in order:
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(out)
    return order[::-1]


def walk(
    out: Node, g: Any, leaves: list[Node], order: Callable = topological, assign: bool = False
) -> None:
    """Leaves dL/d(node) in every node's grad, g being dL/d(out); the keywords are for mistakes."""
    out.grad = g
    for node in order(out):
        for parent, vjp in node.parents:
            parent.grad = vjp(node.grad) if assign else parent.grad + vjp(node.grad)


# ---- walks with a mistake --------------------------------------------------------------------


def with_doubles(out: Node) -> list[Node]:
    """Nodes that several places use stand twice, as in a list without a check for doubles."""
    order = topological(out)
    uses = [parent for node in order for parent, _ in node.parents]
    return [node for node in order for _ in range(2 if uses.count(node) > 1 else 1)]


def depth_first(out: Node) -> list[Node]:
    """Every node where it is first met."""
    order: list[Node] = []

    def visit(node: Node) -> None:
        if node not in order:
            order.append(node)
            for parent, _ in node.parents:
                visit(parent)

    visit(out)
    return order


assigning = partial(walk, assign=True)
twice = partial(walk, order=with_doubles)
at_once = partial(walk, order=depth_first)


class Stale:
    """Keeps the leaves' gradients from call to call, as if nobody called zero_grad."""

    def __init__(self) -> None:
        self.before: list[Any] = []

    def __call__(self, out: Node, g: Any, leaves: list[Node]) -> None:
        walk(out, g, leaves)
        for leaf, old in zip(leaves, self.before, strict=False):
            leaf.grad = leaf.grad + old
        self.before = [leaf.grad for leaf in leaves]


# ---- programs, of two leaves -----------------------------------------------------------------

DECAY = 0.5


def reused(x: Node, w: Node) -> Node:
    """x x + w: the one multiplication uses x twice."""
    return x * x + w


def branched(x: Node, w: Node) -> Node:
    """With h = tanh(x w): h h."""
    h = tanh(x * w)
    return h * h


def skipped(x: Node, w: Node) -> Node:
    """With h = x + w: h + tanh(h); the short way back to h comes first."""
    h = x + w
    return h + tanh(h)


def chained(x: Node, w: Node) -> Node:
    """tanh(x w)."""
    return tanh(x * w)


def detached(x: Node, w: Node) -> Node:
    """tanh(x) w w, with w w outside the graph."""
    return tanh(x) * Node(w.value * w.value)


def attached(x: Node, w: Node) -> Node:
    """tanh(x) w w."""
    return tanh(x) * (w * w)


def penalised(x: Node, w: Node) -> Node:
    """A loss with weight decay: the sum of tanh(x w) + lam/2 w^2."""
    return total(tanh(x * w) + Node(DECAY / 2) * (w * w))


def penalty_lost(x: Node, w: Node) -> Node:
    return total(tanh(x * w) + Node(DECAY / 2 * w.value**2))


def penalty_twice(x: Node, w: Node) -> Node:
    penalty = Node(DECAY / 2 * w.value**2, (w, lambda g: 2 * DECAY * w.value * g))
    return total(tanh(x * w) + penalty)


class Case(NamedTuple):
    """A program and a walk, one of them wrong; `right` has the same output and a right gradient."""

    code: str
    name: str
    program: Callable[[Node, Node], Node]
    walk: Callable[..., None]
    right: Callable[[Node, Node], Node]

    def make(self, rng: np.random.Generator) -> tuple[Callable[..., Any], list[Tensor]]:
        """(a function of two Tensors, the two Tensors): what gradcheck takes."""
        # No size is 2: half of the gradient would be a mean over two samples (GB018) as well.
        shape, carry = tuple(rng.permutation([3, 4, 5])[:2]), copy(self.walk)
        arrays = [rng.normal(0, 0.8, shape) for _ in range(2)]
        if self.code == "GB007":
            gradients(self.program, carry, rng.standard_normal(shape), *arrays)  # the earlier one
        function = _function(self.program, carry)
        return function.apply, [Tensor(a, requires_grad=True) for a in arrays]


def gradients(program: Any, carry: Any, g: Any, *arrays: Any) -> tuple[Any, ...]:
    """The gradients of all leaves; None where none arrived."""
    leaves = [Node(a) for a in arrays]
    carry(program(*leaves), g, leaves)
    return tuple(None if isinstance(leaf.grad, float) else leaf.grad for leaf in leaves)


def _function(program: Any, carry: Any) -> type[Function]:
    """The program as an op of the engine, with the tape's gradient."""

    class Taped(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return program(Node(x), Node(w)).value

        @staticmethod
        def backward(ctx, g):
            return gradients(program, carry, g, *ctx.saved_tensors)

    return Taped


CASES = (
    Case("GB003", "w w computed outside the graph", detached, walk, attached),
    Case("GB004", "the last use's gradient only", reused, assigning, reused),
    Case("GB004", "the last path's gradient only", skipped, assigning, skipped),
    Case("GB005", "a shared node goes twice", branched, twice, branched),
    Case("GB006", "depth first, no order", skipped, at_once, skipped),
    Case("GB007", "gradients of an earlier backward", chained, Stale(), chained),
    Case("GB015", "the penalty's gradient missing", penalty_lost, walk, penalised),
    Case("GB015", "the penalty's gradient doubled", penalty_twice, walk, penalised),
)

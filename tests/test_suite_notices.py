"""The suite must notice a wrong op: every op is made wrong in small ways, and `check` must fail."""

import functools

import numpy as np
import pytest
from test_ops import SAMPLES, check, is_floating, tensors

from minicnn.autograd import Function, Tensor
from minicnn.fusion import KernelOp
from minicnn.ops import OPS


def between(change_output=lambda y: y, change_gradient=lambda g: g):
    """An op that gives on what it gets, changed on its way there or back."""

    class Between(Function):
        @staticmethod
        def forward(ctx, x):
            return change_output(x.copy())

        @staticmethod
        def backward(ctx, g):
            return (change_gradient(g),)

    return Between


def kernel_mutant(op, change_output, change_gradient):
    """A kernel's op, which has no forward of its own, with other ops before and behind it."""
    before = [between(change_gradient=functools.partial(change_gradient, i)) for i in range(3)]
    behind = between(functools.partial(change_output, 0))

    def apply(cls, *args, **kwargs):
        passed = [
            before[i].apply(a) if isinstance(a, Tensor) and a.requires_grad else a
            for i, a in enumerate(args)
        ]
        return behind.apply(op.apply(*passed, **kwargs))

    return type(op.__name__, (op,), {"apply": classmethod(apply)})


def mutant(op, change_output=lambda i, y: y, change_gradient=lambda i, g: g):
    """The op with its outputs, or the gradients that backward returns, changed."""
    if issubclass(op, KernelOp):
        return kernel_mutant(op, change_output, change_gradient)

    def forward(ctx, *args, **kwargs):
        result = op.forward(ctx, *args, **kwargs)
        if type(result) is tuple:
            return tuple(change_output(i, y) for i, y in enumerate(result))
        return change_output(0, result)

    def backward(ctx, *gradients):
        result = op.backward(ctx, *gradients)
        result = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(g if g is None else change_gradient(i, g) for i, g in enumerate(result))

    methods = {
        "forward": staticmethod(functools.wraps(op.forward)(forward)),
        "backward": staticmethod(backward),
    }
    return type(op.__name__, (op,), methods)


def notices(op, sample) -> bool:
    try:
        check(op, sample)
    except AssertionError:
        return True
    return False


def working(name):
    return [s for s in SAMPLES[name] if not s.raises]


# What the ops of all samples put out, and the arguments that a gradient goes to.


def outputs_of(op, sample) -> list[np.ndarray]:
    args, kwargs = tensors(sample)
    y = op.apply(*args, **kwargs)
    return [t.array for t in (y if isinstance(y, tuple) else (y,))]


OUTPUTS = {name: len(outputs_of(op, working(name)[0])) for name, op in OPS.items()}
INPUTS = {
    name: sorted({i for s in working(name) for i, a in enumerate(s.args) if is_floating(a)})
    if op.backward is not Function.backward
    else []
    for name, op in OPS.items()
}


def each(table):
    return [pytest.param(name, i, id=f"{name}-{i}") for name, found in table for i in found]


def one_wrong_element(y):
    """y with its last element off by 1e-6 of y's scale; an integer by 1, a bool flipped."""
    y = np.array(y)
    if y.size and y.dtype.kind == "f":
        y.flat[-1] += 1e-6 * max(1e-3, abs(y).max())
    elif y.size:
        y.flat[-1] = not y.flat[-1] if y.dtype.kind == "b" else y.flat[-1] + 1
    return y


@pytest.mark.parametrize(("name", "at"), each((n, range(k)) for n, k in OUTPUTS.items()))
def test_one_wrong_output_element_is_noticed(name, at):
    """By every single sample that has an element."""
    op = OPS[name]
    wrong = mutant(op, lambda i, y: one_wrong_element(y) if i == at else y)
    nonempty = [s for s in working(name) if outputs_of(op, s)[at].size]
    assert nonempty
    assert [i for i, s in enumerate(nonempty) if not notices(wrong, s)] == []


@pytest.mark.parametrize(("name", "at"), each(INPUTS.items()))
def test_gradient_too_large_by_a_thousandth_is_noticed(name, at):
    wrong = mutant(OPS[name], change_gradient=lambda i, g: g * 1.001 if i == at else g)
    assert any(notices(wrong, s) for s in working(name))


# Inputs that are never a matrix: a transposed gradient of theirs is not possible.
NO_MATRIX = {
    ("Linear", 2): "bias",
    ("Conv2d", 2): "bias",
    ("Subsample2d", 1): "coefficient",
    ("Subsample2d", 2): "bias",
    ("BatchNorm", 3): "weight",
    ("BatchNorm", 4): "bias",
}


def transposed_if_square(g):
    square = g.ndim >= 2 and g.shape[-1] == g.shape[-2]
    return np.ascontiguousarray(g.swapaxes(-1, -2)) if square else g


@pytest.mark.parametrize(("name", "at"), each(INPUTS.items()))
def test_transposed_square_gradient_is_noticed(name, at):
    """Only by values: where it is not square, the engine would notice the shape."""
    samples = [s for s in working(name) if at < len(s.args) and isinstance(s.args[at], np.ndarray)]
    if (name, at) in NO_MATRIX:
        assert max(s.args[at].ndim for s in samples) < 2
        return
    wrong = mutant(
        OPS[name], change_gradient=lambda i, g: transposed_if_square(g) if i == at else g
    )
    assert any(notices(wrong, s) for s in samples)


@pytest.mark.parametrize("name", OPS)
def test_the_same_op_unchanged_is_not_noticed(name):
    """Else the tests above would pass by some fault of the mutants' own."""
    same = mutant(OPS[name])
    assert [i for i, s in enumerate(working(name)) if notices(same, s)] == []


def test_forgotten_gradient_is_noticed():
    forgetful = mutant(OPS["Mul"], change_gradient=lambda i, g: None if i == 1 else g)
    assert notices(forgetful, working("Mul")[0])


def test_changed_input_is_noticed():
    def shifted(ctx, input, other):
        y = input + other
        input += 1
        return y

    wrong = type("Add", (OPS["Add"],), {"forward": staticmethod(shifted)})
    with pytest.raises(ValueError, match="read-only"):
        check(wrong, working("Add")[0])

"""Every op on every sample of its own: against its oracle, numerically, and when refused."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from oracles import ORACLES, incomplete, to_torch

from minicnn import Tensor, autograd, kernels, no_grad
from minicnn.arrays import DTYPES
from minicnn.autograd import Function
from minicnn.errors import InPlaceError
from minicnn.ops import OPS, Sample
from minicnn.shapes import window

SAMPLES: dict[str, list[Sample]] = {
    name: list(op.samples(np.random.default_rng(0))) for name, op in OPS.items()
}


def works(op, sample):
    return not sample.raises


def is_refused(op, sample):
    return bool(sample.raises)


def differentiable(op, sample):
    """Whether a gradient comes back: the op defines backward, and the output is no integer."""
    to_integer = any(isinstance(a, np.dtype) and a.kind != "f" for a in sample.args)
    return works(op, sample) and op.backward is not Function.backward and not to_integer


def smooth(op, sample):
    return differentiable(op, sample) and not sample.kink


def cases(keep=works):
    """Parameters (op, sample) for pytest, named Conv2d-3."""
    return [
        pytest.param(OPS[name], sample, id=f"{name}-{i}")
        for name, samples in SAMPLES.items()
        for i, sample in enumerate(samples)
        if keep(OPS[name], sample)
    ]


# ---- running an op, and its oracle -----------------------------------------------------------


def is_floating(x) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def cast(x, dtype):
    """A floating array in another type, its axes in the same order in memory and as reversed."""
    if not is_floating(x) or dtype is None or x.dtype == dtype:
        return x
    forward = (..., *(slice(None, None, 1 if step >= 0 else -1) for step in x.strides))
    return x[forward].astype(dtype, order="K")[forward]


def read_only(x):
    x = x[...]
    x.flags.writeable = False
    return x


def tensors(sample, dtype=None, wanted=lambda i: True):
    """The sample's (args, kwargs) for op.apply: arrays become Tensors.

    Floating ones among args need a gradient and are read-only.  Those in kwargs are copies: batch
    norm's running statistics change.
    """
    args = [
        Tensor(read_only(cast(a, dtype)), requires_grad=is_floating(a) and wanted(i))
        if isinstance(a, np.ndarray)
        else a
        for i, a in enumerate(sample.args)
    ]
    kwargs = {
        k: Tensor(cast(v, dtype).copy()) if isinstance(v, np.ndarray) else v
        for k, v in sample.kwargs.items()
    }
    return args, kwargs


def listed(outputs):
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def upstream(outputs):
    """A random gradient for each output that takes one: not contiguous, and read-only."""
    rng = np.random.default_rng(1)
    random = [rng.standard_normal(y.shape[::-1]).T.astype(y.dtype) for y in outputs]
    return [read_only(g) if y.requires_grad else None for g, y in zip(random, outputs, strict=True)]


def carry_back(outputs, gradients):
    wanted = [(y, g) for y, g in zip(outputs, gradients, strict=True) if g is not None]
    if wanted:
        autograd.backward([y for y, _ in wanted], [g for _, g in wanted])


def gradient_of(a):
    return a.grad.array if isinstance(a, Tensor) and a.grad is not None else None


def gradients_of(op, sample, dtype=None, wanted=lambda i: True, change=lambda g: g):
    """One gradient per argument, None where there is none, for a random upstream."""
    args, kwargs = tensors(sample, dtype, wanted)
    outputs = listed(op.apply(*args, **kwargs))
    carry_back(outputs, [None if g is None else change(g) for g in upstream(outputs)])
    return [gradient_of(a) for a in args]


def oracle(name, sample, floating=None):
    """(args, kwargs, outputs) of the oracle; floating args require grad."""
    args, kwargs = to_torch(list(sample.args), floating), to_torch(sample.kwargs, floating)
    for a in args:
        if isinstance(a, torch.Tensor) and a.is_floating_point():
            a.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells that some calls are slow, or broadcast
        return args, kwargs, listed(ORACLES[name](*args, **kwargs))


def oracle_gradients(args, outputs, gradients):
    """One gradient per argument, as arrays, from float64 copies of ours."""
    leaves = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
    found = [None] * len(leaves)
    taken = [(y, g) for y, g in zip(outputs, gradients, strict=True) if g is not None]
    if taken and leaves:
        weights = [torch.from_numpy(g.copy()).to(y.dtype) for y, g in taken]
        found = torch.autograd.grad([y for y, _ in taken], leaves, weights, allow_unused=True)
    by_leaf = {id(x): g for x, g in zip(leaves, found, strict=True)}
    return [None if (g := by_leaf.get(id(a))) is None else g.numpy() for a in args]


# ---- agreement -------------------------------------------------------------------------------


def disagreement(a, b) -> float:
    """max|a - b| / max(1e-3, max|b|); NaN and infinities must be in the same places."""
    assert a.shape == b.shape, f"shape {a.shape} instead of {b.shape}"
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    assert np.isfinite(a[finite]).all(), "not finite where the oracle is"
    a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
    return float(abs(a - b).max(initial=0) / max(1e-3, abs(b).max(initial=0)))


def assert_agree(ours, oracles, what):
    """Equal if integer or bool; to 1e-9 in float64, 1e-4 in float32."""
    if ours.dtype.kind != "f":
        np.testing.assert_array_equal(ours, oracles, err_msg=what, strict=False)
        assert ours.shape == oracles.shape, what
        return
    allowed = 1e-9 if ours.dtype == np.float64 else 1e-4
    measured = disagreement(ours, oracles)
    assert measured <= allowed, f"{what}: off by {measured:.1e}"


def check(op, sample, dtype=None):
    """Asserts that outputs, their types, and every gradient are those of the oracle in float64.

    Arguments must be after the call what they are after the oracle's: unchanged, but for running
    statistics.
    """
    args, kwargs = tensors(sample, dtype)
    plain = Sample(tuple(cast(a, dtype) for a in sample.args),
                   {k: cast(v, dtype) for k, v in sample.kwargs.items()})  # fmt: skip
    with torch.no_grad():
        *_, native = oracle(op.__name__, plain)
    t_args, t_kwargs, theirs = oracle(op.__name__, plain, torch.float64)
    ours = listed(op.apply(*args, **kwargs))
    assert len(ours) == len(theirs)
    for i, (y, t, n) in enumerate(zip(ours, theirs, native, strict=True)):
        assert f"torch.{y.dtype}" == str(n.dtype), f"output {i}"
        assert y.requires_grad == t.requires_grad, f"output {i}"
        assert_agree(y.array, t.detach().numpy(), f"output {i}")
    for a, t in [*zip(args, t_args, strict=True), *((v, t_kwargs[k]) for k, v in kwargs.items())]:
        if isinstance(a, Tensor):
            assert_agree(a.array, t.detach().numpy(), "an argument, after the call,")
    gradients = upstream(ours)
    carry_back(ours, gradients)
    for i, (a, t) in enumerate(zip(args, oracle_gradients(t_args, theirs, gradients), strict=True)):
        g = gradient_of(a)
        assert (g is None) == (t is None), f"gradient {i}: only one side has it"
        if g is not None:
            assert_agree(g, t, f"gradient {i}")


@pytest.mark.parametrize("dtype", [None, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("op", "sample"), cases())
def test_agrees_with_oracle(op, sample, dtype):
    check(op, sample, dtype)


def test_every_op_has_samples_and_an_oracle():
    class WithoutAnything(Function):
        pass

    class OnlyRefuses(Function):
        @staticmethod
        def samples(rng):
            yield Sample((), raises=TypeError)

    assert incomplete(OPS) == []
    assert incomplete(OPS | {"Bare": WithoutAnything}) == [
        "Bare has no oracle",
        "Bare has no samples",
    ]
    assert incomplete(OPS | {"Add": OnlyRefuses}) == ["Add has no sample that works"]
    assert incomplete({k: v for k, v in OPS.items() if k != "Add"}) == [
        "oracle Add belongs to no op"
    ]


# ---- refusals --------------------------------------------------------------------------------

# What we refuse and PyTorch accepts: (op, the beginning of our message).
STRICTER = {
    ("AvgPool2d", "floating type"),  # PyTorch pools integers; here as everywhere floats only
    ("MaxPool2d", "floating type"),
}


@pytest.mark.parametrize(("op", "sample"), cases(is_refused))
def test_refuses_with_a_message(op, sample):
    args, kwargs = tensors(sample)
    with pytest.raises(sample.raises, match=sample.match) as caught:
        op.apply(*args, **kwargs)
    assert caught.type.__module__.startswith("minicnn") or caught.type is IndexError


@pytest.mark.parametrize(("op", "sample"), cases(is_refused))
def test_refused_by_the_oracle_too(op, sample):
    if (op.__name__, sample.match) in STRICTER:
        oracle(op.__name__, sample)  # if this raises, the entry is out of date
        return
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError)):
        oracle(op.__name__, sample)


# ---- numeric gradients -----------------------------------------------------------------------


def numeric_gradient(op, sample, at, where, step=1e-5):
    """Central differences of <upstream, outputs> in the elements `where` of argument `at`."""

    def loss(x):
        moved = Sample((*sample.args[:at], x, *sample.args[at + 1 :]), sample.kwargs)
        args, kwargs = tensors(moved, np.float64)
        outputs = listed(op.apply(*args, **kwargs))
        pairs = zip(upstream(outputs), outputs, strict=True)
        return sum(float((g * y.array).sum()) for g, y in pairs if g is not None)

    found = []
    for i in where:
        up, down = (sample.args[at].astype(np.float64, order="C") for _ in range(2))
        up.flat[i] += step
        down.flat[i] -= step
        found.append((loss(up) - loss(down)) / (up.flat[i] - down.flat[i]))
    return np.array(found)


@pytest.mark.parametrize(("op", "sample"), cases(smooth))
def test_gradient_is_the_numeric_one(op, sample):
    gradients = gradients_of(op, sample, np.float64)
    assert any(g is not None for g in gradients)
    for at, gradient in enumerate(gradients):
        if gradient is None:
            continue
        size = gradient.size
        where = np.random.default_rng(2).permutation(size)[:24]
        numeric = numeric_gradient(op, sample, at, where)
        assert disagreement(gradient.ravel()[where], numeric) <= 1e-6


# ---- what kernel=True promises ---------------------------------------------------------------


def by_kernel(op, sample):
    """The op's node is a kernel's; Linear of more than rows is reshaped before and behind."""
    rows = op is not OPS["Linear"] or sample.args[0].ndim == 2
    return op.kernel and rows and differentiable(op, sample)


def test_which_ops_are_a_kernels():
    """Those with a kernel of their name, but batch norm; and cross-entropy."""
    names = {pair.replace("_", "") for pair in kernels.PAIRS}
    expected = {name for name in OPS if name.lower() in names} - {"BatchNorm"} | {"CrossEntropy"}
    assert {name for name, op in OPS.items() if op.kernel} == expected
    assert {"Linear", "Conv2d", "MaxPool2dWithIndices", "ReLU", "Dropout"} < expected


@pytest.mark.parametrize(("op", "sample"), cases(by_kernel))
def test_what_a_kernels_op_returns_is_new_memory(op, sample):
    """The engine takes such outputs for no views, and such gradients for its own to give away."""
    args, kwargs = tensors(sample)
    outputs = listed(op.apply(*args, **kwargs))
    inputs = [a.array for a in args if isinstance(a, Tensor)]
    above = [g if g is None else g.copy() for g in upstream(outputs)]
    before = [g if g is None else g.copy() for g in above]
    first = [g for g in op.backward(outputs[0].grad_fn, *above) if g is not None]
    expected = [g.copy() for g in first]
    new = [*(y.array for y in outputs), *first]
    known = [*inputs, *(g for g in above if g is not None)]
    assert first
    for a, b in [*itertools.combinations(new, 2), *itertools.product(new, known)]:
        assert not np.shares_memory(a, b)
    for g in first:
        g[...] = np.nan  # as an owner may: nothing that backward needs is in it
    for g, h in zip(above, before, strict=True):
        assert g is None or (g == h).all()
    again = [g for g in op.backward(outputs[0].grad_fn, *above) if g is not None]
    for g, h in zip(again, expected, strict=True):
        np.testing.assert_array_equal(g, h)


# ---- infinities, NaN and 0 -------------------------------------------------------------------


SPECIAL = (np.nan, np.inf, -np.inf, 0.0)


def is_defined(op, at, value, everywhere):
    """Whether we promise what PyTorch does with this value in argument `at`."""
    return not (
        # The slope of |x| at NaN: NaN, not PyTorch's 0, which would hide it.
        (op.__name__ == "Abs" and np.isnan(value))
        # PyTorch merges the weight with 1/std and the mean, and gets inf - inf.
        or (op.__name__ == "BatchNorm" and at == 3 and np.isinf(value))
        # Among equals PyTorch promises no order.
        or (op.__name__ == "TopK" and everywhere)
    )


@pytest.mark.parametrize(("op", "sample"), cases(differentiable))
def test_special_values_go_through_as_in_pytorch(op, sample):
    """In forward and backward, and without a warning (warnings are errors here)."""
    places = [i for i, a in enumerate(sample.args) if is_floating(a) and a.size]
    for at, value, everywhere in itertools.product(places, SPECIAL, (False, True)):
        if not is_defined(op, at, value, everywhere):
            continue
        x = np.array(sample.args[at])
        x[...] = value if everywhere else x
        x.flat[x.size // 2] = value
        try:
            check(op, Sample((*sample.args[:at], x, *sample.args[at + 1 :]), sample.kwargs))
        except Exception as error:
            error.add_note(f"{value} in argument {at}{', everywhere' if everywhere else ''}")
            raise


def test_infinite_gradients_add_up_without_a_warning():
    x = Tensor(np.ones(2), requires_grad=True)
    for g in (np.inf, -np.inf):
        (x * 1).backward(np.array([g, 1.0]))
    np.testing.assert_array_equal(x.grad.array, [np.nan, 2])


# ---- what the engine asks of every op --------------------------------------------------------


@pytest.mark.parametrize(("op", "sample"), cases(differentiable))
def test_each_gradient_alone_is_the_same(op, sample):
    """An op may save less where only one gradient is wanted, but not compute another one."""
    together = gradients_of(op, sample)
    for at, expected in enumerate(together):
        if expected is not None:
            alone = gradients_of(op, sample, wanted=lambda i, at=at: i == at)
            assert [g is None for g in alone] == [i != at for i in range(len(alone))]
            assert_agree(alone[at], expected, f"gradient {at} alone")


@pytest.mark.parametrize(("op", "sample"), cases(differentiable))
def test_layout_of_the_upstream_gradient_does_not_matter(op, sample):
    def constant(g):
        return np.broadcast_to(g.dtype.type(1.5), g.shape)  # what sum().backward() sends: strides 0

    def same(g):
        return np.full(g.shape, 1.5, g.dtype)

    def backwards(g):
        return np.ascontiguousarray(g[..., ::-1])[..., ::-1] if g.ndim else g

    expected = gradients_of(op, sample, change=same), gradients_of(op, sample)
    found = gradients_of(op, sample, change=constant), gradients_of(op, sample, change=backwards)
    for a, b in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_agree(a, b, "gradient")


def overwrite(x: Tensor) -> None:
    """Another value in each element, in place; None of it stays."""
    with no_grad():
        x.fill_(True if x.dtype == bool else 77)


@pytest.mark.parametrize(("op", "sample"), cases(differentiable))
def test_change_in_place_before_backward_is_harmless_or_noticed(op, sample):
    expected = gradients_of(op, sample)

    def writable():
        args = [
            Tensor(a.copy(), requires_grad=is_floating(a)) if isinstance(a, np.ndarray) else a
            for a in sample.args
        ]
        kwargs = {
            k: Tensor(v.copy()) if isinstance(v, np.ndarray) else v
            for k, v in sample.kwargs.items()
        }
        outputs = listed(op.apply(*args, **kwargs))
        held = [t for t in (*args, *kwargs.values(), *outputs) if isinstance(t, Tensor)]
        return args, outputs, [t for t in held if t.array.flags.writeable]  # not expanded ones

    for i in range(len(writable()[2])):
        args, outputs, held = writable()
        overwrite(held[i])
        try:
            carry_back(outputs, upstream(outputs))
        except InPlaceError as error:
            assert op.__name__ in str(error)  # noqa: PT017
            continue
        for a, g in zip(args, expected, strict=True):
            if g is not None:
                assert_agree(gradient_of(a), g, f"gradient after tensor {i} changed")


def test_index_is_kept_as_it_was():
    """Index arrays inside a tuple are no arguments of their own, so no version tells."""
    x = Tensor(np.arange(4.0), requires_grad=True)
    rows = np.array([1, 1, 3])
    y = x[(rows,)]
    rows[:] = 0
    y.backward(np.ones(3))
    np.testing.assert_array_equal(x.grad.array, [0, 2, 0, 1])


def test_writing_into_an_expanded_tensor_says_what_to_do():
    y = Tensor(np.zeros((3, 1))).expand(3, 4)
    with pytest.raises(InPlaceError, match=r"read-only.* clone\(\)"):
        y[0] = 1.0


# ---- memory ----------------------------------------------------------------------------------


def moves(op, sample):
    """Ops that compute nothing; torch must know the strides, and they are never negative there."""
    strides = [n for a in sample.args if isinstance(a, np.ndarray) for n in a.strides]
    in_shape_py = op.__module__ == "minicnn.ops.shape"
    return works(op, sample) and in_shape_py and min(strides, default=0) >= 0


@pytest.mark.parametrize(("op", "sample"), cases(moves))
def test_view_where_pytorch_gives_a_view(op, sample):
    args, kwargs = tensors(sample)
    y = op.apply(*args, **kwargs)
    theirs = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in sample.args]
    theirs = to_torch(theirs)  # the arrays inside an index
    t = ORACLES[op.__name__](*theirs, **to_torch(sample.kwargs))
    for ours, a in zip(args, theirs, strict=True):
        if isinstance(a, torch.Tensor):
            shared = a.untyped_storage().data_ptr() == t.untyped_storage().data_ptr()
            assert np.shares_memory(y.array, ours.array) == (shared and y.array.size > 0)


def test_contiguous_copies_only_what_is_not():
    x = Tensor(np.zeros((2, 3)).T, requires_grad=True)
    y = x.contiguous()
    assert y.array.flags.c_contiguous
    assert y.contiguous() is y
    y.backward(np.ones((3, 2)))
    assert x.grad.array.tolist() == [[1, 1]] * 3


# ---- element types ---------------------------------------------------------------------------

BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Eq", "Lt", "Where", "BitwiseAnd", "MatMul", "Cat")
UNARY = ("Neg", "Exp", "Log", "Sqrt", "Abs", "Sigmoid", "Tanh", "ReLU", "Sum", "Mean", "Var",
         "Max", "ArgMax", "Softmax", "BitwiseNot", "Clamp")  # fmt: skip


REFUSALS = (RuntimeError, ValueError, IndexError, TypeError)


def agree_or_both_refuse(op, *args, **kwargs):
    """The same type and the same values, or an error on both sides."""
    sample = Sample(args, kwargs)
    ours, keywords = tensors(sample)
    try:
        with torch.no_grad():
            *_, theirs = oracle(op.__name__, sample)
    except REFUSALS as refusal:
        try:
            result = op.apply(*ours, **keywords)
        except REFUSALS:
            return
        raise AssertionError(f"{op.__name__} gives {result}, but PyTorch refuses") from refusal
    found = listed(op.apply(*ours, **keywords))
    for y, t in zip(found, theirs, strict=True):
        assert f"torch.{y.dtype}" == str(t.dtype)
        np.testing.assert_allclose(y.array, t.numpy(), 1e-3 if y.dtype == np.float16 else 1e-6)


def exempt(name, a, b, b_is_number):
    """Where we knowingly differ: PyTorch subtracts no masks at all, we only not from each other;
    and PyTorch raises a mask to the power True."""
    masks = (a.kind == "b") + (b.kind == "b")
    return name in ("Sub", "Pow") and (
        (name == "Sub" and masks == 1) or (masks == 2 and b_is_number)
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_types_promote_as_in_pytorch(name, dtype):
    a = np.array([1, 2, 3]).astype(dtype)
    first = {"Where": (np.array([True, False, True]),), "Cat": (0,)}.get(name, ())
    others = [np.array(b).astype(d) for d in DTYPES for b in ([3, 1, 2], 2)]
    numbers = [] if name in ("Cat", "MatMul") else [True, 2, 2.5]
    for b in [*others, *numbers]:
        if not exempt(name, dtype, np.asarray(b).dtype, isinstance(b, bool)):
            agree_or_both_refuse(OPS[name], *first, a, b)
            agree_or_both_refuse(OPS[name], *first, b, a)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_types_of_one_operand_are_those_of_pytorch(name, dtype):
    for more in {"Softmax": [(0,)], "Clamp": [(1, 2), (1.5,)]}.get(name, [()]):
        agree_or_both_refuse(OPS[name], np.array([1, 2, 3]).astype(dtype), *more)


# ---- im2col and col2im are each other's adjoint ----------------------------------------------


@pytest.mark.parametrize(
    ("op", "sample"), [c for c in cases() if c.values[0].__name__ in ("Unfold", "Fold")]
)
def test_unfold_and_fold_are_adjoint(op, sample):
    """<A x, g> = <x, A^T g>."""
    (x, *rest), kwargs = tensors(sample)
    y = op.apply(x, *rest, **kwargs)
    (g,) = upstream([y])
    y.backward(g)
    assert_same_sum(y.array * g, x.array * x.grad.array)


GEOMETRIES = [  # size, kernel_size, stride, padding, dilation
    ((6, 7), (2, 3), (1, 1), (0, 0), (1, 1)),
    ((6, 7), (3, 2), (2, 3), (1, 2), (2, 1)),
    ((5, 5), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((4, 9), (1, 4), (5, 1), (3, 0), (1, 2)),
    ((1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_im2col_and_col2im_are_adjoint(size, kernel, stride, padding, dilation):
    rng = np.random.default_rng(3)
    w = window("test", size, kernel, stride, padding, dilation)
    x = rng.standard_normal((2, 3, *size))
    columns = kernels.call("im2col", x, w)
    g = rng.standard_normal(columns.shape)
    assert_same_sum(columns * g, x * kernels.call("col2im", g, x.shape, w))


def assert_same_sum(a, b):
    assert abs(a.sum() - b.sum()) <= 1e-14 * (abs(a).sum() + abs(b).sum())

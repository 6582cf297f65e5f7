"""The CUDA kernels on every recorded call, and the whole engine on every op sample, on a GPU.

Each test runs twice: on the stand-in for CuPy, where kernels run on the CPU, and, marked `gpu`, on
a real GPU where there is one.
"""

from itertools import takewhile

import numpy as np
import pytest
from test_kernels import CALLS, SEVERAL, UPDATES, assert_same, both, more_behind
from test_ops import (
    assert_agree,
    carry_back,
    cases,
    gradient_of,
    listed,
    tensors,
    upstream,
)

from minicnn import Tensor, kernels
from minicnn.arrays import is_array
from minicnn.devices import to_device
from minicnn.kernels import CONTRACT, PAIRS, PLAIN, cuda
from minicnn.kernels.calls import Chain


@pytest.fixture(autouse=True)
def _chosen_as_before(monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", None)


# ---- kernels ---------------------------------------------------------------------------------


def contiguous(xp, x):
    return x


def with_gaps(xp, x):
    """Every second element of a larger array, along every axis."""
    view = xp.zeros([2 * n for n in x.shape], x.dtype)
    view = view[(..., *(slice(None, None, 2) for _ in x.shape))]
    view[...] = x
    return view


def backwards(xp, x):
    """Negative strides along every axis."""
    flip = (..., *(slice(None, None, -1) for _ in x.shape))
    return xp.ascontiguousarray(x[flip])[flip] if x.ndim else x


def columns_first(xp, x):
    return xp.ascontiguousarray(x.T).T if x.ndim else x


LAYOUTS = (contiguous, with_gaps, backwards, columns_first)


def on_device(xp, args, layout=contiguous):
    """The arrays among args on the GPU, in another layout; the rest as it is."""
    return tuple(layout(xp, xp.asarray(a)) if isinstance(a, np.ndarray) else a for a in args)


def on_host(x):
    if isinstance(x, tuple):
        return tuple(map(on_host, x))
    return x.get() if hasattr(x, "get") else x


def forward(name, args, y, needs=None):
    """(result, saved) of a recorded call: by `run` where the kernel can be one of several."""
    if name not in cuda.FUSED:
        return kernels.forward(name, *args)
    weights = tuple(takewhile(lambda a: a is None or is_array(a), args[1:]))
    shapes = tuple(None if w is None else w.shape for w in weights)
    call = kernels.Call(name, y.shape, y.dtype, args[1 + len(weights) :], shapes)
    needs = (True,) * (1 + len(weights)) if needs is None else needs[: 1 + len(weights)]
    return kernels.run(Chain((call,)), args[0], weights, needs)


def backward(name, g, saved, needs):
    if name not in cuda.FUSED:
        return kernels.backward(name, g, saved, needs)
    return kernels.back(g, saved, needs)


def replay(xp, call, layout):
    """Runs a recorded call on the GPU; its results are the reference's, its arguments untouched."""
    args = on_device(xp, call.args, layout)
    served = args[0].size or call.name not in cuda.FUSED  # empty arrays are the reference's
    assert kernels.which(call.name, args[0]) == ("cuda" if served else "reference")
    if call.name in PLAIN:
        assert_same(on_host(kernels.call(call.name, *args)), call.y, "y")
    else:
        y, saved = forward(call.name, args, call.y)
        assert_same(on_host(y), call.y, "y")
        if call.g is not None:
            (g,) = on_device(xp, [call.g], layout)
            found = backward(call.name, g, saved, call.needs)
            assert_same(on_host(tuple(found)), tuple(call.gradients), "gradients")
            np.testing.assert_array_equal(on_host(g), call.g)
    for a, before in zip(args, call.args, strict=True):
        if is_array(a):
            np.testing.assert_array_equal(on_host(a), before)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", CALLS)
@pytest.mark.parametrize("name", sorted(set(CONTRACT) - set(UPDATES)))
def test_any_memory_layout_gives_the_same(gpu, name, dtype, layout):
    for call in CALLS[dtype]:
        if call.name == name:
            replay(gpu, call, layout)


def test_columns_of_a_window_that_wants_more_zeros_behind(gpu):
    x, wide, w = more_behind()
    cols = kernels.call("im2col", gpu.asarray(wide), w)
    np.testing.assert_array_equal(on_host(kernels.call("im2col", gpu.asarray(x), w)), on_host(cols))
    dx = on_host(kernels.call("col2im", cols, wide.shape, w))[:, :, :4, :5]
    np.testing.assert_array_equal(on_host(kernels.call("col2im", cols, x.shape, w)), dx)


INDICES = {  # into (4, 5, 3); what the values are broadcast to follows from NumPy
    "repeated": (np.array([1, 3, 1, 1, 0]),),
    "negative": (np.array([[-1, 3], [0, -4]]), slice(1, 4)),
    "apart": (np.array([2, 2, 0]), slice(None), np.array([1, 1, 2])),
    "after a slice": (slice(None, None, 2), np.array([[4], [4]]), np.array([0, 2, 0])),
    "mask": (np.arange(20).reshape(4, 5) % 3 == 0,),
    "list": ([0, 0, 2], ..., 1),
    "none": (np.array([], np.int64),),
    "plain": (slice(1, 3), ..., 2),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", INDICES)
def test_adding_at_an_index_adds_in_order(gpu, rng, name, dtype, layout):
    x = rng.standard_normal((4, 5, 3)).astype(dtype)
    values = rng.standard_normal(x[INDICES[name]].shape).astype(dtype)
    at = on_device(gpu, INDICES[name])
    y = layout(gpu, gpu.asarray(x))
    kernels.call("add_at", y, at, layout(gpu, gpu.asarray(values)))
    sums = np.zeros(x.shape, dtype)
    np.add.at(sums, INDICES[name], values)  # one value after another
    if dtype == "float16":
        np.testing.assert_allclose(y.get(), x + sums, rtol=0, atol=1e-2)
    else:
        np.testing.assert_array_equal(y.get(), x + sums)


@pytest.mark.parametrize("name", SEVERAL)
def test_gradients_not_needed_are_none(gpu, name):
    for call in (c for c in CALLS["float64"] if c.name == name and c.g is not None):
        args, (g,) = on_device(gpu, call.args), on_device(gpu, [call.g])
        for wanted in range(len(call.gradients)):
            needs = tuple(i == wanted and need for i, need in enumerate(call.needs))
            _, saved = forward(name, args, call.y, needs)
            found = backward(name, g, saved, needs)
            expected = [g if n else None for g, n in zip(call.gradients, needs, strict=False)]
            assert_same(on_host(tuple(found)), tuple(expected), f"needs {needs}")


@pytest.mark.parametrize("name", PAIRS)
def test_saved_names_all_that_the_user_holds(gpu, name):
    """What is not among saved.inputs may be overwritten before backward, and nothing changes."""
    for call in (c for c in CALLS["float64"] if c.name == name and c.g is not None):
        args, (g,) = on_device(gpu, call.args), on_device(gpu, [call.g])
        y, saved = forward(name, args, call.y, call.needs)
        assert all(any(known is a for a in (*args, *both(y))) for known in saved.inputs)
        for held in (*args, *both(y)):
            if is_array(held) and not any(
                gpu.may_share_memory(held, known) for known in saved.inputs
            ):
                held[...] = 77
        found = backward(name, g, saved, call.needs)
        assert_same(on_host(tuple(found)), tuple(call.gradients), "gradients")


def test_other_types_are_served_by_the_reference(gpu):
    for dtype in (np.float16, np.int64):
        x = gpu.asarray(np.array([-1, 2], dtype))
        assert kernels.which("relu", x) == "reference"
        chain = Chain((kernels.Call("relu", x.shape, x.dtype),))
        assert on_host(kernels.run(chain, x, (), (False,))[0]).tolist() == [0, 2]
    kernels.use("reference")
    assert kernels.which("relu", gpu.zeros(2)) == "reference"
    kernels.use("cuda")
    assert kernels.which("relu", np.zeros(2)) == "reference"


# ---- the engine ------------------------------------------------------------------------------


def outcome(op, sample, dtype, place):
    """(outputs, gradients, arguments after the call) of a sample on a device, as host arrays."""
    args, kwargs = tensors(sample, dtype)
    args = [_moved(a, place) for a in args]
    kwargs = {k: _moved(v, place) for k, v in kwargs.items()}
    outputs = listed(op.apply(*args, **kwargs))
    carry_back(outputs, [_beside(y, g) for y, g in zip(outputs, upstream(outputs), strict=True)])
    found = [gradient_of(a) for a in args]
    after = [a.array for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    return [[on_host(x) for x in some] for some in ([y.array for y in outputs], found, after)]


def _beside(y, g):
    """A gradient where its output is: ToDevice("cpu") gives one on the host."""
    return None if g is None else to_device(g, y.device)


def _moved(a, place):
    if not isinstance(a, Tensor):
        return a
    return Tensor(place(a.array), requires_grad=a.requires_grad)


@pytest.mark.parametrize("dtype", [None, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("op", "sample"), cases())
def test_every_op_gives_what_it_gives_on_the_cpu(gpu, op, sample, dtype):
    kernels.use("reference")
    expected = outcome(op, sample, dtype, lambda a: a)
    kernels.use("numba")
    found = outcome(op, sample, dtype, gpu.asarray)
    for what, some, others in zip(("output", "gradient", "argument"), found, expected, strict=True):
        assert len(some) == len(others)
        for i, (a, b) in enumerate(zip(some, others, strict=True)):
            assert (a is None) == (b is None), f"{what} {i}"
            if a is not None:
                assert a.dtype == b.dtype, f"{what} {i}"
                assert_agree(a, b, f"{what} {i}")

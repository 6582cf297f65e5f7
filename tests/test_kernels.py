"""The kernels: which implementation serves, and each one on recorded calls, in any memory layout.

The calls are recorded by running every op sample forward and backward, so a new implementation is
tested on all of them once its name is among IMPLEMENTATIONS.
"""

import itertools
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from oracles import philox4x32, philox_words
from test_ops import (
    SAMPLES,
    carry_back,
    disagreement,
    is_floating,
    listed,
    tensors,
    upstream,
    works,
)
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from minicnn import Tensor, kernels
from minicnn.kernels import CONTRACT, PAIRS, PLAIN, reference
from minicnn.ops import OPS, Sample
from minicnn.shapes import window

IMPLEMENTATIONS = ("reference", "numba")


@pytest.fixture(autouse=True)
def _chosen_as_before(monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", kernels._chosen)


# ---- who serves ------------------------------------------------------------------------------


def partial(name="partial") -> ModuleType:
    """An implementation that has relu and im2col only, and makes them recognisably wrong."""
    module = ModuleType(name)
    module.relu = lambda x: (x + 100, kernels.Saved("mine"))
    module.relu_backward = lambda g, saved, needs: (g + 1000,)
    module.im2col = lambda x, w: reference.im2col(x, w) + 100
    return module


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_each_implementation_has_all(implementation):
    kernels.use(implementation)
    module = kernels._chosen
    for name in CONTRACT:
        assert callable(getattr(module, name))
    for name in PAIRS:
        assert callable(getattr(module, name + "_backward"))
    assert len(set(CONTRACT)) == len(PAIRS) + len(PLAIN)


def test_indexing_and_products_of_numpy_arrays_load_no_compiler():
    code = (
        "import sys, minicnn as mc\n"
        "x = mc.ones(3, 3, requires_grad=True)\n"
        "y = x * 1\n"
        "y[0] = 2\n"
        "(y[[0, 1]] @ x).sum().backward()\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_partial_implementation_serves_its_own_and_the_rest_falls_back():
    kernels._chosen = partial()
    own = {name for name in CONTRACT if kernels.which(name) == "partial"}
    assert own == {"relu", "im2col"}
    assert {kernels.which(name) for name in CONTRACT} == {"partial", "reference"}
    x = Tensor(np.array([-1.0, 2.0]), requires_grad=True)
    y = OPS["ReLU"].apply(x)
    y.backward(np.ones(2))
    assert y.array.tolist() == [99, 102]
    assert x.grad.array.tolist() == [1001, 1001]
    assert OPS["Tanh"].apply(x).array.tolist() == np.tanh([-1.0, 2.0]).tolist()
    image = Tensor(np.zeros((1, 1, 2, 2)))
    assert OPS["Unfold"].apply(image, 1).array.tolist() == [[[100.0] * 4]]
    kernels.use("reference")
    assert OPS["ReLU"].apply(x).array.tolist() == [0, 2]


@pytest.mark.parametrize(("first", "second"), [("partial", "reference"), ("reference", "partial")])
def test_backward_goes_to_whoever_made_saved(first, second):
    modules = {"partial": partial(), "reference": reference}
    kernels._chosen = modules[first]
    x = Tensor(np.array([-1.0, 2.0]), requires_grad=True)
    y = OPS["ReLU"].apply(x)
    kernels._chosen = modules[second]
    y.backward(np.ones(2))
    assert x.grad.array.tolist() == ([1001, 1001] if first == "partial" else [0, 1])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'fast' is not one of reference, numba, cuda, crosscheck"):
        kernels.use("fast")
    with pytest.raises(ValueError, match="'relu6' is not one of conv2d, "):
        kernels.which("relu6")


# ---- recorded calls --------------------------------------------------------------------------


@dataclass
class Call:
    """One call of a kernel: forward, and backward if it is a pair; and what the reference gave."""

    name: str
    args: tuple
    y: Any
    g: Any = None
    needs: tuple[bool, ...] = ()
    gradients: tuple = ()


def recorder(calls: list[Call]) -> ModuleType:
    """The reference, writing down what it is called with and what it returns."""
    module = ModuleType("recorder")

    def forward(name):
        def kernel(*args):
            y, saved = getattr(reference, name)(*args)
            calls.append(Call(name, args, y))
            return y, kernels.Saved(saved, calls[-1], inputs=saved.inputs)

        return kernel

    def backward(name):
        def kernel(g, saved, needs):
            inner, call = saved.state
            call.g, call.needs = g, needs
            call.gradients = getattr(reference, name + "_backward")(g, inner, needs)
            return call.gradients

        return kernel

    def plain(name):
        def kernel(*args):
            y = getattr(reference, name)(*args)
            calls.append(Call(name, args, y))
            return y

        return kernel

    for name in PAIRS:
        setattr(module, name, forward(name))
        setattr(module, name + "_backward", backward(name))
    for name in PLAIN:
        setattr(module, name, plain(name))
    return module


def recorded(dtype, special=False) -> list[Call]:
    """The calls of all op samples, in this floating type; with a NaN and a -inf in each array."""
    calls: list[Call] = []
    before = kernels._chosen
    kernels._chosen = recorder(calls)
    try:
        for name, op in OPS.items():
            for sample in (s for s in SAMPLES[name] if works(op, s)):
                args, kwargs = tensors(with_special_values(sample) if special else sample, dtype)
                with np.errstate(all="ignore"):  # as kernels.forward calls the reference
                    outputs = listed(op.apply(*args, **kwargs))
                    carry_back(outputs, upstream(outputs))
    finally:
        kernels._chosen = before
    return calls


def with_special_values(sample):
    args = [a.copy() if is_floating(a) else a for a in sample.args]
    for a in filter(is_floating, args):
        a.flat[a.size // 2 :: 7], a.flat[a.size // 3 :: 5] = np.nan, -np.inf
    return Sample(tuple(args), sample.kwargs)


CALLS = {
    "float64": recorded(np.float64),
    "float32": recorded(np.float32),
    "special": recorded(np.float64, special=True),
}
UPDATES = ("sgd", "adam")  # no op calls them; they are tested further down


def test_every_kernel_is_recorded_or_tested_by_hand():
    reached = {call.name for call in CALLS["float64"]}
    assert reached | set(UPDATES) == set(CONTRACT)
    assert not reached & set(UPDATES)
    assert {c.name for c in CALLS["float64"] if c.g is not None} == set(PAIRS)


def contiguous(x):
    return x.copy()


def with_gaps(x):
    """Every second element of a larger array, along every axis."""
    larger = np.full([2 * n for n in x.shape], 123, x.dtype)
    view = larger[(..., *(slice(None, None, 2) for _ in x.shape))]
    view[...] = x
    return view


def backwards(x):
    """Negative strides along every axis."""
    flip = (..., *(slice(None, None, -1) for _ in x.shape))
    return np.ascontiguousarray(x[flip])[flip] if x.ndim else x.copy()


def columns_first(x):
    return x.T.copy().T


def channels_last(x):
    """The layout that compiled kernels like: (N, C, H, W) over memory in the order N, H, W, C."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1) if x.ndim == 4 else x.copy()


LAYOUTS = (contiguous, with_gaps, backwards, columns_first, channels_last)


def laid_out(args, layout):
    """The arrays among args in another layout, read-only; the rest as it is."""
    found = []
    for a in args:
        if isinstance(a, np.ndarray):
            a = layout(a)
            a.flags.writeable = False
        found.append(a)
    return tuple(found)


def assert_same(found, expected, what):
    """Integers equal; floating numbers up to the order of summation."""
    assert isinstance(found, tuple) == isinstance(expected, tuple), what
    for a, b in zip(both(found), both(expected), strict=True):
        assert (a is None) == (b is None), what
        if a is None:
            continue
        assert a.dtype == b.dtype, what
        if a.dtype.kind == "f":
            assert disagreement(a, b) <= (1e-9 if a.dtype == np.float64 else 1e-4), what
        else:
            np.testing.assert_array_equal(a, b, what)


def both(x):
    return x if isinstance(x, tuple) else (x,)


def replay(call, layout, implementation):
    kernels.use(implementation)
    args = laid_out(call.args, layout)
    if call.name in PLAIN:
        assert_same(kernels.call(call.name, *args), call.y, "y")
        return
    y, saved = kernels.forward(call.name, *args)
    assert_same(y, call.y, "y")
    if call.g is not None:
        (g,) = laid_out([call.g], layout)
        found = kernels.backward(call.name, g, saved, call.needs)
        assert_same(tuple(found), tuple(call.gradients), "gradients")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", CALLS)
@pytest.mark.parametrize("name", sorted(set(CONTRACT) - set(UPDATES)))
def test_any_memory_layout_gives_the_same(name, dtype, layout, implementation):
    """And leaves its arguments alone: they are read-only."""
    with np.errstate(all="ignore"):
        for call in CALLS[dtype]:
            if call.name == name:
                replay(call, layout, implementation)


SEVERAL = sorted({c.name for c in CALLS["float64"] if len(c.gradients) > 1})


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", SEVERAL)
def test_gradients_not_needed_are_none(name, implementation):
    """Of the kernels with several; one with a single gradient is only called where it is needed."""
    kernels.use(implementation)
    for call in (c for c in CALLS["float64"] if c.name == name and c.g is not None):
        for wanted in range(len(call.gradients)):
            needs = tuple(i == wanted and need for i, need in enumerate(call.needs))
            _, saved = kernels.forward(name, *call.args)
            found = kernels.backward(name, call.g, saved, needs)
            expected = [g if n else None for g, n in zip(call.gradients, needs, strict=False)]
            assert_same(tuple(found), tuple(expected), f"needs {needs}")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", PAIRS)
def test_saved_names_all_that_the_user_holds(name, implementation):
    """What is not among saved.inputs may be overwritten before backward, and nothing changes."""
    kernels.use(implementation)
    overwrite_what_is_not_named(name, kernels._chosen)


def overwrite_what_is_not_named(name, module):
    kernels._chosen = module
    for call in (c for c in CALLS["float64"] if c.name == name and c.g is not None):
        args = [a.copy() if isinstance(a, np.ndarray) else a for a in call.args]
        y, saved = kernels.forward(name, *args)
        for held in (*args, *both(y)):
            if isinstance(held, np.ndarray) and not any(
                np.may_share_memory(held, known) for known in saved.inputs
            ):
                held[...] = 77
        found = kernels.backward(name, call.g, saved, call.needs)
        assert_same(tuple(found), tuple(call.gradients), "gradients")


def test_overwritten_inputs_would_be_noticed():
    """The test above on an implementation that does not name what it keeps."""
    careless = ModuleType("careless")
    careless.relu = lambda x: (y := reference.relu(x)[0], kernels.Saved(y))
    careless.relu_backward = reference.relu_backward
    with pytest.raises(AssertionError):
        overwrite_what_is_not_named("relu", careless)


# ---- naive oracles ---------------------------------------------------------------------------

GEOMETRIES = [  # size, kernel_size, stride, padding, dilation
    ((5, 6), (2, 3), (1, 1), (0, 0), (1, 1)),
    ((6, 5), (3, 2), (2, 3), (1, 2), (2, 1)),
    ((4, 4), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((3, 7), (1, 3), (4, 2), (2, 0), (1, 3)),
]


def each_tap(x_shape, w):
    """(channel, u, v, image, i, j, row, column) for every tap of every window inside the image."""
    n, c, height, width = x_shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw), (oh, ow) = w
    places = itertools.product(*map(range, (c, kh, kw, n, oh, ow)))
    for channel, u, v, image, i, j in places:
        row, column = i * sh + u * dh - ph, j * sw + v * dw - pw
        if 0 <= row < height and 0 <= column < width:
            yield channel, u, v, image, i, j, row, column


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2col_and_col2im_by_nested_loops(geometry):
    size, *rest = geometry
    w = window("test", size, *rest)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, *size))
    columns = np.zeros((2, 3, *w.kernel_size, *w.out))
    g = rng.standard_normal(columns.shape)
    dx = np.zeros_like(x)
    for c, u, v, n, i, j, row, column in each_tap(x.shape, w):
        columns[n, c, u, v, i, j] = x[n, c, row, column]
        dx[n, c, row, column] += g[n, c, u, v, i, j]
    flat = (2, 3 * w.kernel_size[0] * w.kernel_size[1], -1)
    np.testing.assert_array_equal(kernels.call("im2col", x, w), columns.reshape(flat))
    found = kernels.call("col2im", g.reshape(flat), x.shape, w)
    np.testing.assert_allclose(found, dx, rtol=0, atol=1e-13)


def more_behind():
    """An image; the same with a row and a column of zeros behind it; a window over the latter."""
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    wide = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)])
    w = window("test", wide.shape[2:], (4, 2), 1, (1, 0), 1)
    assert w.out == x.shape[2:] != window("test", x.shape[2:], (4, 2), 1, (1, 0), 1).out
    return x, wide, w


@pytest.mark.parametrize("implementation", ["reference", "numba"])
def test_columns_of_a_window_that_wants_more_zeros_behind(implementation, monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", None)
    kernels.use(implementation)
    x, wide, w = more_behind()
    cols = kernels.call("im2col", wide, w)
    np.testing.assert_array_equal(kernels.call("im2col", x, w), cols)
    dx = kernels.call("col2im", cols, wide.shape, w)[:, :, :4, :5]
    np.testing.assert_array_equal(kernels.call("col2im", cols, x.shape, w), dx)


def test_convolution_of_a_window_that_wants_more_zeros_behind():
    x, wide, w = more_behind()
    weight = np.random.default_rng(1).standard_normal((4, 3, 4, 2))
    (y, saved), (expected, beside) = (reference.conv2d(a, weight, None, w, 1) for a in (x, wide))
    np.testing.assert_array_equal(y, expected)
    dx, dw, _ = reference.conv2d_backward(y, saved, (True, True, False))
    wide_dx, wide_dw, _ = reference.conv2d_backward(y, beside, (True, True, False))
    np.testing.assert_array_equal(dx, wide_dx[:, :, :4, :5])
    np.testing.assert_array_equal(dw, wide_dw)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_conv2d_by_nested_loops(geometry, groups):
    size, *rest = geometry
    w = window("test", size, *rest)
    rng = np.random.default_rng(0)
    x, bias = rng.standard_normal((2, 3, *size)), rng.standard_normal(6)
    weight = rng.standard_normal((6, 3 // groups, *w.kernel_size))
    expected = np.zeros((2, 6, *w.out)) + bias[:, None, None]
    for c, u, v, n, i, j, row, column in each_tap(x.shape, w):
        group, within = divmod(c, 3 // groups)
        for o in range(group * 6 // groups, (group + 1) * 6 // groups):
            expected[n, o, i, j] += weight[o, within, u, v] * x[n, c, row, column]
    y, _ = kernels.forward("conv2d", x, weight, bias, w, groups)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


def test_max_pool_of_minus_infinities_stays_inside_the_image():
    """Padding is -inf too, but never the winner."""
    x = np.full((1, 1, 3, 3), -np.inf)
    w = window("test", (3, 3), kernel_size=2, stride=2, padding=1, dilation=1)
    (y, where), _ = kernels.forward("max_pool2d", x, w)
    assert np.isneginf(y).all()
    assert where.tolist() == [[[[0, 1], [3, 4]]]]


# ---- Philox ----------------------------------------------------------------------------------

# Random123's kat_vectors for philox4x32-10: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text):
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_oracle_gives_the_published_words(counter, key, expected):
    assert tuple(philox4x32(words(counter), words(key))) == words(expected)


def test_philox_gives_the_published_words():
    """The one published vector whose counter has no more than 64 bits."""
    _, _, expected = KNOWN_ANSWERS[0]
    assert tuple(reference.philox(np, 4, 0, 0).tolist()) == words(expected)


@pytest.mark.parametrize("n", [0, 1, 4, 11])
@pytest.mark.parametrize("offset", [0, 1, 2**32 - 2, 2**40 + 5])
@pytest.mark.parametrize("seed", [0, 1, 2**32 + 7, 2**64 - 1])
def test_philox_is_the_oracle_s(n, offset, seed):
    found = reference.philox(np, n, seed, offset)
    assert found.dtype == np.uint32
    assert found.tolist() == philox_words(n, seed, offset)


def test_dropout_keeps_a_word_equal_to_the_threshold():
    """The mask is the same on every device to the last bit: kept where word >= p 2^32."""
    found = philox_words(6, 7, 0)
    y, _ = kernels.forward("dropout", np.ones((2, 3)), found[2] / 2**32, 7, 0)
    assert (y.ravel() > 0).tolist() == [word >= found[2] for word in found]


# ---- optimiser updates -----------------------------------------------------------------------


# torch.optim's functions under its classes, whose first step imports torch's compiler for seconds.

LAYOUTS_OF_PARAMETERS = (contiguous, with_gaps, backwards, columns_first)
SGD = [(0.0, 0.0, 0.0, False), (0.9, 0.0, 0.1, False), (0.9, 0.3, 0.0, False), (0.5, 0, 0.1, True)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS_OF_PARAMETERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("momentum", "dampening", "decay", "nesterov"), SGD)
def test_sgd_is_torch_s(momentum, dampening, decay, nesterov, layout, implementation):
    kernels.use(implementation)
    start, *gradients = np.random.default_rng(0).standard_normal((5, 2, 3))
    p, velocity = layout(start), layout(np.zeros_like(start)) if momentum else None
    t, buffers = torch.tensor(start), [None]
    for i, g in enumerate(gradients):
        sgd(
            [t], [torch.tensor(g)], buffers, foreach=False, weight_decay=decay, momentum=momentum,
            lr=0.1, dampening=dampening, nesterov=nesterov, maximize=False,
        )  # fmt: skip
        (g,) = laid_out([g], layout)
        arguments = (p, g, velocity, i == 0, 0.1, momentum, dampening, decay, nesterov)
        assert kernels.call("sgd", *arguments) is None
        assert disagreement(p, t.numpy()) <= 1e-9


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS_OF_PARAMETERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_torch_s(decay, decoupled, layout, implementation):
    kernels.use(implementation)
    start, *gradients = np.random.default_rng(0).standard_normal((5, 2, 3))
    p, m, v = layout(start), layout(np.zeros_like(start)), layout(np.zeros_like(start))
    t, t_m, t_v = (torch.tensor(a) for a in (start, np.zeros_like(start), np.zeros_like(start)))
    for i, g in enumerate(gradients):
        adam(
            [t], [torch.tensor(g)], [t_m], [t_v], [], [torch.tensor(float(i))], foreach=False,
            decoupled_weight_decay=decoupled, amsgrad=False, beta1=0.8, beta2=0.95, lr=0.1,
            weight_decay=decay, eps=1e-6, maximize=False,
        )  # fmt: skip
        (g,) = laid_out([g], layout)
        kernels.call("adam", p, g, m, v, i + 1, 0.1, 0.8, 0.95, 1e-6, decay, decoupled)
        assert disagreement(p, t.numpy()) <= 1e-9

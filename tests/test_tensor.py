"""Tensor outside the tape: making, types, promotion, indexing, shapes, NumPy, DLPack, printing."""

import itertools
import re
import sys
import types

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn.errors import ArgumentError, DeviceError, DtypeError, GradientError, ShapeError

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


def same(ours, theirs):
    """The same shape, type and elements as a torch tensor."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)


# ---- making ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    1, 1.5, True, [1, 2], [1.0, 2], [[1.5], [2.5]], [True, False], np.float64(1.5),
    np.arange(3, dtype=np.int32), np.ones((2, 1)), [], [[]], (1, 2.5),
])  # fmt: skip
def test_tensor_chooses_the_type_that_pytorch_chooses(data):
    same(mc.tensor(data), torch.tensor(data))


def test_tensor_copies_and_from_numpy_does_not():
    a = np.ones(3)
    copied, shared = mc.tensor(a), mc.from_numpy(a)
    a[0] = 5
    assert copied.tolist() == [1, 1, 1]
    assert shared.tolist() == [5, 1, 1]
    assert mc.as_tensor(a).array is a
    with pytest.raises(TypeError, match="expected a numpy array, not list"):
        mc.from_numpy([1.0])


def test_types_that_are_not_supported_are_refused():
    for bad in (np.ones(2, complex), np.array(["a"]), np.array([object()])):
        with pytest.raises(DtypeError, match="is not supported; use one of bool"):
            mc.tensor(bad)
        with pytest.raises(DtypeError, match="is not supported"):
            mc.from_numpy(bad)
    with pytest.raises(DtypeError, match="only floating types can require gradients, not int64"):
        mc.tensor([1], requires_grad=True)


def test_filled_tensors():
    same(mc.zeros(2, 3), torch.zeros(2, 3))
    same(mc.ones((2, 3), dtype=mc.int64), torch.ones((2, 3), dtype=torch.int64))
    same(mc.full((2,), 3), torch.full((2,), 3))
    same(mc.full((2,), 3.5), torch.full((2,), 3.5))
    for args in [(5,), (1, 5), (1, 6, 2), (0.0, 1.0, 0.25)]:
        same(mc.arange(*args), torch.arange(*args))
    x, z = mc.zeros(2, 3, dtype=mc.float64), torch.zeros(2, 3, dtype=torch.float64)
    same(mc.ones_like(x), torch.ones_like(z))
    same(mc.zeros_like(x, dtype=mc.float32), torch.zeros_like(z, dtype=torch.float32))
    same(mc.full_like(x, 7), torch.full_like(z, 7))
    assert mc.zeros(size=(4, 1)).shape == (4, 1)
    assert mc.ones(()).shape == ()
    assert mc.zeros(0, 3).shape == (0, 3)


def test_random_tensors_follow_the_seed():
    mc.manual_seed(3)
    first = [
        mc.rand(2, 3),
        mc.randn(4),
        mc.rand(size=(2, 2)),
        mc.randint(0, 9, (5,)),
        mc.randperm(6),
    ]
    mc.manual_seed(3)
    again = [
        mc.rand(2, 3),
        mc.randn(4),
        mc.rand(size=(2, 2)),
        mc.randint(0, 9, (5,)),
        mc.randperm(6),
    ]
    assert all(mc.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not mc.equal(mc.rand(2, 3), first[0])
    assert mc.rand_like(first[0]).shape == (2, 3)
    assert mc.randn_like(first[0]).dtype == mc.float32
    assert sorted(first[4].tolist()) == list(range(6))
    with pytest.raises(DtypeError, match="floating dtype"):
        mc.rand(2, dtype=mc.int64)


def test_random_numbers_have_their_distribution():
    n = 200_000
    uniform, normal = mc.rand(n, dtype=mc.float64).array, mc.randn(n, dtype=mc.float64).array
    assert 0 <= uniform.min() < 1e-3
    assert 1 - 1e-3 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01


def test_a_generator_continues_from_its_state():
    g = mc.Generator().manual_seed(5)
    g.numpy.random(7)
    g.counters(10)
    state = g.get_state()
    expected = g.numpy.random(3).tolist(), g.counters(5)
    other = mc.Generator(1)
    other.set_state(state)
    assert (other.numpy.random(3).tolist(), other.counters(5)) == expected
    assert other.initial_seed() == 5
    assert mc.Generator().initial_seed() != mc.Generator().initial_seed()


# ---- types -----------------------------------------------------------------------------------

SCALARS = [True, 3, 2.5]


@pytest.mark.parametrize("op", ["__add__", "__mul__", "__truediv__", "__eq__", "__lt__"])
def test_promotion_of_every_pair_of_types(op):
    for a, b in itertools.product(NAMES, NAMES):
        for shape_a, shape_b in ((2,), (2,)), ((2,), ()), ((), (2,)), ((), ()):
            x, y = np.ones(shape_a, a), np.ones(shape_b, b)
            ours = getattr(mc.tensor(x), op)(mc.tensor(y))
            same(ours, getattr(torch.tensor(x), op)(torch.tensor(y)))


@pytest.mark.parametrize("number", SCALARS, ids=str)
def test_promotion_with_numbers(number):
    for name, shape in itertools.product(NAMES, [(2,), ()]):
        x = np.ones(shape, name)
        for f in (
            lambda t: t + number, lambda t: number * t, lambda t: t / number,
            lambda t: number / t, lambda t: t >= number,
        ):  # fmt: skip
            same(f(mc.tensor(x)), f(torch.tensor(x)))


def test_a_numpy_scalar_is_a_number():
    x = mc.ones(3)
    for y in (x * np.float64(2.5), np.float64(2.5) * x, x + np.int64(1), x / np.float64(3)):
        assert isinstance(y, mc.Tensor)
        assert y.dtype == mc.float32
    x *= np.float64(2)
    assert x.dtype == mc.float32


def test_an_array_as_the_other_side():
    x = mc.ones(3, dtype=mc.float64)
    for y in (x + np.ones(3), np.ones(3) + x, np.ones((2, 3)) * x, np.ones(3) - x, np.ones(3) == x):
        assert isinstance(y, mc.Tensor)
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"
    assert (x == "a") is False
    assert (x == None) is False  # noqa: E711


def test_casts():
    x = mc.tensor([1.7, -2.2, 0.0])
    z = torch.tensor([1.7, -2.2, 0.0])
    for name in ("float", "double", "long", "int", "bool"):
        same(getattr(x, name)(), getattr(z, name)())
    same(x.to(mc.float64), z.to(torch.float64))
    same(x.type(mc.int64), z.type(torch.int64))
    assert x.type() == "float32"
    assert x.to(mc.float32) is x
    assert x.to("cpu") is x
    assert x.to(mc.device("cpu"), mc.float64, non_blocking=True).dtype == mc.float64
    assert x.to(mc.ones(1, dtype=mc.int64)).dtype == mc.int64
    assert x.cpu() is x
    with pytest.raises(TypeError, match="unexpected argument memory"):
        x.to("cpu", memory=1)
    with pytest.raises(DtypeError, match="complex128 is not supported"):
        x.to(np.complex128)


def test_a_gradient_goes_back_through_a_cast():
    x = mc.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * mc.tensor([3.0, 4.0], dtype=mc.float64)).sum().backward()
    assert x.grad.dtype == mc.float32
    assert x.grad.tolist() == [3.0, 4.0]


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    for move in (
        lambda: mc.ones(2).to("cuda"),
        lambda: mc.ones(2, device="cuda:1"),
        mc.ones(2).cuda,
    ):
        with pytest.raises(DeviceError, match=r"CuPy, which is not installed: pip install"):
            move()


def test_a_cupy_that_cannot_be_imported(tmp_path, monkeypatch):
    """CuPy wraps what went wrong in a page of advice."""
    (tmp_path / "cupy.py").write_text(
        "try: raise ImportError('libcublas.so.13: cannot open')\n"
        "except ImportError as e: raise ImportError('Failed.\\n\\nIf you ...') from e\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(DeviceError) as error:
        mc.ones(2).cuda()
    assert str(error.value) == (
        "device 'cuda' needs CuPy, which is installed, but cannot be imported: libcublas.so.13: "
        "cannot open"
    )


def test_devices():
    d = mc.device("cuda:1")
    assert (d.type, d.index, str(d)) == ("cuda", 1, "cuda:1")
    assert mc.device(1) == mc.device("cuda", 1) == d
    assert mc.device("cpu") == mc.ones(1).device
    assert mc.device("cuda", 1) == d
    assert len({d, mc.device("cuda:1"), mc.device("cpu")}) == 2
    assert repr(d) == "device('cuda:1')"
    for bad in ("gpu", "cuda:x"):
        with pytest.raises(ArgumentError, match="is not one of 'cpu', 'cuda', 'cuda:N'"):
            mc.device(bad)


# ---- numbers out -----------------------------------------------------------------------------


def test_one_element_as_a_number():
    x = mc.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert [10, 20, 30][mc.tensor(1)] == 20
    assert f"{mc.tensor(1.23456):.2f}" == "1.23"
    for f in (float, int, bool, mc.Tensor.item, lambda t: [0][t]):
        with pytest.raises(ValueError, match=r"one element, not a tensor of \(2,\)"):
            f(mc.ones(2))
    with pytest.raises(TypeError, match="0-dim"):
        len(mc.tensor(1.0))
    with pytest.raises(TypeError, match="0-dim"):
        list(mc.tensor(1.0))


def test_numpy_and_array():
    x = mc.ones(2, 3)
    assert x.numpy() is x.array
    assert np.asarray(x) is x.array
    assert np.array(x) is not x.array
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.exp(x).shape == (2, 3)
    with pytest.raises(ValueError, match="needs a copy"):
        np.array(x, dtype=np.float64, copy=False)
    w = mc.ones(2, requires_grad=True)
    for f in (mc.Tensor.numpy, np.asarray):
        with pytest.raises(GradientError, match=r"requires grad.*tensor\.detach\(\)\.numpy\(\)"):
            f(w)
    assert w.tolist() == [1.0, 1.0]


def test_dlpack_both_ways():
    x = mc.arange(6).view(2, 3).float()
    there = torch.from_dlpack(x)
    there[0, 0] = 9
    assert x[0, 0].item() == 9
    back = mc.from_dlpack(torch.arange(4))
    same(back, torch.arange(4))
    assert np.shares_memory(np.from_dlpack(x), x.array)
    with pytest.raises(GradientError, match=r"export tensor\.detach"):
        torch.from_dlpack(mc.ones(2, requires_grad=True))


def test_printing():
    assert repr(mc.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(mc.tensor([1, 20])) == "tensor([ 1, 20])"
    assert repr(mc.tensor([1e-5, 1.0])) == "tensor([1.0000e-05, 1.0000e+00])"
    assert repr(mc.ones(1, dtype=mc.float64)) == "tensor([1.], dtype=float64)"
    w = mc.ones(1, requires_grad=True)
    assert repr(w) == "tensor([1.], requires_grad=True)"
    assert repr(w * 2) == "tensor([2.], grad_fn=<Mul>)"
    assert repr(mc.nn.Parameter([1.0])) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert repr(mc.zeros(5000)) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"
    assert repr(mc.zeros(0)) == "tensor([])"
    assert repr(mc.zeros(0, 2)) == "tensor([], size=(0, 2))"


def numbers_to_print(rng, i):
    """Numbers of some size, type and shape; sometimes whole, not finite, zero, or very unequal."""
    dims = i % 5
    shape = rng.integers(i % 11 > 0, (3, 60, 30, 9, 6)[dims], dims)
    if i % 25 == 1:
        shape = rng.integers(990, 1010, 1)
    x = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 10))
    x = np.round(x) if i % 4 == 0 else x
    x = np.asarray(x * 10.0 ** rng.integers(-3, 3, shape)) if i % 4 == 1 else x
    x = np.asarray(rng.standard_normal(shape) * 50) if i % 4 == 2 else x
    if i % 3 == 0 and x.size:
        x.flat[rng.integers(x.size)] = (np.nan, np.inf, -np.inf, 0.0)[i % 4]
    kind = ("float32", "float64", "float16", "float32", "int64", "int16", "bool")[i % 7]
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(np.nan_to_num(x) % 1000 if kind[0] == "i" else x), kind)


PRINT_OPTIONS = [
    {}, {}, {}, {"precision": 2}, {"sci_mode": True}, {"sci_mode": False}, {"linewidth": 40},
    {"threshold": 10}, {"threshold": 5, "edgeitems": 1}, {"threshold": 5, "edgeitems": 0},
    {"profile": "short"}, {"profile": "full", "linewidth": 120},
]  # fmt: skip


@pytest.mark.parametrize("options", PRINT_OPTIONS, ids=str)
def test_tensors_are_printed_as_pytorch_prints_them(options, rng):
    """But for `torch.`; it is part of a dtype's name, so where the line breaks may differ too."""

    def joined(text):
        return re.sub(r",\n +([a-z])", r", \1", text.replace("torch.", ""))

    try:
        for lib in (mc, torch):
            lib.set_printoptions(**options)
        for i in range(70):
            x = numbers_to_print(rng, i)
            grad = x.dtype.kind == "f" and i % 2 == 0
            found, expected = (repr(m.from_numpy(x).requires_grad_(grad)) for m in (mc, torch))
            if "dtype" in expected:
                found, expected = joined(found), joined(expected)
            assert found == expected
    finally:
        for lib in (mc, torch):
            lib.set_printoptions(profile="default")


# ---- shapes and indices ----------------------------------------------------------------------


def test_shape_methods():
    x, z = mc.arange(24).view(2, 3, 4), torch.arange(24).view(2, 3, 4)
    assert (x.shape, x.size(), x.size(-1), x.numel(), x.dim(), x.ndim, len(x)) == (
        (2, 3, 4), (2, 3, 4), 4, 24, 3, 3, 2,
    )  # fmt: skip
    for f in (
        lambda t: t.reshape(4, -1), lambda t: t.reshape((6, 4)), lambda t: t.view(-1),
        lambda t: t.view_as(t.reshape(4, 6)), lambda t: t.permute(2, 0, 1),
        lambda t: t.permute((1, 2, 0)), lambda t: t.transpose(0, -1), lambda t: t[0].T,
        lambda t: t.flatten(), lambda t: t.flatten(1), lambda t: t.flatten(0, 1),
        lambda t: t.unsqueeze(0), lambda t: t.unsqueeze(-1), lambda t: t.unsqueeze(2).squeeze(2),
        lambda t: t.unsqueeze(0).unsqueeze(-1).squeeze(), lambda t: t.squeeze(1),
        lambda t: t[:, :1].expand(2, 5, 4), lambda t: t[:, :1].expand(-1, 3, -1),
        lambda t: t.contiguous(), lambda t: t.clone(), lambda t: t[0, 0, 0].flatten(),
    ):  # fmt: skip
        same(f(x), f(z))
    for f in (lambda t: t.split(2, 1), lambda t: t.split([1, 3], dim=-1), lambda t: t.split(5)):
        for a, b in zip(f(x), f(z), strict=True):
            same(a, b)
    assert x.stride() == (12, 4, 1)
    assert x.is_contiguous()
    assert not x.transpose(0, 1).is_contiguous()
    assert x.transpose(0, 1).contiguous().is_contiguous()
    assert x.contiguous().array is x.array or np.shares_memory(x.contiguous().array, x.array)


def test_view_copies_where_it_must():
    """A departure from PyTorch, which refuses: tutorials write x.view(n, -1) after any layer."""
    x = mc.arange(6).view(2, 3).T
    assert x.view(-1).tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize(("f", "error", "message"), [
    (lambda t: t.view(5, -1), ShapeError, r"reshape: shape \(5, -1\) does not fit .* 24 elements"),
    (lambda t: t.view(mc.float32), ArgumentError, r"view: takes a shape"),
    (lambda t: t.split(0), ArgumentError, "split_size must be at least 1"),
    (lambda t: t.split([1, 2], 2), ArgumentError, r"sizes \[1, 2\] must add up to dim 2's size, 4"),
    (lambda t: t.flatten(2, 1), ArgumentError, "start_dim 2 comes after end_dim 1"),
    (lambda t: t.transpose(0, 3), IndexError, "transpose: dim 3 is out of range .* 3 dimensions"),
    (lambda t: t.size(4), IndexError, "size: dim 4"),
    (lambda t: t[5], IndexError, r"out of bounds.*shape is \(2, 3, 4\)"),
    (lambda t: t[::-1], ArgumentError, "step must be positive, not -1"),
    (lambda t: t.__setitem__(0, mc.ones(5)), ShapeError, r"of \(5,\) does not fit .* \(3, 4\)"),
])  # fmt: skip
def test_refusals(f, error, message):
    with pytest.raises(error, match=message):
        f(mc.arange(24).view(2, 3, 4))


def test_indices_of_every_kind():
    a = np.arange(60).reshape(3, 4, 5)
    x, z = mc.tensor(a), torch.tensor(a)
    for make in (
        lambda m: 1, lambda m: -1, lambda m: slice(1, 3), lambda m: (slice(None), 2),
        lambda m: (..., 1), lambda m: None, lambda m: (0, None, slice(0, 4, 2)),
        lambda m: [0, 2, 2], lambda m: m.tensor([2, 0, 0]), lambda m: m.tensor([[0, 1], [1, 2]]),
        lambda m: (m.tensor([0, 1]), m.tensor([3, 3])), lambda m: (slice(None), m.tensor([1, 1])),
        lambda m: m.tensor(a) > 30, lambda m: m.tensor(a)[:, :, 0] > 20, lambda m: m.tensor(1),
        lambda m: (slice(None), slice(None), m.tensor([True, False, True, False, True])),
    ):  # fmt: skip
        same(x[make(mc)], z[make(torch)])
        x2, z2 = mc.tensor(a), torch.tensor(a)
        x2[make(mc)] = 7
        z2[make(torch)] = 7
        same(x2, z2)
    assert [t.tolist() for t in mc.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]


def test_masks_and_choices():
    x, z = mc.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, -2.0, 3.0])
    same((x > 0) & (x < 2), (z > 0) & (z < 2))
    same((x > 2) | (x < 0), (z > 2) | (z < 0))
    same(~(x > 0), ~(z > 0))
    same(mc.where(x > 0, x, 0.0), torch.where(z > 0, z, 0.0))
    assert bool((x == x).all())
    assert bool((x > 2).any())
    assert not bool((x > 5).any())
    assert mc.allclose(x, x + 1e-9)
    assert not mc.allclose(x, x + 1e-2)
    assert not mc.equal(x, x[:2])


def test_reductions_and_orders_as_functions_and_methods():
    a = np.random.default_rng(1).standard_normal((3, 4))
    x, z = mc.tensor(a), torch.tensor(a)
    for f in (
        lambda m, t: m.sum(t), lambda m, t: t.mean(1), lambda m, t: t.std(0),
        lambda m, t: t.var(unbiased=False), lambda m, t: t.max(), lambda m, t: m.max(t, 1).values,
        lambda m, t: t.max(dim=0, keepdim=True)[1], lambda m, t: t.min(1).indices,
        lambda m, t: m.argmax(t, dim=1), lambda m, t: t.topk(2, 1).values,
        lambda m, t: m.topk(t, 2, 0)[1], lambda m, t: t.abs().sqrt(), lambda m, t: abs(-t),
        lambda m, t: m.exp(t), lambda m, t: t.clamp(-0.5, 0.5),
        lambda m, t: t**2, lambda m, t: 2**t,
        lambda m, t: 1 - t, lambda m, t: 1 / t, lambda m, t: t @ t.T,
        lambda m, t: m.matmul(t, t[0]),
        lambda m, t: m.cat([t, t], 1), lambda m, t: m.stack((t, t), dim=-1),
        lambda m, t: t.softmax(1),
        lambda m, t: m.flatten(t, start_dim=0), lambda m, t: m.sigmoid(t), lambda m, t: m.relu(t),
        lambda m, t: m.transpose(t, 0, 1), lambda m, t: (t > 0).sum(), lambda m, t: t.tanh(),
    ):  # fmt: skip
        same(f(mc, x), f(torch, z))


def test_filling_in_place():
    x = mc.zeros(2, 3)
    assert x.fill_(2) is x
    assert x.tolist() == [[2.0] * 3] * 2
    x.copy_(mc.arange(3))
    assert x.tolist() == [[0.0, 1.0, 2.0]] * 2
    assert x.zero_().sum().item() == 0
    x.uniform_(2, 3)
    assert bool(((x >= 2) & (x < 3)).all())
    x.normal_(5, 0.01)
    assert abs(x.mean().item() - 5) < 0.1
    x -= 1
    x /= 2
    x.add_(1).mul_(3)
    assert x.shape == (2, 3)


# ---- what tutorials call, against PyTorch ------------------------------------------------------

A = np.array([[1.5, -2.0, 0.0, 3.0], [-0.5, 4.0, 1.5, -3.0], [2.5, 2.5, -1.0, 0.25]])
B = np.array([[1.5, 1.0, -2.0, 4.0], [0.5, -4.0, 2.0, -3.0], [2.5, -0.5, 3.0, 0.5]])
INDEX = [[0, 3, 1], [2, 2, 0]]

DIFFERENTIABLE = {
    "maximum": lambda m, a, b: m.maximum(a, b),
    "minimum": lambda m, a, b: m.minimum(a, b),
    "max of two": lambda m, a, b: m.max(a, b) * a,
    "min of two, broadcast": lambda m, a, b: a.min(b[0]),
    "add alpha": lambda m, a, b: m.add(a, b, alpha=-2) * b,
    "sub alpha": lambda m, a, b: a.sub(b, alpha=3) * a,
    "add_": lambda m, a, b: (a * 1).add_(b, alpha=0.5) ** 2,
    "sub_": lambda m, a, b: (a * 1).sub_(b, alpha=2) ** 2,
    "masked_fill": lambda m, a, b: a.masked_fill(b > 1, 7.0) * a,
    "masked_fill_": lambda m, a, b: (a * b).masked_fill_(b > 1, -1),
    "where": lambda m, a, b: a.where(b > 0, b),
    "gather": lambda m, a, b: a.gather(1, m.tensor(INDEX)) * m.gather(b, 0, m.tensor(INDEX) % 3),
    "gather negative dim": lambda m, a, b: m.gather(a, -1, m.tensor(INDEX)),
    "index_select": lambda m, a, b: a.index_select(1, m.tensor([3, 0, 0])),
    "scatter_": lambda m, a, b: m.zeros(3, 4, dtype=m.float64).scatter_(1, m.tensor(INDEX), 2) * a,
    "sort": lambda m, a, b: a.sort()[0] * b,
    "sort 0": lambda m, a, b: m.sort(a, 0, descending=True).values * b,
    "cumsum": lambda m, a, b: a.cumsum(1) * b + m.cumsum(b, dim=0),
    "norm": lambda m, a, b: a.norm() * b.norm(),
    "norm of dims": lambda m, a, b: a.norm(dim=1) * m.norm(b, 2, 1),
    "norm keepdim": lambda m, a, b: a / a.norm(p=2, dim=0, keepdim=True),
    "norm 1": lambda m, a, b: a.norm(1) + b.norm(p=1, dim=0),
    "norm 3": lambda m, a, b: (a + 10).norm(3),
    "norm inf": lambda m, a, b: a.norm(float("inf")) + b.norm(float("inf"), dim=1),
    "norm at 0": lambda m, a, b: (a - a).norm() + b.norm("fro"),
    "remainder": lambda m, a, b: a % 0.75 + a.remainder(b),
    "split": lambda m, a, b: a.split([1, 3], 1)[1].sum() * b.chunk(3, dim=1)[1],
    "chunk": lambda m, a, b: m.chunk(a, 2)[1] * b.chunk(5, 1)[3],
    "unbind": lambda m, a, b: m.unbind(a, 1)[2] * b.unbind()[0][1],
    "repeat": lambda m, a, b: a.repeat(2, 1, 3) * 2 + b.repeat(1, 3),
    "expand_as": lambda m, a, b: a[:, :1].expand_as(b) * b,
    "products": lambda m, a, b: a.mm(b.t()) @ m.mv(a, b[0]) * a[0].dot(b[1]),
    "bmm": lambda m, a, b: m.bmm(a.reshape(2, 3, 2), b.reshape(2, 2, 3)),
    "outer": lambda m, a, b: m.outer(a[0], b[1]),
    "axis": lambda m, a, b: a.sum(axis=1, keepdims=True) * b.mean(axis=(0, 1)) + b.std(axis=0),
    "reshape_as": lambda m, a, b: a.T.reshape_as(b) * b,
    "cat with nothing": lambda m, a, b: m.cat([m.tensor([]), a, m.empty(0), b], 1) * 2,
    "vstack": lambda m, a, b: m.vstack([a, b[0], b * a]),
    "hstack": lambda m, a, b: m.hstack((a, b))[0] + m.hstack([a[0], b[1]]),
    "concat": lambda m, a, b: m.concat((a, b), dim=-1),
    "diag": lambda m, a, b: m.diag(a[0]) * b[1] + m.diag(a[1, :3], 1) - b[0, :2].diag(-2),
    "diag of a matrix": lambda m, a, b: a.diag() + m.diag(b, 1) + m.diag(b, -1).sum(),
    "trace": lambda m, a, b: m.trace(a) * (a @ b.T).trace(),
    "flip": lambda m, a, b: m.flip(a, (0, 1)) * b.flip(-1) + m.flip(b, [0]),
    "square, clip": lambda m, a, b: m.square(a) + b.clip(-0.5, 0.5) + m.clip(a, min=0),
    "prod": lambda m, a, b: m.prod(a) * b.prod(0) + a.prod(dim=0, keepdim=True),
    "prod with zeros": lambda m, a, b: (a * (b > 0)).prod(1) + (a * (b < 9)).prod(-1) * b[0, 1],
    "masked_select": lambda m, a, b: a.masked_select(b.detach() > 0) * 3,
    "masked_select row": lambda m, a, b: m.masked_select(a, m.tensor([[True], [False], [True]])),
    "type_as": lambda m, a, b: a.type_as(b) * b.new_ones(3, 1) + b.new_full((4,), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_convenience_is_pytorchs_with_its_gradients(name):
    found = []
    for m in (mc, torch):
        a, b = (m.tensor(x, requires_grad=True) for x in (A, B))
        y = DIFFERENTIABLE[name](m, a, b)
        weights = m.tensor(np.random.default_rng(2).standard_normal(tuple(y.shape)))
        (y * weights).sum().backward()
        zero = m.zeros(3, 4, dtype=m.float64)
        found.append((y, *(zero if t.grad is None else t.grad for t in (a, b))))
    for ours, theirs in zip(*found, strict=True):
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-12
        )


PLAIN = {
    "argsort": lambda m, a, b, i: m.argsort(a, dim=0, descending=True, stable=True),
    "argsort of integers": lambda m, a, b, i: m.argsort(i, stable=True),
    "descending, stable": lambda m, a, b, i: i.sort(descending=True, stable=True).indices,
    "argmin": lambda m, a, b, i: m.argmin(a) + a.argmin(1, keepdim=True),
    "argmin axis": lambda m, a, b, i: a.argmin(axis=0),
    "floor_divide": lambda m, a, b, i: a // 0.7 + m.floor_divide(a, b),
    "//": lambda m, a, b, i: 7 // i - i // 2,
    "%": lambda m, a, b, i: i % 3 + (-i) % 4 + 7 % i,
    "% of integers and floats": lambda m, a, b, i: i % 2.5,
    "all": lambda m, a, b, i: (a > b).all(1) | m.all(a > -9, dim=1),
    "all of none": lambda m, a, b, i: (a > b).all() | (a > b).any(),
    "any": lambda m, a, b, i: (a > b).any(dim=0, keepdim=True),
    "bincount": lambda m, a, b, i: m.bincount(i.flatten(), minlength=9),
    "bincount of weights": lambda m, a, b, i: m.bincount(i.flatten(), a.flatten(), minlength=9),
    "nonzero": lambda m, a, b, i: m.nonzero(a > 1),
    "nonzero of nothing": lambda m, a, b, i: m.zeros(2, 2).nonzero(),
    "isnan": lambda m, a, b, i: m.isnan(a / (a - a)),
    "isinf": lambda m, a, b, i: m.isinf(a / (b - b)) | m.isfinite(a),
    "floor": lambda m, a, b, i: m.floor(a) + a.ceil() * 10 + m.round(a) * 100 + a.sign() * 1000,
    "logical": lambda m, a, b, i: m.logical_and(a, b).logical_not() | m.logical_xor(a, i),
    "logical_or": lambda m, a, b, i: m.logical_or(a, b) ,
    "count_nonzero": lambda m, a, b, i: m.count_nonzero(a),
    "unique": lambda m, a, b, i: m.unique(i) ,
    "cumsum of integers": lambda m, a, b, i: i.int().cumsum(1) + (i > 1).cumsum(1),
    "cumsum of nothing": lambda m, a, b, i: m.zeros(0, 3).cumsum(0),
    "maximum NaN": lambda m, a, b, i: m.maximum(a / (a - a), b),
    "minimum NaN": lambda m, a, b, i: m.minimum(b, a / (a - a)),
    "maximum of integers": lambda m, a, b, i: m.maximum(i, i[[2, 1, 0]]),
    "t of a vector": lambda m, a, b, i: a[0].t(),
    "masked_fill of integers": lambda m, a, b, i: i.masked_fill(i > 2, 0),
    "scatter_": lambda m, a, b, i: m.zeros(3, 7).scatter_(1, i[:, :1], 1.0),
    "scatter_ tensor": lambda m, a, b, i: m.zeros(4, 4).double().scatter_(0, m.tensor(INDEX), b),
    "repeat nothing": lambda m, a, b, i: a.repeat(0, 2),
    "eye": lambda m, a, b, i: m.eye(2, 3) * 2 + m.eye(3)[:2],
    "linspace": lambda m, a, b, i: m.linspace(-1, 3, 7),
    "linspace 1": lambda m, a, b, i: m.linspace(2, 3, steps=1, dtype=m.float64),
    "types": lambda m, a, b, i: a.half().float() + a.byte().short(),
    "FloatTensor": lambda m, a, b, i: m.FloatTensor([[1, 2]]) + m.LongTensor([3, 4]),
    "FloatTensor of sizes": lambda m, a, b, i: m.FloatTensor(2, 3).fill_(2),
    "type(FloatTensor)": lambda m, a, b, i: i.type(m.FloatTensor) / i.type(m.DoubleTensor),
    "types by name": lambda m, a, b, i: a.type("torch.LongTensor") + i.type("torch.IntTensor"),
    "new_": lambda m, a, b, i: i.new_zeros((2, 3)) + i.new_tensor([1.0, 2.0, 3.0]) + i.new_ones(3),
    "IntTensor": lambda m, a, b, i: m.IntTensor([1, 2]) + m.ByteTensor([3, 4]),
    "BoolTensor": lambda m, a, b, i: m.BoolTensor([0, 2]) & (m.LongTensor().numel() == 0),
    "prod of integers": lambda m, a, b, i: i.int().prod() + m.prod(i > 1, 1),
    "prod of nothing": lambda m, a, b, i: m.zeros(0, 3).prod(0) + m.zeros(0).prod(),
    "nonzero as tuple": lambda m, a, b, i: m.stack(m.nonzero(a > 0, as_tuple=True)),
    "where of one": lambda m, a, b, i: m.stack(m.where(b > 0), 1),
    "nonzero of a number": lambda m, a, b, i: m.tensor(3).nonzero(as_tuple=True)[0],
    "counts": lambda m, a, b, i: m.cat(i.unique(return_inverse=True, return_counts=True)[::2]),
    "inverse": lambda m, a, b, i: m.unique(i, return_inverse=True)[1],
    "arange": lambda m, a, b, i: m.arange(1, 10, step=3) + m.arange(start=0, end=6, step=2),
    "arange of floats": lambda m, a, b, i: m.arange(0, end=1.5, step=0.5) + m.arange(1, 4),
    "diag of integers": lambda m, a, b, i: i.diag() + m.diag(i[0], 0),
    "cat of types": lambda m, a, b, i: m.cat([m.empty(0), i]),
    "flip nothing": lambda m, a, b, i: i.flip(()),
    "scatter_ value": lambda m, a, b, i: m.zeros(3, 7).scatter_(1, i[:, 1:], value=2),
    "scatter_ 0-dim": lambda m, a, b, i: m.zeros(4).scatter_(0, m.tensor(2), 1.0),
    "scatter_ 0-dim src": lambda m, a, b, i: m.zeros(7).scatter_(0, i[0, 0], value=1.0) * 2,
    "gather 0-dim": lambda m, a, b, i: i[1].gather(0, m.tensor(2)),
    "numel": lambda m, a, b, i: m.tensor([m.numel(a), a.nelement(), i.element_size()]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_function_without_gradient_is_pytorchs(name):
    integers = np.array([[3, 1, 2], [5, 6, 4], [1, 1, 1]])
    found = []
    for m in (mc, torch):
        a, b = (m.tensor(x[:, :3]) for x in (np.abs(A) if name == "types" else A, B))
        found.append(PLAIN[name](m, a, b, m.tensor(integers)))
    same(*found)


def test_refusals_of_methods():
    x = mc.arange(6.0).view(2, 3)
    for f, error, message in (
        (lambda: x.gather(1, mc.tensor([0])), ShapeError, "index has 1 dimensions, but the tensor"),
        (lambda: x.gather(0, mc.tensor([[5]])), IndexError, "out of bounds"),
        (lambda: x.mm(mc.ones(3)), ShapeError, r"mm: takes tensors of 2 and 2 dimensions, not .*"),
        (lambda: mc.dot(x, x), ShapeError, r"dot: takes tensors of 1 and 1 dimensions"),
        (lambda: x.repeat(2), ShapeError, r"repeat: \(2,\) must give each of 2 dimensions"),
        (lambda: x.chunk(0), ArgumentError, "chunks must be at least 1, not 0"),
        (lambda: x.norm(p=0), ArgumentError, "p must be a number above 0, or 'fro', not 0"),
        (lambda: mc.arange(3) // 0, ArgumentError, "floor_divide: an integer divided by 0"),
        (lambda: 3 % mc.tensor([1, 0]), ArgumentError, "an integer divided by 0"),
        (lambda: mc.set_printoptions(digits=3), TypeError, "unexpected argument digits"),
        (lambda: mc.Tensor(2, 3), TypeError, r"Tensor\(data\) takes .*; use empty\(2, 3\)"),
        (lambda: mc.Tensor(3), TypeError, r"use empty\(2, 3\) or tensor\(2.0\)"),
        (lambda: mc.cat([]), ArgumentError, "cat: takes at least one tensor"),
        (lambda: mc.cat([x, mc.tensor(1.0)]), ShapeError, "cat: tensor 1 is 0-dim .*; use stack"),
        (lambda: mc.cat([mc.empty(0), x, x[:, :2]]), ShapeError,
         r"tensor 2 has shape \(2, 2\), tensor 0 has \(0, 3\); all sizes but that of dim 0"),
        (lambda: x.scatter_(0, mc.tensor([[0]])), ArgumentError, "src .* or value"),
        (lambda: x.type("torch.Foo_Tensor"), DtypeError, "'torch.Foo_Tensor' is not known"),
        (lambda: mc.diag(x[None]), ShapeError, r"a vector or a matrix, not shape \(1, 2, 3\)"),
        (lambda: x[0].trace(), ShapeError, r"trace: takes a matrix, not shape \(3,\)"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            f()


@pytest.mark.parametrize("numbers", [
    [1e8], [1.1e8], [1e-4], [0.9e-4], [1.0, 1000.0], [1.0, 1001.0], [0.5, 500.0], [0.5, -501.0],
    [0.0, float("nan")], [-0.0, 2.5, float("-inf")],
])  # fmt: skip
def test_when_numbers_are_printed_in_scientific_notation(numbers):
    for dtype in ("float64", "float32"):
        found, expected = (repr(m.tensor(numbers, dtype=getattr(m, dtype))) for m in (mc, torch))
        assert found == expected.replace("torch.", "")


def test_print_options():
    x = mc.tensor([1 / 3, 1e-6])
    try:
        mc.set_printoptions(precision=2, sci_mode=False)
        assert repr(x) == "tensor([0.33, 0.00])"
        mc.set_printoptions(threshold=3, edgeitems=1)
        assert repr(mc.arange(5)) == "tensor([0,  ..., 4])"
    finally:
        mc.set_printoptions(profile="default")
    assert repr(mc.tensor([1 / 3])) == "tensor([0.3333])"
    with pytest.raises(ArgumentError, match="profile must be one of default, short, full, not 'x'"):
        mc.set_printoptions(profile="x")


def test_randint_takes_its_limits_as_pytorch_does():
    for make in (
        lambda: mc.randint(3, (500,)), lambda: mc.randint(high=3, size=(500,)),
        lambda: mc.randint(0, 3, (500,)), lambda: mc.randint(0, 3, size=[500]),
    ):  # fmt: skip
        assert make().unique().tolist() == [0, 1, 2]
    assert mc.randint(-2, 0, (5, 100)).unique().tolist() == [-2, -1]
    a, b = (mc.Generator(device=d).manual_seed(4) for d in ("cpu", "cuda"))
    assert mc.rand(3, generator=a).tolist() == mc.rand(3, generator=b).tolist()


def test_tensor_types_of_nothing_are_empty():
    for name in ("FloatTensor", "LongTensor", "ByteTensor"):
        same(getattr(mc, name)(), getattr(torch, name)())


def test_normal_has_its_mean_and_standard_deviation():
    x = mc.normal(3, 0.5, (100, 200))
    assert x.shape == (100, 200)
    assert x.dtype == mc.float32
    assert abs(x.mean().item() - 3) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(x.std().item() - 0.5) < 0.02


def test_without_a_gpu_there_is_none():
    if mc.cuda.is_available():
        pytest.skip("there is a GPU")
    assert mc.cuda.device_count() == 0
    assert mc.cuda.memory_allocated() == 0
    mc.cuda.synchronize()
    mc.cuda.empty_cache()
    mc.cuda.manual_seed_all(3)
    assert mc.initial_seed() == 3
    assert mc.accelerator.current_accelerator() is None
    assert not mc.accelerator.is_available()
    assert not mc.backends.mps.is_available()
    assert not mc.backends.cuda.matmul.allow_tf32
    assert not mc.zeros(1).is_cuda
    for f in (mc.cuda.get_device_name, mc.cuda.current_device, mc.zeros(1).cuda):
        with pytest.raises(DeviceError, match="device 'cuda'"):
            f()


def test_a_gpu_that_cupy_finds(fake_cupy):
    """The calls that cuda makes, on a stand-in that is as strict as CuPy about their arguments."""
    waited, freed = [], []

    class Device:
        def __init__(self, index):
            assert index in (0, 1)
            self.index = index

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

        def synchronize(self):
            waited.append(self.index)

    class Pool:
        def used_bytes(self):
            return 1234

        def free_all_blocks(self):
            freed.append(True)

    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2, getDevice=lambda: 0, CUDARuntimeError=RuntimeError,
        getDeviceProperties=lambda i: {"name": f"GPU {i}".encode()},
    )  # fmt: skip
    fake_cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=Device)
    fake_cupy.get_default_memory_pool = Pool
    assert mc.cuda.is_available()
    assert mc.cuda.device_count() == 2
    assert mc.cuda.get_device_name(1) == "GPU 1"
    assert mc.cuda.get_device_name("cuda") == mc.cuda.get_device_name() == "GPU 0"
    assert mc.cuda.memory_allocated(mc.device("cuda:1")) == 1234
    mc.cuda.synchronize("cuda:1")
    mc.cuda.synchronize()
    mc.cuda.empty_cache()
    assert (waited, freed) == ([1, 0], [True])
    assert mc.accelerator.current_accelerator() == mc.device("cuda")


def test_no_driver_is_no_gpu(fake_cupy):
    def fails():
        raise RuntimeError("cudaErrorNoDevice")

    versions = {"driver": 0}
    runtime = types.SimpleNamespace(
        getDeviceCount=fails, CUDARuntimeError=RuntimeError, runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: versions["driver"],
    )  # fmt: skip
    fake_cupy.cuda = types.SimpleNamespace(runtime=runtime)
    assert not mc.cuda.is_available()
    with pytest.raises(DeviceError, match=r"cannot be used: there is no NVIDIA .* nvidia-smi"):
        mc.cuda.get_device_name()
    versions["driver"] = 12040
    too_old = r"too old: it runs CUDA 12.4, but CuPy was built for 13.2; .*'cupy-cuda12x\[ctk\]'"
    with pytest.raises(DeviceError, match=too_old):
        mc.cuda.set_device(0)
    versions["driver"] = 13020
    with pytest.raises(DeviceError, match="device 'cuda' cannot be used: cudaErrorNoDevice"):
        mc.cuda.CUDAGraph()
    runtime.getDeviceCount = lambda: 0
    with pytest.raises(DeviceError, match="CuPy finds no GPU; see what nvidia-smi lists"):
        mc.cuda.Event()


# ---- what PyTorch refuses, or reads otherwise ------------------------------------------------


@pytest.mark.parametrize("index", [
    lambda m: m.ByteTensor([1, 0, 1]), lambda m: np.uint8(1), lambda m: m.tensor(1, dtype=m.uint8),
    lambda m: (slice(None, 3), m.ByteTensor([0, 7])),
    lambda m: m.ByteTensor([[1, 0], [0, 0], [1, 1]]),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_an_index_of_bytes_is_a_mask(index):
    found = []
    for m in (mc, torch):
        t = m.arange(6).reshape(3, 2)
        t[index(m)] = t[index(m)] + 10
        found.append(t)
    same(*found)


def test_masks_are_not_subtracted():
    mask = mc.tensor([True, False])
    for f in (
        lambda: 1 - mask, lambda: mask - 1, lambda: mask - 0.5, lambda: mc.ones(2) - mask,
        lambda: mask - mc.arange(2), lambda: mask - mask, lambda: mc.ones(2).sub_(mask),
    ):  # fmt: skip
        with pytest.raises(DtypeError, match="sub: does not work on bool tensors; convert"):
            f()
    same(mask % 1, torch.tensor([True, False]) % 1)


@pytest.mark.parametrize("f", [
    lambda m, w: w // 2, lambda m, w: 7 // w, lambda m, w: m.floor_divide(w, w.detach()),
    lambda m, w: w.unique(), lambda m, w: m.unique(w, return_counts=True)[0],
])  # fmt: skip
def test_backward_through_what_has_no_derivative_is_refused(f):
    for m in (mc, torch):
        w = m.tensor([5.0, 7.0], requires_grad=True)
        total = w.sum() + f(m, w).sum()
        with pytest.raises(RuntimeError, match="derivative"):
            total.backward()
        f(m, w.detach())


def test_remainder_has_its_gradient():
    for f in (
        lambda m, w: w % 3, lambda m, w: m.remainder(m.tensor(7.0), w),
        lambda m, w: w.remainder(w.detach() - 2),
    ):  # fmt: skip
        gradients = []
        for m in (mc, torch):
            w = m.tensor([5.0, -7.5], requires_grad=True)
            f(m, w).sum().backward()
            gradients.append(w.grad)
        same(*gradients)

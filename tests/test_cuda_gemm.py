"""CUDA's matrix products: tiles, shares and cuBLAS; the fused linear layer; convolution by columns.

Each test runs on the stand-in for CuPy, and, marked `gpu`, on a real GPU where there is one.
"""

from itertools import product as combinations

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import kernels, shapes
from minicnn.kernels.calls import Call
from minicnn.kernels.cuda import columns, gemm, linear
from minicnn.kernels.cuda.activation import IDENTITY, activation_of

DTYPES = ("float32", "float64")
ACTIVATIONS = {
    None: lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "relu": torch.relu,
}


def activation(name):
    if name is None:
        return IDENTITY
    return activation_of(name, 1.7159, 2 / 3) if name == "scaled_tanh" else activation_of(name)


def linear_layer(name, m, inside, out, dtype):
    """The linear layer with this activation behind it, if it is one, for m rows."""
    calls = [Call("linear", (m, out), np.dtype(dtype), (), ((out, inside), (out,)))]
    if name is not None:
        numbers = (1.7159, 2 / 3) if name == "scaled_tanh" else ()
        calls.append(Call(name, (m, out), np.dtype(dtype), numbers))
    layer = linear.Linear(calls, (m, inside))
    assert layer.calls == len(calls)
    return layer


def integers(rng, *shape):
    """Small ones: their products add up without rounding, in any order."""
    return rng.integers(-8, 9, shape).astype(np.float64)


def assert_close(found, expected, dtype):
    """Within a few roundings of the largest number."""
    expected = expected.detach().numpy()
    assert found.dtype == dtype
    assert found.shape == expected.shape
    limit = 2000 * np.finfo(dtype).eps * max(np.abs(expected).max(initial=0), 1)
    np.testing.assert_allclose(found.get(), expected, 0, limit)


# ---- products --------------------------------------------------------------------------------

SIZES = [
    (1, 1, 1), (2, 3, 5), (16, 16, 128), (17, 15, 129), (10, 64, 84), (64, 64, 16), (65, 33, 17),
    (130, 70, 40), (3, 70, 300), (70, 3, 1), (64, 64, 0), (0, 3, 4), (3, 0, 4),
]  # fmt: skip


def products(xp, rng, m, n, k, dtype, items=None):
    """Asserts that each operand may be transposed, and that bias and activation are applied."""
    first = () if items is None else (items,)
    a, b, bias = integers(rng, *first, m, k), integers(rng, *first, k, n), integers(rng, n)
    for transpose_a, transpose_b in combinations((False, True), repeat=2):
        left = xp.asarray(a.swapaxes(-1, -2).copy() if transpose_a else a, dtype)
        right = xp.asarray(b.swapaxes(-1, -2).copy() if transpose_b else b, dtype)
        y = gemm.product(left, right, transpose_a, transpose_b)
        np.testing.assert_array_equal(y.get(), a @ b)
        y = gemm.product(
            left, right, transpose_a, transpose_b, xp.asarray(bias, dtype), activation("relu")
        )
        np.testing.assert_array_equal(y.get(), np.maximum(a @ b + bias, 0))
        assert y.dtype == dtype
        assert y.flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_product_of_any_size(gpu, rng, size, dtype):
    products(gpu, rng, *size, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(64, 64, 16), (65, 130, 17), (33, 34, 1), (40, 64, 0)])
def test_large_tiles(gpu, rng, monkeypatch, size, dtype):
    monkeypatch.setattr(gemm, "BLOCKS", 4)
    assert gemm.plan(*size, 1)[0] is gemm.LARGE
    products(gpu, rng, *size, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("blocks", [4, 8, 256])
def test_several_blocks_share_a_long_sum(gpu, rng, monkeypatch, blocks, dtype):
    monkeypatch.setattr(gemm, "SHARE", 64)
    monkeypatch.setattr(gemm, "BLOCKS", blocks)
    for m, n in ((5, 18), (50, 40)):
        _, share = gemm.plan(m, n, 500, 1)
        assert share < 500
        products(gpu, rng, m, n, 500, dtype)


@pytest.mark.parametrize("share", [64, 1024])
def test_many_products_at_once(gpu, rng, monkeypatch, share):
    monkeypatch.setattr(gemm, "SHARE", share)
    for items in (0, 1, 3):
        products(gpu, rng, 17, 20, 150, "float32", items)


OPERANDS = [
    ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((1, 2, 3), (5, 3, 4)),
    ((2, 0), (0, 4)), ((0, 3), (3, 4)), ((0, 2, 3), (3, 4)), ((5, 2, 3), (0, 5, 3, 1)),
    ((40, 70), (70, 90)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", OPERANDS, ids=str)
def test_matmul_of_any_shape_and_order(gpu, rng, monkeypatch, shapes, dtype):
    """Integers in floats, so that any order of the sums gives the same."""
    monkeypatch.setattr(gpu, "matmul", None)  # no cuBLAS
    a, b = (integers(rng, *shape).astype(dtype) for shape in shapes)
    for x, y in combinations((a, by_columns(a), a[..., ::-1]), (b, by_columns(b), -b[::-1])):
        if x.shape[-1] != y.shape[-2:][0]:
            continue
        found = kernels.call("matmul", *map(gpu.asarray, (x, y)))
        np.testing.assert_array_equal(found.get(), x @ y, strict=True)
    x, y = (gpu.asarray(by_columns(n)) for n in (a, b))
    np.testing.assert_array_equal(kernels.call("matmul", x, y).get(), a @ b)


def by_columns(x):
    """The same numbers, with the matrices' columns in a row in memory."""
    return x.swapaxes(-1, -2).copy().swapaxes(-1, -2) if x.ndim > 1 else x


def test_matmul_can_be_captured(gpu):
    a = mc.ones(3, 4, device="cuda", requires_grad=True)
    b = mc.full((4, 2), 2.0, device="cuda")
    g = mc.cuda.CUDAGraph()
    with g.warm_up():
        y = a @ b
        y.sum().backward()
    a.grad = y = None
    with mc.cuda.graph(g):
        y = a @ b
        y.sum().backward()
    b.fill_(5)
    g.replay()
    assert y.tolist() == [[20, 20]] * 3
    assert a.grad.tolist() == [[10] * 4] * 3


def test_cublas_takes_large_products(gpu, rng, monkeypatch):
    monkeypatch.setattr(gemm, "CUBLAS", 0)
    monkeypatch.setattr(gemm, "plan", None)
    for dtype, items in combinations(DTYPES, (None, 3)):
        products(gpu, rng, 9, 8, 20, dtype, items)


def test_cublas_cannot_be_captured_and_tiles_can(gpu, monkeypatch):
    stream, a = gpu.cuda.Stream(non_blocking=True), gpu.ones((20, 20), "float32")
    y = gemm.product(a, a)  # compiles, and makes room
    gpu.dot(a, a)  # makes a handle for cuBLAS
    gpu.cuda.runtime.deviceSynchronize()
    with stream:
        stream.begin_capture()
        gemm.product(a, a, out=y)
        graph = stream.end_capture()
        a *= 2
        graph.launch(stream)
        stream.synchronize()
        np.testing.assert_array_equal(y.get(), np.full((20, 20), 80))
        monkeypatch.setattr(gemm, "CUBLAS", 0)
        stream.begin_capture()
        with pytest.raises(NotImplementedError, match="capture"):
            gemm.product(a, a, out=y)
        stream.end_capture()


@pytest.mark.parametrize("blocks", [4, 256])
def test_what_is_not_finite_stays_in_its_row(gpu, monkeypatch, blocks):
    """Where a tile sticks out it adds zeros, and never zero times infinity."""
    monkeypatch.setattr(gemm, "BLOCKS", blocks)
    a, b = np.ones((35, 20)), np.ones((20, 37))
    a[34, 19], a[33, 3], b[19, 36] = np.inf, np.nan, -np.inf
    y = gemm.product(gpu.asarray(a), gpu.asarray(b)).get()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(y, a @ b)


def test_the_plan_covers_the_sum_and_fills_the_device():
    sizes = (1, 10, 64, 120, 400, 1024, 5000)
    for m, n, k, items in combinations(sizes, sizes, (0, 1, 84, 1024, 5000, 10**6), (1, 2, 96)):
        tile, share = gemm.plan(m, n, k, items)
        shares = max(-(-k // share), 1)
        assert share * shares >= k
        assert shares <= gemm.MAX_SHARES
        if shares > 1:
            assert share >= gemm.SHARE
            assert (shares - 1) * tile.covering(m, n) * items < gemm.BLOCKS
    assert gemm.plan(64, 120, 400, 1) == (gemm.SMALL, 400)
    assert gemm.plan(1024, 512, 512, 1) == (gemm.LARGE, 512)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_every_run(gpu, rng, monkeypatch, dtype):
    monkeypatch.setattr(gemm, "SHARE", 64)
    for blocks in (4, 256):
        monkeypatch.setattr(gemm, "BLOCKS", blocks)
        a, b = (gpu.asarray(rng.standard_normal((n, 300)), dtype) for n in (50, 40))
        first, again = (gemm.product(a, b, transpose_b=True).get() for _ in range(2))
        assert first.tobytes() == again.tobytes()


# ---- linear layers ---------------------------------------------------------------------------


def linear_case(xp, rng, m, inside, out, name, dtype, bias=True):
    """Arrays on the GPU, and PyTorch's y and gradients of the same in float64."""
    arrays = [rng.standard_normal(s) for s in ((m, inside), (out, inside), (out,), (m, out))]
    x, weight, b, g = (torch.tensor(a, requires_grad=True) for a in arrays)
    y = ACTIVATIONS[name](torch.nn.functional.linear(x, weight, b if bias else None))
    y.backward(g.detach())
    on_gpu = [xp.asarray(a, dtype) for a in arrays]
    on_gpu[2] = on_gpu[2] if bias else None
    return on_gpu, y, (x.grad, weight.grad, b.grad)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_linear_with_an_activation_is_pytorchs(gpu, rng, monkeypatch, name, dtype, fused):
    if not fused:
        monkeypatch.setattr(linear, "FUSED", -1)
    for size in ((1, 1, 1), (5, 31, 33), (20, 16, 17)):
        (x, weight, b, g), y, gradients = linear_case(gpu, rng, *size, name, dtype)
        layer = linear_layer(name, *size, dtype)
        found, kept = layer.forward(x, (weight, b), True)
        assert_close(found, y, dtype)
        found = layer.backward(g, kept, (True, True, True))
        for a, expected in zip(found, gradients, strict=True):
            assert_close(a, expected, dtype)


def test_linear_gives_the_gradients_that_are_wanted(gpu, rng, monkeypatch):
    layer = linear_layer("sigmoid", 18, 33, 20, "float64")
    for most in (linear.FUSED, -1):
        monkeypatch.setattr(linear, "FUSED", most)
        (x, weight, b, g), _, gradients = linear_case(gpu, rng, 18, 33, 20, "sigmoid", "float64")
        _, kept = layer.forward(x, (weight, b), True)
        for needs in combinations((False, True), repeat=3):
            found = layer.backward(g, kept, needs)
            for a, expected, needed in zip(found, gradients, needs, strict=True):
                assert (a is not None) == needed
                if needed:
                    assert_close(a, expected, "float64")


def test_linear_without_bias_or_batch(gpu, rng):
    (x, weight, b, _), y, _ = linear_case(gpu, rng, 4, 3, 2, "tanh", "float64", bias=False)
    assert b is None
    found, _ = linear_layer("tanh", 4, 3, 2, "float64").forward(x, (weight, None), True)
    assert_close(found, y, "float64")
    (x, weight, b, g), y, gradients = linear_case(gpu, rng, 0, 3, 2, "tanh", "float64")
    layer = linear_layer("tanh", 0, 3, 2, "float64")
    found, kept = layer.forward(x, (weight, b), True)
    assert found.shape == (0, 2)
    found = layer.backward(g, kept, (True, True, True))
    for a, expected in zip(found, gradients, strict=True):
        assert_close(a, expected, "float64")


def test_linear_backward_is_one_launch(gpu, rng, monkeypatch):
    launched = []
    real = linear.launch
    monkeypatch.setattr(
        linear, "launch", lambda *args, **how: launched.append(args[1]) or real(*args, **how)
    )
    (x, weight, b, g), _, _ = linear_case(gpu, rng, 8, 6, 4, "sigmoid", "float32")
    layer = linear_layer("sigmoid", 8, 6, 4, "float32")
    _, kept = layer.forward(x, (weight, b), True)
    layer.backward(g, kept, (True, True, True))
    assert launched == ["linear_backward"]


# ---- convolution by columns ------------------------------------------------------------------

CONVOLUTIONS = [  # x, O, kernel_size, stride, padding, dilation, groups
    ((2, 3, 7, 6), 4, (3, 2), 1, 0, 1, 1),
    ((3, 2, 8, 9), 5, (3, 3), (2, 3), (1, 2), (2, 1), 1),
    ((4, 4, 5, 6), 6, (3, 2), 1, (1, 0), 1, 2),
    ((3, 4, 5, 5), 8, (3, 3), 2, 1, 1, 4),
    ((2, 3, 4, 5), 5, (1, 1), 1, 0, 1, 1),
    ((1, 1, 1, 1), 1, (1, 1), 1, 0, 1, 1),
    ((0, 3, 7, 6), 4, (3, 2), 1, 0, 1, 1),
]


def convolution_case(
    xp, rng, dtype, name, shape, o, kernel_size, stride, padding, dilation, groups
):
    """Arrays on the GPU, the window, and PyTorch's y and gradients of the same in float64."""
    window = shapes.window("conv2d", shape[2:], kernel_size, stride, padding, dilation)
    sizes = shape, (o, shape[1] // groups, *kernel_size), (o,), (shape[0], o, *window.out)
    arrays = [rng.standard_normal(s) for s in sizes]
    x, weight, b, g = (torch.tensor(a, requires_grad=True) for a in arrays)
    z = torch.nn.functional.conv2d(x, weight, b, stride, padding, dilation, groups)
    z.backward(g.detach())
    return [xp.asarray(a, dtype) for a in arrays], window, ACTIVATIONS[name](z), (x, weight, b)


@pytest.mark.parametrize("limit", [1, 400, columns.LIMIT])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_by_columns_is_pytorchs(gpu, rng, monkeypatch, case, dtype, limit):
    monkeypatch.setattr(columns, "LIMIT", limit)
    for name, cublas in (("sigmoid", gemm.CUBLAS), (None, 0)):
        monkeypatch.setattr(gemm, "CUBLAS", cublas)
        (x, weight, b, g), window, y, inputs = convolution_case(gpu, rng, dtype, name, *case)
        found = columns.columns_forward(x, weight, b, activation(name), window, case[-1])
        assert found.flags.c_contiguous
        assert_close(found, y, dtype)
        found = columns.columns_backward(g, x, weight, window, case[-1], (True, True, True))
        for a, expected in zip(found, inputs, strict=True):
            assert_close(a, expected.grad, dtype)


def test_a_batch_is_cut_into_equal_chunks(gpu, monkeypatch):
    x, window = gpu.ones((7, 2, 3, 3), "float32"), shapes.window("conv2d", (3, 3), 2, 1, 0, 1)
    image = 2 * 4 * 4  # channels, kernel_size, windows
    for limit, sizes in ((image - 1, [1] * 7), (3 * image, [2, 2, 3]), (7 * image, [7])):
        monkeypatch.setattr(columns, "LIMIT", limit)
        assert [s.stop - s.start for s in columns._chunks(x, window)] == sizes


def test_columns_give_the_gradients_that_are_wanted(gpu, rng, monkeypatch):
    monkeypatch.setattr(columns, "LIMIT", 400)
    case = CONVOLUTIONS[2]
    (x, weight, b, g), window, _, inputs = convolution_case(gpu, rng, "float64", None, *case)
    for needs in combinations((False, True), repeat=3):
        found = columns.columns_backward(g, x, weight, window, case[-1], needs)
        for a, of, needed in zip(found, inputs, needs, strict=True):
            assert (a is not None) == needed
            if needed:
                assert_close(a, of.grad, "float64")
    found = columns.columns_forward(x, weight, None, IDENTITY, window, case[-1])
    with_bias = columns.columns_forward(x, weight, b, IDENTITY, window, case[-1])
    np.testing.assert_array_equal((found + b[:, None, None]).get(), with_bias.get())

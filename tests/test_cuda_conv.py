"""Convolution on a GPU, alone and fused with activation and pooling, beside PyTorch in float64."""

import importlib
import itertools

import numpy as np
import pytest
import torch

from minicnn import kernels
from minicnn.kernels.cuda import conv
from minicnn.shapes import window

chain = importlib.import_module("minicnn.kernels.cuda.chain")  # not the function of that name

# x (N, C, H, W), weight (O, C/groups, kh, kw), stride, padding, dilation, groups
SHAPES = [
    ((3, 2, 9, 7), (5, 2, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 8, 11), (4, 3, 2, 3), (2, 3), (1, 2), (2, 1), 1),
    ((2, 6, 7, 6), (9, 2, 3, 3), (1, 2), (2, 1), (1, 1), 3),
    ((1, 1, 28, 28), (6, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1),  # 784 places: two rounds
    ((2, 4, 5, 5), (4, 1, 1, 1), (1, 1), (0, 0), (1, 1), 4),
    ((5, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 40, 12, 12), (7, 40, 5, 5), (1, 1), (0, 0), (1, 1), 1),  # planes come in several parts
]
ACTIVATIONS = {
    "identity": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
}  # fmt: skip
POOLS = {
    "": None, "avg_pool2d": torch.nn.functional.avg_pool2d,
    "max_pool2d": torch.nn.functional.max_pool2d,
}  # fmt: skip


def numbers(shape, weight_shape, dtype):
    rng = np.random.default_rng(5)
    made = [rng.standard_normal(s).astype(dtype) for s in (shape, weight_shape, weight_shape[:1])]
    made[1] /= np.sqrt(made[1][0].size).astype(dtype)
    return made


def pytorch(arrays, g, stride, padding, dilation, groups, f, pool, kernel, pool_stride):
    """(result, gradients of x, weight and bias) in float64."""
    leaves = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    y = torch.nn.functional.conv2d(*leaves, stride, padding, dilation, groups)
    y = ACTIVATIONS[f](y)
    y = y if not pool else POOLS[pool](y, kernel, pool_stride)
    y.backward(torch.tensor(g(y.shape)))
    return y.detach().numpy(), [leaf.grad.numpy() for leaf in leaves]


def gradient(shape):
    return np.random.default_rng(6).standard_normal(tuple(shape))


def close(found, expected, dtype):
    limit = {np.float64: 1e-11, np.float32: 2e-5}[dtype]
    scale = max(1e-3, abs(expected).max())
    np.testing.assert_allclose(found.get(), expected, rtol=0, atol=limit * scale)


def fused(gpu, geometry, dtype, f, pool, kernel, pool_stride):
    """The result and gradients of a chain's convolution step, and its expected ones."""
    shape, weight_shape, *rest = geometry
    host = numbers(shape, weight_shape, dtype)
    arrays = [gpu.asarray(a) for a in host]
    stride, padding, dilation, groups = rest
    w = window("test", shape[2:], weight_shape[2:], stride, padding, dilation)
    p = pool and window("test", w.out, kernel, pool_stride, 0, 1)
    block = conv.Block(w, groups, (f, *((1.7159, 2 / 3) if f == "scaled_tanh" else ())))
    step = chain._Convolution(block._replace(pool=pool, pool_window=p or None), (True, None))
    y, kept, _ = step.forward(arrays[0], arrays[1:], True)
    g = gpu.asarray(gradient(y.shape).astype(dtype))
    found = y, step.backward(g, kept, (True, True, True))
    expected = pytorch(host, lambda s: gradient(s).astype(dtype).astype(np.float64), *rest, f,
                       pool, kernel, pool_stride)  # fmt: skip
    return found, expected


CASES = [
    *((g, "sigmoid", "avg_pool2d", (2, 2), (2, 2)) for g in SHAPES[:4]),
    *((g, "relu", "max_pool2d", (2, 3), (1, 2)) for g in (*SHAPES[:4], SHAPES[6])),
    *((SHAPES[2], f, "", None, None) for f in ACTIVATIONS),
    *((SHAPES[0], f, pool, (3, 2), (2, 1)) for f in ACTIVATIONS for pool in list(POOLS)[1:]),
    *((g, "identity", "", None, None) for g in SHAPES),
]


@pytest.mark.parametrize("way", ["direct", "columns"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0][0]}-{c[1]}-{c[2]}")
def test_fused_forms_are_pytorchs(gpu, monkeypatch, case, dtype, way):
    if way == "columns":
        monkeypatch.setattr(chain, "plan_of", lambda *args: None)
    geometry, *rest = case
    (y, gradients), (expected, theirs) = fused(gpu, geometry, dtype, *rest)
    close(y, expected, dtype)
    for found, g in zip(gradients, theirs, strict=True):
        close(found, g, dtype)


def test_the_direct_kernels_take_what_the_models_have():
    """LeNet's layers, fused with their pools, at any batch; not AlexNet's second."""
    for shape, weight, padding in (
        ((64, 1, 28, 28), (6, 1, 5, 5), 2), ((1, 1, 32, 32), (6, 1, 5, 5), 0),
        ((1024, 6, 14, 14), (16, 6, 5, 5), 0), ((64, 3, 32, 32), (16, 3, 5, 5), 0),
        ((1024, 16, 14, 14), (32, 16, 5, 5), 0),
    ):  # fmt: skip
        w = window("test", shape[2:], 5, 1, padding, 1)
        p = window("test", w.out, 2, 2, 0, 1)
        for size in (4, 8):
            plan = conv.plan_of(
                conv.Block(w, 1, pool="avg_pool2d", pool_window=p), shape, weight, size
            )
            assert plan is not None
            assert plan.shared <= conv.SHARED
    w = window("test", (27, 27), 5, 1, 2, 1)
    assert conv.plan_of(conv.Block(w, 1), (128, 96, 27, 27), (256, 96, 5, 5), 4) is None
    assert conv.plan_of(conv.Block(w, 1), (0, 96, 27, 27), (256, 96, 5, 5), 4) is None


def test_shared_memory_is_never_exceeded():
    """Of any shape that is taken; what a block asks for is what the kernels use."""
    taken = 0
    for c, h, w, k, o in itertools.product((1, 7, 64), (5, 30, 60), (6, 33), (1, 3, 7), (2, 9)):
        if k > min(h, w):
            continue
        found = conv.Block(window("test", (h, w), k, 1, k // 2, 1), 1)
        for size in (4, 8):
            plan = conv.plan_of(found, (3, c, h, w), (o, c, k, k), size)
            taken += plan is not None
            if plan is not None:
                cut = conv._cut(found, (3, c, h, w), (o, c, k, k), size)
                assert max(plan.shared, cut.shared) <= conv.SHARED
                assert max(plan.threads, cut.threads) <= conv.THREADS
                assert cut.slices * (cut.dw_chunk * k * k + 1) <= cut.threads
    assert taken > 100


def test_the_bits_are_the_same_every_time(gpu):
    runs = [fused(gpu, SHAPES[1], np.float32, "tanh", "max_pool2d", 2, 2)[0] for _ in range(2)]
    for a, b in zip((runs[0][0], *runs[0][1]), (runs[1][0], *runs[1][1]), strict=True):
        assert a.get().tobytes() == b.get().tobytes()


def test_only_what_is_needed_is_made(gpu):
    geometry = SHAPES[0]
    x, weight, _ = map(gpu.asarray, numbers(*geometry[:2], np.float64))
    w = window("test", geometry[0][2:], geometry[1][2:], *geometry[2:5])
    y, saved = kernels.forward("conv2d", x, weight, None, w, 1)
    everything = kernels.backward("conv2d", y, saved, (True, True, True))
    for wanted in itertools.product((False, True), repeat=3):
        found = kernels.backward("conv2d", y, saved, wanted)
        assert tuple(g is not None for g in found) == wanted
        for g, expected in zip(found, everything, strict=True):
            assert g is None or g.get().tobytes() == expected.get().tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pool_of_nan_and_infinity(gpu, bad):
    """The maximum of a window with a NaN is NaN; padding and neighbours are not touched."""
    x = np.zeros((1, 1, 4, 6))
    x[0, 0, 1, 3] = bad
    one = np.ones((1, 1, 1, 1))
    w = window("test", (4, 6), 1, 1, 0, 1)
    p = window("test", (4, 6), 2, 2, 0, 1)
    step = chain._Convolution(conv.Block(w, 1, pool="max_pool2d", pool_window=p), ())
    y, kept, _ = step.forward(gpu.asarray(x), [gpu.asarray(one), None], True)
    np.testing.assert_array_equal(y.get(), [[[[0, bad, 0], [0, 0, 0]]]])
    dx, *_ = step.backward(gpu.ones(y.shape), kept, (True, False, False))
    expected = np.zeros((4, 6))
    expected[::2, ::2] = 1
    expected[0, 2], expected[1, 3] = 0, 1
    np.testing.assert_array_equal(dx.get()[0, 0], expected)

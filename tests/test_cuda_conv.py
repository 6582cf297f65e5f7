"""Convolution on a GPU, alone and fused with activation and pooling, beside PyTorch in float64."""

import itertools

import numpy as np
import pytest
import torch

from minicnn import kernels
from minicnn.kernels.calls import Chain
from minicnn.kernels.cuda import conv
from minicnn.ops.activation import elementwise
from minicnn.ops.conv import Conv2d
from minicnn.ops.pool import AvgPool2d, MaxPool2d
from minicnn.shapes import window

# x (N, C, H, W), weight (O, C/groups, kh, kw), stride, padding, dilation, groups
SHAPES = [
    ((3, 2, 9, 7), (5, 2, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 8, 11), (4, 3, 2, 3), (2, 3), (1, 2), (2, 1), 1),
    ((2, 6, 7, 6), (9, 2, 3, 3), (1, 2), (2, 1), (1, 1), 3),
    ((1, 1, 28, 28), (6, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1),  # 784 places: two rounds
    ((2, 4, 5, 5), (4, 1, 1, 1), (1, 1), (0, 0), (1, 1), 4),
    ((5, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 40, 12, 12), (7, 40, 5, 5), (1, 1), (0, 0), (1, 1), 1),  # planes come in several parts
    ((2, 3, 7, 6), (4, 3, 2, 4), (1, 1), "same", (1, 1), 1),  # more zeros behind than in front
    ((3, 4, 6, 5), (6, 2, 4, 2), (1, 1), "same", (1, 3), 2),
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


def chain_of(arrays, how, f, pool, kernel, pool_stride):
    """A convolution with the activation and the pooling behind it."""
    calls = [Conv2d.call(*arrays, *how)]
    if f != "identity":
        like = calls[0].like
        options = (1.7159, 2 / 3) if f == "scaled_tanh" else ()
        calls.append(elementwise(f, like.shape, like.dtype, *options))
    if pool:
        op = AvgPool2d if pool == "avg_pool2d" else MaxPool2d
        calls.append(op.call(calls[-1].like, kernel, pool_stride))
    return Chain(tuple(calls))


def fused(gpu, geometry, dtype, *behind):
    """The result and gradients of a chain that starts with a convolution, and its expected ones."""
    shape, weight_shape, *how = geometry
    host = numbers(shape, weight_shape, dtype)
    chain, arrays = chain_of(host, how, *behind), [gpu.asarray(a) for a in host]
    y, saved = kernels.run(chain, arrays[0], arrays[1:], (True, True, True))
    g = gpu.asarray(gradient(y.shape).astype(dtype))
    found = y, kernels.back(g, saved, (True, True, True))
    expected = pytorch(host, lambda s: gradient(s).astype(dtype).astype(np.float64), *how, *behind)
    return found, chain.kept["cuda"], expected


CASES = [
    *((g, "sigmoid", "avg_pool2d", (2, 2), (2, 2)) for g in SHAPES[:4]),
    *((g, "relu", "max_pool2d", (2, 3), (1, 2)) for g in (*SHAPES[:4], SHAPES[6])),
    *((SHAPES[2], f, "", None, None) for f in ACTIVATIONS),
    *((SHAPES[0], f, pool, (3, 2), (2, 1)) for f in ACTIVATIONS for pool in list(POOLS)[1:]),
    *((g, "identity", "", None, None) for g in SHAPES),
    *((g, "tanh", "max_pool2d", 2, 2) for g in SHAPES[7:]),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch is slower with it
@pytest.mark.parametrize("way", ["direct", "columns"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0][0]}-{c[1]}-{c[2]}")
def test_fused_forms_are_pytorchs(gpu, monkeypatch, case, dtype, way):
    if way == "columns":
        monkeypatch.setattr(conv, "plan_of", lambda *args: None)
    geometry, f, pool, *rest = case
    (y, gradients), layers, (expected, theirs) = fused(gpu, geometry, dtype, f, pool, *rest)
    assert len(layers) == (2 if pool and way == "columns" else 1)
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
            block = conv.Block(w, 1, pool="avg_pool2d", pool_window=p)
            plan = conv.plan_of(block, shape, weight, size)
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
                cut = plan.cut
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
    chain = Chain((Conv2d.call(x, weight, None, *geometry[2:]),))
    y, saved = kernels.run(chain, x, (weight, None), (True, True, True))
    everything = kernels.back(y, saved, (True, True, True))
    for wanted in itertools.product((False, True), repeat=3):
        found = kernels.back(y, saved, wanted)
        assert tuple(g is not None for g in found) == wanted
        for g, expected in zip(found, everything, strict=True):
            assert g is None or g.get().tobytes() == expected.get().tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pool_of_nan_and_infinity(gpu, bad):
    """The maximum of a window with a NaN is NaN; padding and neighbours are not touched."""
    x = np.zeros((1, 1, 4, 6))
    x[0, 0, 1, 3] = bad
    one = np.ones((1, 1, 1, 1))
    chain = chain_of((x, one, None), (), "identity", "max_pool2d", 2, 2)
    weights = gpu.asarray(one), None
    y, saved = kernels.run(chain, gpu.asarray(x), weights, (True, False, False))
    assert [type(layer) for layer in chain.kept["cuda"]] == [conv.Conv2d]
    np.testing.assert_array_equal(y.get(), [[[[0, bad, 0], [0, 0, 0]]]])
    dx, *_ = kernels.back(gpu.ones(y.shape), saved, (True, False, False))
    expected = np.zeros((4, 6))
    expected[::2, ::2] = 1
    expected[0, 2], expected[1, 3] = 0, 1
    np.testing.assert_array_equal(dx.get()[0, 0], expected)

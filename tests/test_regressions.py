"""What reviews found: gradients that were silently wrong, errors that were raw."""

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn.autograd import Function
from minicnn.errors import GradientError


def grads(lib, f, values):
    x = lib.tensor(values, requires_grad=True)
    f(lib, x).backward()
    return x.grad.numpy()


@pytest.mark.parametrize("f", [
    lambda lib, x: lib.relu(x).sqrt().sum(),
    lambda lib, x: x.clamp(min=0).sqrt().sum(),
    lambda lib, x: lib.where(x > 0, x, 0.0).sqrt().sum(),
    lambda lib, x: (x.max() - 4.0).sqrt(),
], ids=["relu", "clamp", "where", "max"])  # fmt: skip
def test_an_infinite_gradient_times_a_mask_is_no_nan(f):
    values = [-1.0, 0.0, 4.0]
    np.testing.assert_array_equal(grads(mc, f, values), grads(torch, f, values))


def test_an_infinite_gradient_in_max_pooling_stays_with_the_winner():
    x = mc.tensor([[[[0.0, -1.0], [-2.0, -3.0]]]], requires_grad=True)
    mc.nn.functional.max_pool2d(x, 2).sqrt().sum().backward()
    assert x.grad.tolist() == [[[[np.inf, 0.0], [0.0, 0.0]]]]


def test_the_gradient_of_std_is_0_where_all_are_equal():
    def f(lib, x):
        return x.std()

    for values in ([1.0, 1.0, 1.0], [1.0, 2.0, 4.0]):
        np.testing.assert_allclose(grads(mc, f, values), grads(torch, f, values), rtol=1e-6)
        ours, theirs = (lib.tensor(values).std().item() for lib in (mc, torch))
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_division_by_small_numbers_does_not_underflow():
    def f(lib, x):
        return (x / x.sum())[0]

    values = [1e-22, 0.0]
    np.testing.assert_allclose(grads(mc, f, values), grads(torch, f, values), rtol=1e-5, atol=1e10)


def test_sizes_are_no_data():
    for wrong in (lambda: mc.Tensor(2, 3), lambda: mc.Tensor(5), lambda: mc.nn.Parameter(2.0)):
        with pytest.raises(TypeError, match=r"use empty\(2, 3\) or tensor"):
            wrong()
    assert mc.Tensor([1, 2]).dtype == mc.float32


def test_an_integer_leaf_has_no_gradient():
    x = mc.tensor([1, 2, 3])
    x.requires_grad = True
    with pytest.raises(GradientError, match=r"argument 0 \(input\) is for a tensor of int64"):
        (x * 0.5).sum().backward()


def test_an_index_list_changed_later_changes_nothing():
    x = mc.zeros(4, requires_grad=True)
    index = [1, 1, 3]
    y = x[index]
    index[0] = 0
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 0.0, 1.0]


def test_a_retained_gradient_follows_a_change_in_place():
    def f(lib):
        x = lib.tensor([1.0], requires_grad=True)
        y = x * 2
        y.retain_grad()
        y.mul_(3)
        (y * 5).sum().backward()
        return y.grad.tolist()

    assert f(mc) == f(torch) == [5.0]


@pytest.mark.parametrize("result", [None, 1.5, [np.ones(2), np.ones(2)], "tensor"])
def test_forward_must_return_arrays(result):
    class Odd(Function):
        @staticmethod
        def forward(ctx, x):
            return mc.ones(2) if result == "tensor" else result

    with pytest.raises(TypeError, match=r"Odd: forward returned a .*; expected arrays"):
        Odd.apply(mc.ones(2))


def test_a_backward_that_changes_its_gradient_is_stopped():
    class Careless(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            g *= 2
            return g

    upstream = mc.ones(2)  # memory that can be written, unlike the gradient of a sum
    with pytest.raises(ValueError, match="read-only"):
        Careless.apply(mc.ones(2, requires_grad=True)).backward(upstream)
    assert upstream.tolist() == [1.0, 1.0]


def test_an_integer_tensor_takes_a_value_that_has_a_gradient():
    w = mc.ones(1, requires_grad=True) * 3
    x = mc.zeros(3, dtype=mc.int64)
    x[0] = w[0]
    assert x.tolist() == [3, 0, 0]
    assert not x.requires_grad


def test_a_value_with_a_leading_dimension_of_1_fits():
    v = mc.ones(1, 3, requires_grad=True)
    x = mc.zeros(2, 3)
    x[0] = v
    x.sum().backward()
    assert v.grad.tolist() == [[1.0, 1.0, 1.0]]


def test_a_switch_can_be_entered_again():
    switch = mc.set_grad_enabled(False)
    for _ in range(2):
        with switch:
            assert not mc.is_grad_enabled()
        assert mc.is_grad_enabled()


def test_a_gradient_in_the_middle_leaves_the_rest_of_the_graph():
    x = mc.tensor([1.0, 2.0], requires_grad=True)
    h = x * x
    y = (h * h).sum()
    (g,) = mc.autograd.grad(y, h)
    h.backward(g)
    assert x.grad.tolist() == [4.0, 32.0]


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match="expected a tensor or an array, not float"):
        mc.exp(2.0)


def test_clamp_with_tensors_as_bounds():
    def f(lib):
        x = lib.tensor([-2.0, 0.5, 3.0], requires_grad=True)
        low, high = (lib.tensor(v, requires_grad=True) for v in (-1.0, 2.0))
        (x.clamp(min=low, max=high) * lib.tensor([1.0, 2.0, 3.0])).sum().backward()
        return x.grad.tolist(), low.grad.item(), high.grad.item()

    assert f(mc) == f(torch) == ([0.0, 2.0, 0.0], 1.0, 3.0)


def test_max_pool_indices_where_a_dilated_window_reaches_past_255():
    x = np.random.default_rng(0).standard_normal((1, 1, 3, 640))
    args = {"kernel_size": (1, 3), "stride": (1, 7), "dilation": (1, 200)}
    y, where = mc.nn.functional.max_pool2d(mc.tensor(x), **args, return_indices=True)
    z, there = torch.nn.functional.max_pool2d(torch.tensor(x), **args, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    np.testing.assert_array_equal(where.numpy(), there.numpy())

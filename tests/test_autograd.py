"""The tape: accumulation, order, hooks, modes, in-place checks, views, and every error's text."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import nn
from minicnn.autograd import Function
from minicnn.errors import (
    AnomalyError,
    DeviceError,
    DtypeError,
    GradientError,
    InPlaceError,
    ShapeError,
)


def leaf(*values, dtype=np.float64):
    return mc.tensor(np.array(values, dtype=dtype), requires_grad=True)


def both(f, *arrays):
    """Runs f on minicnn and on torch; returns outputs and gradients of both for comparison."""
    ours = [mc.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = f(*ours), f(*theirs)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    y.backward()
    z.backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)


# ---- the walk --------------------------------------------------------------------------------


def test_a_value_used_twice_receives_both_gradients(rng):
    both(lambda x: (x * x).sum(), rng.standard_normal((2, 3)))
    both(lambda x: (x * x.exp() + x).sum(), rng.standard_normal((2, 3)))


def test_the_graph_can_be_followed_by_hand():
    w, x = mc.tensor([1.0, 2.0], requires_grad=True), mc.tensor([3.0, 4.0])
    y = (w * x).sum()
    (node, number), *rest = y.grad_fn.next_functions
    assert (str(node), number) == ("<Mul>", 0)
    assert all(edge == (None, 0) for edge in rest)  # the arguments dim and keepdim
    assert node.next_functions == ((w, 0), (None, 0))


def test_every_use_is_met_before_the_value_itself(rng):
    def f(x, w):
        a = x * w
        b = a.exp()
        c = a * b + b * w  # b is used twice, at different depths
        return (c * a).sum()

    both(f, rng.standard_normal((2, 3)), rng.standard_normal((2, 3)))


def test_gradients_add_up_over_backward_calls():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert x.grad is first
    assert x.grad.tolist() == [7.0, 7.0]


def test_two_leaves_never_share_the_memory_of_a_gradient():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    x.grad.zero_()
    assert y.grad.tolist() == [1.0]


class KeepsItsSlope(Function):
    """Returns an array that it saved, and holds in an attribute, as its gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = np.full_like(x, 3.0)
        ctx.save_for_backward(ctx.slope)
        return x * ctx.slope

    @staticmethod
    def backward(ctx, g):
        return ctx.slope


class SaysItIsAKernel(Function, kernel=True):
    """Returns the gradient that it was given, against what kernel=True promises."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, g):
        return g


def test_a_gradient_of_the_users_is_not_taken_over():
    given = np.array([1.0, 2.0])
    for f in (lambda x: x, lambda x: x + 0.0, SaysItIsAKernel.apply, lambda x: x.view(2)):
        x = leaf(5.0, 6.0)
        f(x).backward(given)
        assert not np.shares_memory(x.grad.array, given)
        x.grad.zero_()
        assert given.tolist() == [1.0, 2.0]


def test_a_gradient_that_an_op_keeps_is_not_taken_over():
    x = leaf(1.0, 2.0)
    y = KeepsItsSlope.apply(x).sum()
    y.backward(retain_graph=True)
    x.grad.zero_()
    y.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_kernels_gradient_is_taken_over_but_not_from_a_hook():
    """The copy that is saved: what a hook has seen, and got twice, stays what it was."""
    w, b = mc.ones(3, 2, requires_grad=True), mc.ones(3, requires_grad=True)
    seen = []
    b.register_hook(seen.append)
    for _ in range(2):
        nn.functional.linear(mc.ones(4, 2), w, b).sum().backward()
    assert [g.tolist() for g in seen] == [[4.0] * 3] * 2
    assert b.grad.tolist() == [8.0] * 3
    assert w.grad.tolist() == [[8.0] * 2] * 3
    first, second = mc.autograd.grad(nn.functional.linear(mc.ones(4, 2), w, b).sum(), [w, w])
    first.zero_()
    assert second.tolist() == [[4.0] * 2] * 3
    assert b.grad.tolist() == [8.0] * 3


def test_the_gradient_of_a_leaf_lies_in_order_and_can_be_written(rng):
    x = mc.tensor(rng.standard_normal((2, 3, 5, 6)), requires_grad=True)
    w = mc.tensor(rng.standard_normal((4, 3, 2, 2)), requires_grad=True)
    nn.functional.conv2d(x, w, padding=1).sum().backward()
    for t in (x, w):
        assert t.grad.array.flags.c_contiguous
        assert t.grad.array.flags.writeable


def test_a_subclass_of_a_kernels_op_is_not_trusted_like_it():
    class Mine(mc.ops.OPS["ReLU"]):
        @staticmethod
        def forward(ctx, x):
            return x[...]

    x = mc.ones(3)
    y = Mine.apply(x)
    assert y._counter is x._counter  # a view: changes in place are one another's
    assert mc.ops.OPS["ReLU"].kernel
    assert not Mine.kernel


def test_a_graph_of_100_000_ops():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y
    gc.collect()


def test_a_dropped_graph_is_freed_without_the_collector():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x.exp()
        y.retain_grad()
        node = weakref.ref(y)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_several_outputs_and_an_unused_one(rng):
    x = mc.tensor(rng.standard_normal((2, 4)), requires_grad=True)
    a, b = x.split(2, dim=1)
    mc.autograd.backward([a.sum(), (b * 2).sum()])
    assert x.grad.tolist() == [[1, 1, 2, 2]] * 2
    values, indices = x.max(dim=1)
    assert values.requires_grad
    assert not indices.requires_grad


def test_backward_with_a_gradient():
    x = leaf(1.0, 2.0)
    (x * x).backward(mc.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    x.grad = None
    (x * x).backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


def test_autograd_grad_of_leaves_and_of_values_between():
    x = leaf(1.0, 2.0)
    y = x * x
    z = (y * y).sum()
    gx, gy = mc.autograd.grad(z, [x, y], retain_graph=True)
    assert gx.tolist() == [4.0, 32.0]
    assert gy.tolist() == [2.0, 8.0]
    assert x.grad is None
    unused = leaf(5.0)
    with pytest.raises(GradientError, match=r"input 1 of shape \(1,\) was not used"):
        mc.autograd.grad(z, [x, unused], retain_graph=True)
    assert mc.autograd.grad(z, [x, unused], allow_unused=True)[1] is None
    with pytest.raises(GradientError, match="input 0: this tensor does not require grad"):
        mc.autograd.grad((x * 2).sum(), mc.tensor([1.0]))


# ---- hooks -----------------------------------------------------------------------------------


def test_hooks_see_the_whole_gradient_and_may_replace_it():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    (y * 1.0 + y * 2.0).sum().backward()
    assert seen == [[3.0, 3.0]]  # once, with both paths added
    assert x.grad.tolist() == [60.0, 60.0]
    handle.remove()
    handle.remove()
    (y * 1.0).sum().backward(retain_graph=True)
    assert len(seen) == 1


def test_a_hook_on_a_leaf_runs_once_with_the_sum():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [5.0]


def test_a_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    with pytest.raises(GradientError, match=r"None or a gradient of \(2,\)"):
        x.sum().backward()


def test_retain_grad():
    x = leaf(1.0, 2.0)
    y = x * 3
    (y * y).sum().backward()
    assert y.grad is None
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]
    with pytest.raises(GradientError, match="does not require grad"):
        mc.tensor([1.0]).retain_grad()


# ---- modes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [mc.no_grad, mc.inference_mode])
def test_no_grad_as_a_block_and_as_a_decorator(mode):
    x = leaf(1.0)
    with mode():
        assert not (x * 2).requires_grad
        with mc.enable_grad():
            assert (x * 2).requires_grad
        assert not mc.is_grad_enabled()
    assert (x * 2).requires_grad

    @mode()
    def f(depth):
        return (x * 2).requires_grad if depth == 0 else f(depth - 1)

    assert f(3) is False
    assert mc.is_grad_enabled()


def test_set_grad_enabled_works_at_once_and_as_a_block():
    mc.set_grad_enabled(False)
    assert not mc.is_grad_enabled()
    mc.set_grad_enabled(True)
    with mc.set_grad_enabled(False):
        assert not mc.is_grad_enabled()
    assert mc.is_grad_enabled()


def test_an_error_inside_a_block_puts_the_mode_back():
    with pytest.raises(KeyError), mc.no_grad():
        raise KeyError
    assert mc.is_grad_enabled()


def test_modes_belong_to_their_thread():
    found = []
    with mc.no_grad():
        thread = threading.Thread(target=lambda: found.append(mc.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


# ---- errors of backward ----------------------------------------------------------------------


def test_backward_from_more_than_one_element_wants_a_gradient():
    with pytest.raises(GradientError, match=r"shape \(2,\), not one element; reduce it first"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(
        GradientError, match=r"gradient has shape \(3,\) on cpu, but the output has \(2,\)"
    ):
        (leaf(1.0, 2.0) * 2).backward(np.ones(3))


def test_backward_without_a_graph():
    with pytest.raises(GradientError, match="does not require grad and has no grad_fn"):
        mc.tensor([1.0]).sum().backward()


def test_a_second_backward_says_what_to_do():
    y = leaf(1.0, 2.0).exp().sum()
    y.backward()
    with pytest.raises(GradientError, match=r"Exp: backward a second time.*retain_graph=True"):
        y.backward()


def test_retain_graph_allows_a_second_backward():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_second_order_is_refused():
    with pytest.raises(GradientError, match="first order"):
        leaf(1.0).sum().backward(create_graph=True)


def make_function(result):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, weight):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return result(g)

    return Wrong


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda g: (g, g, g), "returned 3 gradients, but forward has 2 arguments"),
        (lambda g: (g, g[:1]), r"argument 1 \(weight\) has shape \(1,\) and .* expected \(2,\)"),
        (lambda g: g.astype("f4"), r"argument 0 \(x\) has .* dtype float32; expected .* float64"),
        (lambda g: g.tolist(), r"returned 2 gradients|is a float; expected an array"),
        (lambda g: mc.tensor(g), r"argument 0 \(x\) is a Tensor; expected an array"),
    ],
)
def test_a_gradient_of_the_wrong_count_shape_type_or_kind(result, message):
    y = make_function(result).apply(leaf(1.0, 2.0), leaf(3.0, 4.0))
    with pytest.raises(GradientError, match="Wrong: .*" + message):
        y.sum().backward()


@pytest.mark.parametrize("result", [lambda g: g, lambda g: (g,)])
def test_a_backward_that_returns_too_few_gradients_is_refused(result):
    w, constant = leaf(3.0, 4.0), mc.ones(2, dtype=mc.float64)
    with pytest.raises(GradientError, match="Wrong: backward returned 1 gradients, but forward"):
        make_function(result).apply(leaf(1.0, 2.0), w).sum().backward()
    assert w.grad is None
    make_function(result).apply(w, constant).sum().backward()  # needs no more
    assert w.grad.tolist() == [1.0, 1.0]


def test_a_gradient_on_another_device(fake_cupy):
    y = make_function(lambda g: (fake_cupy.asarray(g),)).apply(leaf(1.0, 2.0), 1)
    with pytest.raises(GradientError, match=r"argument 0 \(x\) is on cuda:0; expected a numpy"):
        y.sum().backward()


def test_tensors_on_different_devices_are_both_named(fake_cupy):
    other = mc.Tensor(fake_cupy.asarray(np.ones(3)))
    with pytest.raises(DeviceError, match=r"input \(2, 3\) on cpu, other \(3,\) on cuda:0: .*\.to"):
        mc.ones(2, 3) + other
    y = mc.ones(3, requires_grad=True) * 2
    with pytest.raises(GradientError, match=r"on cuda:0, but the output has \(3,\) on cpu"):
        y.backward(other)


def test_fewer_gradients_than_arguments_are_enough():
    x = leaf(1.0, 2.0)
    make_function(lambda g: (2 * g,)).apply(x, 7).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_failed_backward_leaves_no_half_of_the_gradients():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = make_function(lambda g: (g, g[:1])).apply(a * 1.0, b)
    with pytest.raises(GradientError):
        (y + b).sum().backward()
    assert a.grad is None
    assert b.grad is None


# ---- user-defined functions ------------------------------------------------------------------


class Square(Function):
    """The README's and CONTRIBUTING's example."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def test_a_function_of_the_users():
    x = leaf(1.0, -2.0)
    y = Square.apply(x)
    assert repr(y.grad_fn) == "<Square>"
    y.sum().backward()
    assert x.grad.tolist() == [2.0, -4.0]


def test_needs_input_grad_and_keyword_arguments():
    seen = []

    class Scale(Function):
        @staticmethod
        def forward(ctx, x, factor, offset=0.0):
            ctx.factor = factor
            return x * factor + offset

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g * ctx.factor

    x = leaf(1.0, 2.0)
    y = Scale.apply(x, offset=1.0, factor=3.0)
    assert y.tolist() == [4.0, 7.0]
    y.sum().backward()
    assert seen == [(True, False, False)]
    with pytest.raises(TypeError, match=r"Scale: .*'slope'"):
        Scale.apply(x, 3.0, slope=2)


def test_mark_non_differentiable_and_missing_gradients():
    class Parts(Function):
        @staticmethod
        def forward(ctx, x):
            whole, part = np.floor(x), x - np.floor(x)
            ctx.mark_non_differentiable(whole)
            return whole, part, x * 2

        @staticmethod
        def backward(ctx, g_whole, g_part, g_double):
            return g_part + 2 * g_double  # an output that was not used has a gradient of zeros

    x = leaf(1.5, 2.25)
    whole, part, _ = Parts.apply(x)
    assert not whole.requires_grad
    part.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


# ---- in place --------------------------------------------------------------------------------


def test_the_update_of_a_weight():
    w = leaf(1.0, 2.0)
    (w * w).sum().backward()
    array = w.array
    with mc.no_grad():
        w -= 0.5 * w.grad
    w.grad.zero_()
    assert w.array is array
    assert w.tolist() == [0.0, 0.0]
    assert w.grad.tolist() == [0.0, 0.0]
    assert w.is_leaf
    assert w.requires_grad


def test_a_leaf_in_place_is_refused_while_recording():
    w = leaf(1.0)
    with pytest.raises(InPlaceError, match=r"Add: a leaf that requires grad.*with no_grad\(\)"):
        w += 1.0
    with pytest.raises(InPlaceError, match="leaf"):
        w[0] = 1.0


@pytest.mark.parametrize("change", [
    lambda t: t.add_(1.0), lambda t: t.zero_(), lambda t: t.__setitem__(0, 5.0),
    lambda t: t.detach().mul_(2.0), lambda t: t.copy_(mc.zeros(2)),
    lambda t: nn.functional.relu(t, inplace=True),
])  # fmt: skip
def test_a_saved_array_changed_in_place_is_noticed(change):
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = (y * y).sum()
    change(y)
    with pytest.raises(InPlaceError, match=r"Mul: an array that it saved.*1 time.*clone\(\)"):
        z.backward()


def test_a_saved_output_or_view_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y.sum()
    with mc.no_grad():
        y[0] = 0.0
    with pytest.raises(InPlaceError, match="Exp"):
        z.backward()
    w = mc.ones(2, 2, requires_grad=True)
    z = nn.functional.linear(mc.ones(3, 2), w).sum() + (w * w).sum()
    with mc.no_grad():
        w.view(-1)[0] = 7.0  # through a view of a view
    with pytest.raises(InPlaceError, match="changed in place"):
        z.backward()


def test_weights_that_a_kernel_saved_are_watched():
    x = mc.ones(1, 1, 3, 3, requires_grad=True)
    w = mc.ones(1, 1, 2, 2, requires_grad=True)
    y = nn.functional.conv2d(x, w).sum()
    with mc.no_grad():
        w += 1
    with pytest.raises(InPlaceError, match="Conv2d"):
        y.backward()


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_an_output_that_a_kernel_saved_is_watched(name):
    y = getattr(leaf(1.0, 2.0), name)()
    z = y.sum()
    y.detach().mul_(2.0)
    with pytest.raises(InPlaceError, match=r"an array that it saved.*1 time"):
        z.backward()


@pytest.mark.parametrize(("part", "noticed"), [(slice(1, 4), True), (slice(3, 6), False)])
def test_an_overlap_is_watched_though_the_tensors_know_nothing_of_each_other(part, noticed):
    memory = np.arange(6.0)
    x, y = mc.from_numpy(memory[:3]).requires_grad_(), mc.from_numpy(memory[part])
    z = (x * y).sum()  # saves y
    with mc.no_grad():
        x += 1.0
    if noticed:
        with pytest.raises(InPlaceError, match="Mul: an array that it saved"):
            z.backward()
    else:
        z.backward()
        assert x.grad.tolist() == [3.0, 4.0, 5.0]


def test_in_place_results_have_the_right_gradient(rng):
    def f(x, w):
        y = x * 1.0
        y += w
        y *= 2.0
        y.clamp_(-1.0, 1.0)
        y[0] = w[0] * 3
        return (y * y).sum()

    both(f, rng.standard_normal((2, 3)), rng.standard_normal((2, 3)))


def test_in_place_makes_a_constant_part_of_the_graph():
    w = leaf(1.0, 2.0)
    y = mc.zeros(2, dtype=mc.float64)
    y[1] = w[0] * 5
    y += w
    assert y.requires_grad
    y.sum().backward()
    assert w.grad.tolist() == [6.0, 1.0]


def test_relu_in_place_really_writes():
    x = mc.tensor([-1.0, 2.0])
    y = nn.ReLU(inplace=True)(x)
    assert y is x
    assert x.tolist() == [0.0, 2.0]


def test_an_expanded_tensor_cannot_be_written():
    with pytest.raises(InPlaceError, match=r"Add: memory is read-only.*expand.*clone\(\)"):
        mc.ones(1).expand(3).add_(1)


def test_in_place_must_fit():
    x = mc.ones(2)
    with pytest.raises(ShapeError, match=r"in place, \(3, 2\) does not fit into \(2,\)"):
        x += mc.ones(3, 2)
    with pytest.raises(DtypeError, match="float32 does not fit into int64"):
        mc.tensor([1, 2]).mul_(1.5)
    x += mc.ones(2, dtype=mc.float64)
    assert x.dtype == mc.float32


def test_a_change_through_a_view_changes_its_base_and_its_gradient(rng):
    def f(x, w):
        y = x * 2.0
        row = y.reshape(2, 3, 2)[1]
        y[0, 1] *= 10.0
        row.T[0] += w
        y[1][3] = w[2]
        row[2].clamp_(-1.0, 1.0)
        return (y * y).sum() + (row * row).sum()

    both(f, rng.standard_normal((2, 6)), rng.standard_normal(3))


def test_a_change_through_a_view_of_a_leaf_is_refused():
    w = leaf(1.0, 2.0)
    with pytest.raises(InPlaceError, match=r"Mul: a view of a leaf that .*with no_grad\(\)"):
        w[0].mul_(3.0)
    with mc.no_grad():
        w[0].mul_(3.0)
    assert w.tolist() == [3.0, 2.0]


def test_a_view_taken_before_its_base_was_changed_has_its_history(rng):
    def f(x, w):
        y = x * 1.0
        view = y[:1]
        y *= 3.0
        constant = x.detach().clone()
        other, last = constant[1:], constant[1]
        constant += w
        constant[1] *= 2.0
        last.retain_grad()
        return (view * view).sum() + (other * other).sum() + last + last.exp()

    both(f, rng.standard_normal(2), rng.standard_normal(2))
    y = leaf(1.0, 2.0) * 1.0
    view = y[1]
    y *= 3.0
    view.backward()  # straight from the view


def test_a_view_of_a_tensor_that_got_other_memory_is_no_view_any_more():
    x, w = mc.ones(4), leaf(1.0, 2.0)
    view = x[1:3]
    x.data = mc.zeros(3)
    with pytest.raises(InPlaceError, match="other memory now; take the view again"):
        view += w
    assert view.tolist() == [1.0, 1.0]


def test_views_share_memory_and_copies_do_not():
    x = mc.arange(12).view(3, 4)
    for view in (
        x[1], x.T, x.view(-1), x.unsqueeze(0), x.expand(2, 3, 4), x.detach(), x.data, x[1, 2],
        x.unbind()[1], x[..., 3], x[1][2], *x[2], x[mc.tensor(1), np.int64(0)], x[2, 3].view(1, 1),
    ):  # fmt: skip
        assert np.shares_memory(view.array, x.array)
    for copied in (x.clone(), x[[0, 1]], x[x > 3], x.T.reshape(-1), mc.tensor(x)):
        assert not np.shares_memory(copied.array, x.array)
    x[1][2] = 100
    assert x[1, 2].item() == 100


# ---- anomaly detection -----------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f1 = nn.Linear(2, 3)
        self.head = nn.Sequential(nn.Linear(3, 2), nn.Identity())

    def forward(self, x):
        return self.head(self.f1(x))


def test_anomaly_names_the_op_and_the_module():
    net = Net()
    with mc.autograd.set_detect_anomaly(True):
        net(mc.ones(1, 2))
        with mc.no_grad():
            net.head[0].weight[0, 1] = float("nan")
        with pytest.raises(
            AnomalyError, match=r"Linear: forward gave 1 values.* 1 were so.*\[Net.head.0\]"
        ):
            net(mc.ones(1, 2))
        with pytest.raises(AnomalyError, match=r"Log: forward gave 1 values.* from finite ones"):
            mc.tensor([0.0, 1.0]).log()
    mc.tensor([0.0, 1.0]).log()


def test_anomaly_in_backward_names_the_forward_op_and_its_module():
    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.root = Root()

        def forward(self, x):
            return self.root(x)

    with mc.autograd.set_detect_anomaly(True):
        y = Outer()(leaf(0.0, 1.0)).sum()
        with pytest.raises(AnomalyError, match=r"Sqrt: backward gave 1 values.*\[Outer.root\]"):
            y.backward()


# ---- copies ----------------------------------------------------------------------------------


def test_deepcopy_copies_leaves_and_refuses_others():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    y = copy.deepcopy(x)
    y.array[0] = 9
    assert x.tolist() == [1.0, 2.0]
    assert y.requires_grad
    assert y.grad.tolist() == [1.0, 1.0]
    with pytest.raises(GradientError, match="only leaves"):
        copy.deepcopy(x * 2)
    p = copy.deepcopy(nn.Parameter([1.0]))
    assert type(p) is nn.Parameter


def test_what_a_user_holds_is_never_overwritten(rng):
    """Every activation, gradient, numpy view and DLPack capsule of a step, over three more."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Subsample2d(5, 1), nn.ScaledTanh(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 3),
    )  # fmt: skip
    held, copies = [], []

    def hold(array):
        held.append(array)
        copies.append(array.tobytes())

    def step(keep):
        x = mc.tensor(rng.standard_normal((4, 1, 12, 12)).astype("f4"), requires_grad=True)
        y = x
        kept = []
        for layer in net:
            y = layer(y)
            y.retain_grad()
            kept.append(y)
        loss = nn.functional.cross_entropy(y, mc.tensor([0, 1, 2, 0]))
        net.zero_grad()
        loss.backward()
        if keep:
            for t in [x, loss, *kept]:
                hold(t.detach().numpy())
            for t in [x, *kept, *net.parameters()]:
                hold(t.grad.numpy())
                hold(np.from_dlpack(t.grad))
        with mc.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad

    step(keep=True)
    assert len(held) > 60
    for _ in range(3):
        step(keep=False)
    assert [h.tobytes() for h in held] == copies

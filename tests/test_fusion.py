"""Fusion: calls that run as one give what they give one by one, and what PyTorch gives."""

import copy
import gc
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

import minicnn as mc
import minicnn.nn.functional as F
from minicnn import kernels, nn
from minicnn.errors import AnomalyError, ArgumentError, DtypeError, InPlaceError, ShapeError
from minicnn.kernels.calls import START, Call
from minicnn.kernels.numba_cpu import activation, pool, program
from minicnn.models import make
from minicnn.ops import conv

chain_module = sys.modules["minicnn.kernels.numba_cpu.chain"]
ACTIVATIONS = [nn.Sigmoid, nn.Tanh, nn.ReLU, nn.ScaledTanh]


@pytest.fixture(autouse=True)
def _compiled():
    kernels.use("numba")
    yield
    kernels.use("numba")


@pytest.fixture
def cache(monkeypatch):
    """Sets how many bytes a part of the batch may have."""

    def set_to(size):
        monkeypatch.setattr(chain_module, "CACHE", size)
        START.longer.clear()

    return set_to


def lenet(activation=nn.Sigmoid, pool=nn.AvgPool2d):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2), nn.Conv2d(6, 16, 5), activation(),
        pool(2), nn.Flatten(), nn.Linear(400, 12), activation(), nn.Linear(12, 10),
    )  # fmt: skip


def one_by_one(model, x):
    for layer in model:
        x = layer(x)
    return x


def results(model, x, g, forward):
    """What forward returns, and all gradients of forward(model, x) times g."""
    model.zero_grad()
    x.grad = None
    y = forward(model, x)
    y.backward(g)
    grads = [p.grad for p in (*model.parameters(), x)]
    return y, [y.array, *(None if d is None else d.array.copy() for d in grads)]


def assert_same(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            scale = max(1e-3, np.abs(b).max(initial=0))
            assert np.abs(a - b).max(initial=0) <= tolerance * scale


# ---- the same as one by one ------------------------------------------------------------------


def _pool(rng, channels):
    kind = rng.integers(4)
    kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    if kind == 0:
        return [nn.MaxPool2d(kernel, stride, ceil_mode=bool(rng.integers(2)))]
    if kind == 1:
        padding = int(rng.integers(0, kernel // 2 + 1))
        return [nn.AvgPool2d(kernel, stride, padding, count_include_pad=bool(rng.integers(2)))]
    return [nn.Subsample2d(channels, kernel, stride)] if kind == 2 else []


def random_model(rng):
    """A model of chainable layers, and the shape of an image it takes."""
    channels, size = int(rng.integers(1, 5)), rng.integers(16, 22, 2)
    made, c = [], channels
    for _ in range(int(rng.integers(1, 4))):
        out, groups = 2 * int(rng.integers(1, 4)), 2 if c % 2 == 0 and rng.random() < 0.3 else 1
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        stride = 2 if rng.random() < 0.2 else 1
        made.append(
            nn.Conv2d(
                c, out, kernel, stride, int(rng.integers(2)), groups=groups,
                dilation=1 if made else int(rng.integers(1, 3)), bias=bool(rng.random() < 0.7),
            )
        )  # fmt: skip
        c = out
        made += [ACTIVATIONS[rng.integers(4)]()] if rng.random() < 0.8 else []
        made += _pool(rng, c) if len(made) < 6 else []
    if rng.random() < 0.7:
        one = one_by_one(made, mc.zeros(1, channels, *size.tolist()))
        width = int(np.prod(one.shape[1:]))
        made.append(nn.Flatten())
        for _ in range(int(rng.integers(1, 3))):
            out = int(rng.integers(1, 20))
            made.append(nn.Linear(width, out, bias=bool(rng.random() < 0.7)))
            width = out
            made += [ACTIVATIONS[rng.integers(4)]()] if rng.random() < 0.5 else []
    return nn.Sequential(*made, *([nn.ReLU()] if len(made) < 2 else [])), (channels, *size.tolist())


@pytest.mark.parametrize("seed", range(60))
def test_a_random_chain_is_its_layers_one_by_one(seed, cache):
    rng = np.random.default_rng(seed)
    mc.manual_seed(seed)
    model, shape = random_model(rng)
    dtype = np.dtype(["f4", "f8"][seed % 2])
    model = model.double() if dtype == np.float64 else model
    n = int(rng.choice([1, 2, 3, 8, 15, 16, 17, 33, 50, 70]))
    x = rng.standard_normal((n, *shape)).astype(dtype)
    if seed % 3 == 0:  # in another order in memory
        x = np.ascontiguousarray(x.transpose(1, 3, 0, 2)).transpose(2, 0, 3, 1)
    x = mc.tensor(x)
    x.requires_grad_(bool(rng.random() < 0.5))
    for p in model.parameters():
        p.requires_grad_(bool(rng.random() < 0.85))
    next(model.parameters()).requires_grad_(True)
    cache(int(rng.choice([1_000, 30_000, 700_000])))
    g = rng.standard_normal(model(x).shape).astype(dtype)
    y, found = results(model, x, g, lambda model, x: model(x))
    assert "+" in repr(y.grad_fn)
    assert_same(found, results(model, x, g, one_by_one)[1], 1e-4 if dtype == "f4" else 1e-10)


@pytest.mark.parametrize("pool", [nn.AvgPool2d, nn.MaxPool2d])
@pytest.mark.parametrize("n", [1, 5, 64, 100])
def test_a_lenet_in_parts_is_pytorchs(n, pool, rng, cache):
    cache(100_000)
    mc.manual_seed(1)
    model = lenet(nn.Tanh, pool).double()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, padding=2), torch.nn.Tanh(), getattr(torch.nn, pool.__name__)(2),
        torch.nn.Conv2d(6, 16, 5), torch.nn.Tanh(), getattr(torch.nn, pool.__name__)(2),
        torch.nn.Flatten(), torch.nn.Linear(400, 12), torch.nn.Tanh(), torch.nn.Linear(12, 10),
    ).double()  # fmt: skip
    for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
        q.data = torch.from_numpy(p.array.copy())
    x, g = rng.standard_normal((n, 1, 28, 28)), rng.standard_normal((n, 10))
    _, found = results(model, mc.tensor(x).requires_grad_(), g, lambda model, x: model(x))
    their_x = torch.from_numpy(x).requires_grad_()
    y = theirs(their_x)
    y.backward(torch.from_numpy(g))
    expected = [y.detach(), *(p.grad for p in theirs.parameters()), their_x.grad]
    assert_same(found, [e.numpy() for e in expected], 1e-10)


def test_the_bits_are_the_same_at_any_number_of_threads(rng, cache):
    before, found = mc.get_num_threads(), []
    model, x = lenet(nn.ReLU, nn.MaxPool2d), mc.tensor(rng.standard_normal((100, 1, 28, 28), "f4"))
    g = rng.standard_normal((100, 10)).astype("f4")
    try:
        for threads in (1, 2, 3, 7, 20):
            mc.set_num_threads(threads)
            cache(700_000)
            found.append(results(model, x, g, lambda model, x: model(x))[1])
    finally:
        mc.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0][:-1], other[:-1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_rectifier_before_a_maximum_may_come_after_it(rng):
    # Small whole numbers: many ties, at 0 and elsewhere, and windows without a positive number.
    x = mc.tensor(rng.integers(-2, 2, (3, 2, 7, 9)).astype("f4"))
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.MaxPool2d((2, 3), (1, 2)))
    with mc.no_grad():
        model[0].weight.copy_(mc.tensor(rng.integers(-1, 2, (3, 2, 1, 1)).astype("f4")))
        model[0].bias.zero_()
    g = rng.integers(1, 9, (3, 3, 6, 4)).astype("f4")
    x.requires_grad_()
    assert kinds_of(_relu_and_maximum(0)) == [pool.MaxPool2d, activation.ReLU]
    found = results(model, x, g, lambda model, x: model(x))[1]
    for a, b in zip(found, results(model, x, g, one_by_one)[1], strict=True):
        np.testing.assert_array_equal(a, b)


def _relu_and_maximum(padding):
    window = mc.kernels.reference.Window((2, 2), (2, 2), (padding, padding), (1, 1), (3, 3))
    kind = np.dtype("f4")
    return Call("relu", (3, 2, 6, 6), kind), Call("max_pool2d", (3, 2, 3, 3), kind, (window,))


def kinds_of(calls):
    return [type(layer) for layer in chain_module._layers_of(calls, (2, 6, 6))]


def test_a_rectifier_stays_before_a_maximum_with_padding():
    assert kinds_of(_relu_and_maximum(1)) == [activation.ReLU, pool.MaxPool2d]


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("n", [1, 17, 33])  # with images left over from whole vectors
def test_weights_that_are_not_finite_reach_what_they_reach_one_by_one(value, n, rng, cache):
    cache(1_000)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh(), nn.Conv2d(3, 2, 3, padding=1))
    with mc.no_grad():
        model[2].weight[0, 1, 2, 0] = value
    x = mc.tensor(rng.standard_normal((n, 2, 6, 5)).astype("f4")).requires_grad_()
    g = rng.standard_normal((n, 2, 6, 5)).astype("f4")
    found = results(model, x, g, lambda model, x: model(x))[1]
    for a, b in zip(found, results(model, x, g, one_by_one)[1], strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    assert 0 < np.isfinite(found[-1]).sum() < x.array.size


def test_several_threads_of_the_user_may_call_one_model(rng):
    model = lenet()
    images = [mc.tensor(rng.standard_normal((n, 1, 28, 28)).astype("f4")) for n in (3, 40, 64, 3)]
    expected, found = [model(x).array for x in images], [None] * len(images)

    def call(i):
        for _ in range(20):
            found[i] = model(images[i]).array

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- what runs together ----------------------------------------------------------------------


def nodes(y):
    """The nodes of a graph, by their ops' names, from the output on."""
    seen, waiting = [], [y.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and not isinstance(node, mc.Tensor) and node not in seen:
            seen.append(node)
            waiting += [target for target, _ in node.next_functions]
    return [node.op.__name__ for node in seen]


class Written(nn.Module):
    """A LeNet as tutorials write it: functions in forward()."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.features_of(x))
        x = F.relu(self.fc1(x))
        return self.fc2(x)

    def features_of(self, x):
        count = 1
        for size in x.size()[1:]:
            count *= size
        return count


class Held(Written):
    """The same, every result under a name of its own."""

    def forward(self, x):
        c1 = F.relu(self.conv1(x))
        s2 = F.max_pool2d(c1, 2)
        c3 = F.relu(self.conv2(s2))
        s4 = F.max_pool2d(c3, 2)
        f = mc.flatten(s4, 1)
        f5 = F.relu(self.fc1(f))
        return self.fc2(f5)


@pytest.mark.parametrize("name", ["lenet", "lenet5", "lenet-sigmoid", "lenet-tanh", "lenet-colour"])
def test_a_lenet_is_one_node(name):
    model = make(name)
    y = model(mc.rand(2, *model.input_shape))
    assert len(nodes(y)) == 1
    assert nodes(F.cross_entropy(y, mc.tensor([1, 2])))[0] == "CrossEntropy"


@pytest.mark.parametrize("kind", [Written, Held])
def test_a_forward_written_by_hand_is_one_node_too(kind, rng):
    mc.manual_seed(3)
    model, x = kind(), mc.tensor(rng.standard_normal((5, 1, 28, 28)).astype("f4")).requires_grad_()
    names = "Conv2d+ReLU+MaxPool2d+Conv2d+ReLU+MaxPool2d+Reshape+Linear+ReLU+Linear"
    assert nodes(model(x)) == [names]
    theirs = nn.Sequential(
        model.conv1, nn.ReLU(), nn.MaxPool2d(2), model.conv2, nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), model.fc1, nn.ReLU(), model.fc2,
    )  # fmt: skip
    g = rng.standard_normal((5, 10)).astype("f4")
    _, found = results(model, x, g, lambda model, x: model(x))
    for a, b in zip(found, results(theirs, x, g, lambda model, x: model(x))[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(found, results(theirs, x, g, one_by_one)[1], 1e-5)


def test_the_graph_shows_what_is_one_node():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3), nn.Tanh()
    )
    y = model(mc.randn(4, 1, 8, 8))
    assert repr(y.grad_fn) == "<Linear+Tanh>"
    assert nodes(y) == ["Linear+Tanh", "Reshape", "Dropout", "Conv2d+ReLU"]


def test_outside_of_a_module_everything_happens_at_once():
    x, w = mc.randn(2, 1, 6, 6), mc.randn(3, 1, 3, 3).requires_grad_()
    y = F.relu(F.conv2d(x, w))
    assert type(y) is mc.Tensor
    assert nodes(y) == ["ReLU", "Conv2d"]


def in_model(function):
    """A module whose forward is this function."""
    module = nn.Module()
    module.forward = function
    return module


def test_when_a_model_returns_nothing_waits():
    kept = []

    def forward(x):
        kept.append(F.tanh(x))
        kept.append(F.relu(kept[0]))
        assert all(type(t) is not mc.Tensor for t in kept)
        return kept[1], [F.sigmoid(kept[0])], {"x": F.relu(x)}

    found = in_model(forward)(mc.tensor([-1.0, 2.0]))
    for t in (*kept, found[0], found[1][0], found[2]["x"]):
        assert type(t) is mc.Tensor
        assert set(vars(t)) == {"array", "_counter"}  # nothing is left of the waiting
    np.testing.assert_allclose(found[0].array, np.maximum(np.tanh([-1.0, 2.0]), 0), rtol=1e-6)


@pytest.mark.parametrize("name", ["reference", "crosscheck"])
def test_other_kernels(name):
    kernels.use(name)
    model = lenet()
    y = model(mc.randn(2, 1, 28, 28))
    assert len(nodes(y)) == (1 if name == "crosscheck" else len(model))
    y.sum().backward()


# ---- who wants to see between two calls --------------------------------------------------------


def conv_and_more(rng):
    """A convolution's weight and an image, float64."""
    x = mc.tensor(rng.standard_normal((2, 3, 6, 5))).requires_grad_()
    return x, mc.tensor(rng.standard_normal((4, 3, 3, 2))).requires_grad_()


def gradients(function, *tensors):
    """d(sum of the function's result)/d(each tensor), by a model and by PyTorch's rules at once."""
    found = []
    for run in (function, in_model(function)):
        for t in tensors:
            t.grad = None
        y = run(*tensors)
        (y * y).sum().backward()
        found.append([y.array, *(t.grad.array.copy() for t in tensors)])
    assert_same(found[1], found[0], 1e-10)
    return found[1]


def test_a_value_used_twice(rng):
    def forward(x, w):
        h = F.conv2d(x, w)
        return F.relu(h) + F.max_pool2d(F.tanh(h), 1) + h

    x, w = conv_and_more(rng)
    gradients(forward, x, w)
    assert sorted(nodes(in_model(forward)(x, w))) == [
        "Add", "Add", "Conv2d", "ReLU", "Tanh+MaxPool2d"
    ]  # fmt: skip


def test_branches_that_meet_again(rng):
    def forward(x, w):
        h = F.relu(F.conv2d(x, w))
        for _ in range(3):
            h = h + F.tanh(F.sigmoid(h))
        return h

    gradients(forward, *conv_and_more(rng))


def test_a_value_that_is_held_has_a_node_of_its_own(rng):
    x, w = conv_and_more(rng)
    kept = []

    def forward(x, w):
        h = F.conv2d(x, w)
        kept[:] = [h]
        return F.max_pool2d(F.relu(h), 2)

    y = in_model(forward)(x, w)
    assert nodes(y) == ["ReLU+MaxPool2d", "Conv2d"]
    assert kept[0].grad_fn is y.grad_fn.next_functions[0][0]


def test_retain_grad_and_hooks_of_tensors(rng):
    x, w = conv_and_more(rng)
    seen, kept = [], []

    def forward(x, w):
        h = F.conv2d(x, w)
        h.retain_grad()
        h.register_hook(lambda g: seen.append(g.array.copy()))
        kept[:] = [h]
        return F.relu(h)

    y = in_model(forward)(x, w)
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(kept[0].grad.array, (kept[0].array > 0) * 1.0)
    np.testing.assert_array_equal(seen[0], kept[0].grad.array)


def test_a_hook_of_a_module_sees_numbers_and_cuts_where_it_keeps_them(rng):
    model, x, seen = lenet(), mc.randn(2, 1, 28, 28), []
    handle = model[1].register_forward_hook(lambda layer, args, y: seen.append(y))
    y = model(x)
    assert len(nodes(y)) == 2
    np.testing.assert_allclose(seen[0].array, one_by_one(model[:2], x).array, rtol=1e-5)
    handle.remove()
    model[1].register_forward_hook(lambda layer, args, y: seen.append(y.shape))
    assert len(nodes(model(x))) == 1
    assert seen[-1] == (2, 6, 28, 28)


def test_a_hook_may_return_another_output(rng):
    model, x = lenet()[:3], mc.randn(2, 1, 28, 28)
    model[1].register_forward_hook(lambda layer, args, y: y * 0 + 7)
    assert (model(x).array == 7).all()


def test_numbers_that_forward_asks_for(rng):
    def forward(x):
        h = F.relu(x)
        return F.tanh(h) if h.array.sum() > 0 else F.sigmoid(h)

    model = in_model(forward)
    np.testing.assert_allclose(model(mc.tensor([1.0])).array, np.tanh([1.0]), rtol=1e-6)
    np.testing.assert_allclose(model(mc.tensor([-1.0])).array, [0.5])


def test_what_is_known_without_numbers():
    def forward(x):
        h = F.conv2d(x, mc.ones(4, 3, 3, 2).double())
        assert h.shape == h.size() == (2, 4, 4, 4)
        assert (h.ndim, h.dim(), h.dtype, str(h.device)) == (4, 4, np.float64, "cpu")
        assert type(h) is not mc.Tensor  # nobody has computed it
        return h.mean((2, 3)), repr(h), h.requires_grad, h.is_leaf

    y, text, learns, leaf = in_model(forward)(mc.ones(2, 3, 6, 5).double())
    assert text.startswith("tensor([[[[18., 18.")
    assert (y.array == 18).all()
    assert (learns, leaf) == (False, True)


# ---- changes while something waits -------------------------------------------------------------


def _scale_weight(x, w, h):
    with mc.no_grad():
        w.mul_(2)


def _assign_weight(x, w, h):
    with mc.no_grad():
        w[0] = 5.0


def _zero_input(x, w, h):
    with mc.no_grad():
        x.zero_()


def _step(x, w, h):
    w.grad = mc.ones_like(w)
    mc.optim.SGD([w], lr=1.0).step()


def _new_data(x, w, h):
    w.data = w.data * 3


@pytest.mark.parametrize("change", [_scale_weight, _assign_weight, _zero_input, _step, _new_data])
def test_a_change_in_place_comes_after_what_was_called_before(change, rng):
    x, w = conv_and_more(rng)
    expected = F.relu(F.conv2d(x, w)).array.copy()

    def forward(x, w):
        h = F.relu(F.conv2d(x, w))
        change(x, w, h)
        return h

    with mc.no_grad():
        np.testing.assert_array_equal(in_model(forward)(x, w).array, expected)


def test_a_recorded_change_of_a_weight_that_backward_needs_is_refused(rng):
    x, w = conv_and_more(rng)

    def forward(x, w):
        h = F.relu(F.conv2d(x, w))
        _scale_weight(x, w, h)
        return h

    y = in_model(forward)(x, w)
    with pytest.raises(InPlaceError, match="changed in place 1 time"):
        y.sum().backward()


def test_a_waiting_tensor_changed_in_place(rng):
    def forward(x, w):
        h = F.conv2d(x, w)
        h += 1
        F.relu(h, inplace=True)
        g = h.tanh_()
        assert g is h
        h[0] = 0.5
        return F.sigmoid(h)

    gradients(forward, *conv_and_more(rng))


def test_a_rectifier_in_place_goes_on_from_what_waits(rng):
    def forward(x, w):
        h = F.conv2d(x, w)
        again = h
        F.relu(h, inplace=True)
        return F.max_pool2d(again, 2)

    x, w = conv_and_more(rng)
    gradients(forward, x, w)
    assert nodes(in_model(forward)(x, w)) == ["Conv2d+ReLU+MaxPool2d"]


def test_a_weight_that_is_a_view_of_what_was_changed_since_has_its_history(rng):
    x, w = conv_and_more(rng)
    (2 * F.conv2d(F.tanh(x), w)).sum().backward()
    expected, w.grad = w.grad.array, None
    for wrap in (in_model, lambda forward: forward):
        both = mc.cat([w, w])
        part = both[:4]
        model = wrap(lambda x, part=part: F.conv2d(F.tanh(x), part))
        for _ in range(2):
            model(x)
        both.mul_(2)
        model(x).sum().backward()
        np.testing.assert_allclose(w.grad.array, expected)
        w.grad = None


def test_recording_switched_in_a_model(rng):
    x, w = conv_and_more(rng)

    def forward(x, w):
        with mc.no_grad():
            h = F.relu(F.conv2d(x, w))
        return F.tanh(h) * w.sum()

    y = in_model(forward)(x, w)
    y.sum().backward()
    assert x.grad is None
    assert w.grad is not None
    assert "Conv2d" not in "".join(nodes(y))


def test_a_weight_frozen_while_its_call_waits(rng):
    x, w = conv_and_more(rng)

    def forward(x, w):
        h = F.conv2d(x, w)
        w.requires_grad_(False)
        return F.relu(h)

    in_model(forward)(x, w).sum().backward()
    assert w.grad is not None  # it was not frozen when it was used


def test_a_weight_that_is_computed(rng):
    def forward(x, w):
        return F.relu(F.conv2d(F.tanh(x), F.sigmoid(w)))

    gradients(forward, *conv_and_more(rng))


# ---- exceptions and threads ----------------------------------------------------------------------


def test_an_exception_in_forward_leaves_nothing_waiting(rng):
    kept = []

    def forward(x, w):
        kept[:] = [F.relu(F.conv2d(x, w))]
        raise KeyError("mine")

    x, w = conv_and_more(rng)
    with pytest.raises(KeyError, match="mine"):
        in_model(forward)(x, w)
    expected = F.relu(F.conv2d(x, w)).array
    _scale_weight(x, w, None)
    np.testing.assert_array_equal(kept[0].array, expected)
    assert not mc.fusion.waits.runs


def test_an_exception_that_forward_catches(rng):
    def forward(x, w):
        h = F.conv2d(x, w)
        with pytest.raises(ShapeError, match="linear"):
            F.linear(h, mc.ones(3, 99).double())
        return F.relu(h)

    gradients(forward, *conv_and_more(rng))


def test_a_generator_that_is_never_finished_is_no_problem(rng):
    x, w = conv_and_more(rng)

    def parts(x, w):
        yield F.conv2d(x, w)
        yield None

    model = in_model(lambda x, w: F.relu(next(parts(x, w))))
    assert model(x, w).shape == (2, 4, 4, 4)


def test_a_waiting_tensor_used_in_other_threads(rng):
    x, w = conv_and_more(rng)
    expected = F.conv2d(x, w)
    wanted = [F.relu(expected).array, F.tanh(expected).array, F.sigmoid(expected).array]

    def forward(x, w):
        h, found = F.conv2d(x, w), [None] * 3

        def branch(i, function):
            found[i] = function(h).array

        threads = [
            threading.Thread(target=branch, args=(i, f))
            for i, f in enumerate((F.relu, F.tanh, F.sigmoid))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (*found, h)

    for _ in range(20):
        *found, h = in_model(forward)(x, w)
        np.testing.assert_array_equal(h.array, expected.array)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_copies_of_a_waiting_tensor(rng):
    def forward(x, w):
        h = F.conv2d(x, w)
        return F.relu(copy.copy(h)) + copy.deepcopy(h.detach())

    x, w = conv_and_more(rng)
    h = F.conv2d(x, w).array
    np.testing.assert_allclose(in_model(forward)(x, w).array, np.maximum(h, 0) + h)


# ---- layers and their changes ------------------------------------------------------------------


def test_a_layer_with_a_forward_of_its_own_is_called():
    model = lenet()
    model(mc.randn(2, 1, 28, 28))
    model[1].forward = lambda input: input * 0 + 7
    y = model[:2](mc.randn(2, 1, 28, 28))
    assert (y.array == 7).all()
    assert repr(model(mc.randn(2, 1, 28, 28)).grad_fn).startswith("<AvgPool2d+Conv2d+")


def test_anomaly_detection_names_the_layer():
    model, x = lenet(nn.ReLU), mc.randn(2, 1, 28, 28)
    with mc.no_grad():
        model[3].weight[0, 0, 0, 0] = np.inf
    model(x)
    with mc.autograd.set_detect_anomaly(True), pytest.raises(AnomalyError, match=r"Sequential\.3"):
        model(x)


def test_an_error_names_the_layer():
    model = lenet()
    model(mc.randn(2, 1, 28, 28))
    with pytest.raises(ShapeError, match=r"linear: weight .* \[Sequential.7\]"):
        model(mc.randn(2, 1, 32, 32))
    with pytest.raises(ShapeError, match=r"conv2d: .*C_in=1.* \[Sequential.0\]"):
        model(mc.randn(2, 3, 28, 28))


def test_a_batch_of_none_and_one_image_without_a_batch():
    model = lenet()[:6]
    assert model(mc.zeros(0, 1, 28, 28)).shape == (0, 16, 5, 5)
    assert model(mc.zeros(1, 28, 28)).shape == (16, 5, 5)


def test_what_changes_in_the_model_is_noticed(rng):
    model, x = lenet()[:6], mc.tensor(rng.standard_normal((3, 1, 28, 28)).astype("f4"))

    def check():
        np.testing.assert_allclose(model(x).array, one_by_one(model, x).array, rtol=1e-5)

    check()
    model[0].padding = (0, 1)
    check()
    model[1] = nn.Tanh()
    check()
    model[0].weight = nn.Parameter(mc.randn(6, 1, 3, 3))
    model[0].kernel_size = (3, 3)
    check()
    model[3].bias.data = mc.ones(16)
    check()
    with mc.no_grad():
        model[3].weight.mul_(2)
    check()
    del model[4]
    check()
    x = x.double()
    model.double()
    check()
    assert model(x).dtype == np.float64


def test_a_copy_of_a_model_has_weights_of_its_own(rng):
    model, x = lenet(), mc.tensor(rng.standard_normal((2, 1, 28, 28)).astype("f4"))
    before = model(x).array
    other = copy.deepcopy(model)
    with mc.no_grad():
        for p in other.parameters():
            p.zero_()
    assert not other(x).array.any()
    np.testing.assert_array_equal(model(x).array, before)


def test_a_model_and_its_memory_go_when_they_are_no_longer_used():
    model = lenet()
    y = model(mc.randn(2, 1, 28, 28))
    gone = weakref.ref(model)
    del model, y
    gc.collect()
    assert gone() is None


def test_an_inplace_rectifier_at_the_front_changes_what_it_is_given():
    for before in [], [nn.Flatten()]:
        x = mc.tensor(np.array([[-1.0, 2.0]], "f4"))
        nn.Sequential(*before, nn.ReLU(inplace=True), nn.Linear(2, 3), nn.Tanh())(x)
        np.testing.assert_array_equal(x.array, [[0.0, 2.0]])


LAYERS_WITH_OPTIONS = {
    "scaled tanh": lambda: [nn.Conv2d(2, 4, 3), nn.ScaledTanh(1.5, 0.4)],
    "divisor": lambda: [nn.Conv2d(2, 4, 3), nn.AvgPool2d(2, divisor_override=3)],
    "count without padding": lambda: [
        nn.Conv2d(2, 4, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    ],
    "padding mode": lambda: [nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.Tanh()],
    "padding same": lambda: [nn.Conv2d(2, 4, 3, padding="same"), nn.Tanh()],
    "dilated pool": lambda: [nn.Conv2d(2, 4, 3), nn.MaxPool2d(2, 1, dilation=2)],
    "padded maximum": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)],
    "flatten of some": lambda: [nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(2), nn.ReLU()],
    "flatten, then none": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Tanh()],
    "flatten first": lambda: [nn.Flatten(), nn.Linear(2 * 8 * 9, 3), nn.ReLU()],
    "one layer twice": lambda: [layer := nn.Conv2d(2, 2, 1), nn.Tanh(), layer],
    "activations": lambda: [nn.ReLU(), nn.Tanh()],
    "inside another": lambda: [nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), nn.MaxPool2d(2)],
}  # fmt: skip


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("name", LAYERS_WITH_OPTIONS)
def test_options_of_layers(name, n, rng):
    model = nn.Sequential(*LAYERS_WITH_OPTIONS[name]())
    x = mc.tensor(rng.standard_normal((n, 2, 8, 9)).astype("f4")).requires_grad_()
    g = rng.standard_normal(one_by_one(model, x).shape).astype("f4")
    found = results(model, x, g, lambda model, x: model(x))[1]
    assert_same(found, results(model, x, g, one_by_one)[1], 1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (2, 3, 4, 5, 6)])
def test_images_of_other_dimensions(shape, rng):
    x = mc.tensor(rng.standard_normal(shape).astype("f4"))
    model = nn.Sequential(nn.Tanh(), nn.Sigmoid())
    np.testing.assert_array_equal(model(x).array, one_by_one(model, x).array)
    with pytest.raises(ShapeError, match=r"linear: .* \[Sequential\.1\]"):
        nn.Sequential(nn.Tanh(), nn.Linear(7, 2))(x)


def test_a_pool_that_returns_indices_returns_them():
    y, indices = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, return_indices=True))(
        mc.randn(1, 1, 6, 6)
    )
    assert indices.shape == y.shape == (1, 2, 2, 2)


BROKEN = {
    "a bias too short": (lambda: nn.Linear(3, 4), "bias", (1,), r"linear: bias must be \(4,\)"),
    "a bias for one map": (lambda: nn.Conv2d(3, 4, 1), "bias", (1,), "conv2d: bias must be"),
    "weights of 3 dims": (lambda: nn.Conv2d(3, 4, 1), "weight", (4, 3, 1), "conv2d: weight"),
    "weights of 1 dim": (lambda: nn.Linear(3, 4), "weight", (3,), "linear: weight"),
    "a coefficient too many": (lambda: nn.Subsample2d(3, 1), "coefficient", (4,), "coefficient"),
    "a bias too many": (lambda: nn.Subsample2d(3, 1), "bias", (4,), "subsample2d: bias"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_weights_of_a_wrong_shape_are_refused_by_their_layer(name):
    make, attribute, shape, message = BROKEN[name]
    layer = make()
    setattr(layer, attribute, nn.Parameter(mc.randn(*shape)))
    x = mc.randn(2, 3) if isinstance(layer, nn.Linear) else mc.randn(2, 3, 5, 5)
    with pytest.raises(ShapeError, match=message + r".* \[Sequential\.0\]"):
        nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 4))(x)


def test_too_much_padding_of_a_pool_is_refused_by_it():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2, padding=2))
    with pytest.raises(ArgumentError, match=r"avg_pool2d: padding .* half .* \[Sequential\.1\]"):
        model(mc.randn(1, 1, 5, 5))


def test_weights_of_another_type_are_refused_by_their_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2).double())
    with pytest.raises(DtypeError, match=r"linear: .* \[Sequential\.2\]"):
        model(mc.randn(2, 3))


def test_a_backward_hook_sees_its_layer():
    model, seen = lenet(), []
    model[1].register_full_backward_hook(lambda layer, dx, g: seen.append(g[0].shape))
    model(mc.randn(2, 1, 28, 28)).sum().backward()
    assert seen == [(2, 6, 28, 28)]


def test_one_model_takes_images_of_several_layouts(rng):
    model, x = lenet(), rng.standard_normal((20, 1, 28, 28)).astype("f4")
    expected = model(mc.tensor(x)).array
    room = np.zeros(x.nbytes + 1, np.uint8)
    misaligned = room[1:].view("f4").reshape(x.shape)
    misaligned[...] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for other in (
        np.asfortranarray(x), x[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1], misaligned,
        read_only, np.repeat(x, 2, axis=3)[..., ::2],
    ):  # fmt: skip
        np.testing.assert_array_equal(model(mc.Tensor(other)).array, expected)


def test_weights_that_are_copied_are_read_anew(rng):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), mc.randn(5, 3)
    transposed = rng.standard_normal((3, 4)).astype("f4")
    model[0].weight = nn.Parameter(transposed.T)
    for _ in range(3):
        np.testing.assert_allclose(model(x).array, one_by_one(model, x).array, rtol=1e-6)
        transposed += 1
    fixed = transposed.T.copy()
    fixed.flags.writeable = False
    model[0].weight = nn.Parameter(fixed)
    np.testing.assert_allclose(model(x).array, one_by_one(model, x).array, rtol=1e-6)


def test_the_number_of_threads_may_change_between_two_calls(rng):
    before, found = mc.get_num_threads(), []
    model, x = lenet(), mc.tensor(rng.standard_normal((100, 1, 28, 28)).astype("f4"))
    try:
        for threads in (3, 1, 2):
            mc.set_num_threads(threads)
            found.append(model(x).array)
    finally:
        mc.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.fixture
def made(monkeypatch):
    """What is compiled for a chain while a test runs."""
    compiled, real = [], chain_module.Compiled.__init__

    def init(self, *args):
        compiled.append(self)
        real(self, *args)

    monkeypatch.setattr(chain_module.Compiled, "__init__", init)
    START.longer.clear()
    return compiled


def test_a_step_describes_nothing_anew(made):
    model, x = lenet(), mc.randn(2, 1, 28, 28)
    for _ in range(5):
        model.train()
        model(x)
        misses = conv._conv2d.cache_info().misses
        model.eval()
        model(x)
        assert conv._conv2d.cache_info().misses == misses
    assert len(made) == 1


def test_a_new_weight_in_every_step_makes_no_new_plan(made):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), mc.randn(5, 3)
    for _ in range(5):
        model[0].weight.data = model[0].weight.data * 0.9
        model(x)
    assert len(made) == 1


def test_chains_of_many_shapes_are_forgotten(made, monkeypatch):
    monkeypatch.setattr(type(START), "LIMIT", 30)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    for n in range(1, 60):
        model(mc.ones(n, 3))
    assert len(START.longer) <= 30


def test_what_a_run_has_used_is_freed_before_the_model_returns():
    gone = []

    def forward(x):
        for _ in range(3):
            x = F.relu(F.tanh(x)) + 1
            gone.append(weakref.ref(x.array))
        assert [ref() is None for ref in gone] == [True, True, False]
        return x

    with mc.no_grad():
        in_model(forward)(mc.ones(4, 5))


def test_models_and_weights_are_not_kept():
    gone = []
    for _ in range(3):
        model = nn.Sequential(nn.Linear(30, 40), nn.ReLU())
        model[1].register_forward_hook(lambda layer, args, y, model=model: None).remove()
        model[1].owner = model  # as a layer that knows its model
        y = model(mc.ones(2, 30))
        y.sum().backward()
        gone += [weakref.ref(model), weakref.ref(model[0].weight.array)]
        del model, y
    gc.collect()
    assert [ref() for ref in gone] == [None] * 6


def test_a_sequential_that_chooses_its_layers_chooses_at_each_call():
    class Half(nn.Sequential):
        skip = False

        def __iter__(self):
            layers = list(super().__iter__())
            return iter(layers[:1] if self.skip else layers)

    model, x = Half(nn.Linear(3, 3), nn.Tanh()), mc.randn(2, 3)
    np.testing.assert_allclose(model(x).array, np.tanh(model[0](x).array), rtol=1e-5)
    model.skip = True
    np.testing.assert_array_equal(model(x).array, model[0](x).array)


def test_a_sequential_may_be_compared_by_value():
    class Valued(nn.Sequential):
        def __eq__(self, other):
            return True

        __hash__ = None

    one, other, x = Valued(nn.Linear(3, 3), nn.Tanh()), Valued(nn.Linear(3, 3)), mc.randn(2, 3)
    assert one(x).shape == other(x).shape
    np.testing.assert_array_equal(other(x).array, other[0](x).array)


CHANGED = {  # attribute, what it is in the second step, what that is refused with
    "a weight": ("weight", nn.Parameter(mc.randn(3, 2, 3, 2)), ShapeError, "weight expects C_in=2"),
    "a weight of float64": ("weight", nn.Parameter(mc.randn(3, 3, 3, 2).double()), DtypeError, "f"),
    "a bias": ("bias", nn.Parameter(mc.randn(2)), ShapeError, "bias must be"),
    "a number": ("stride", 1.0, ArgumentError, "stride must be"),
    "a pair": ("stride", (1.0, 1), ArgumentError, "stride must be"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_another_step_would_refuse_is_refused_after_a_right_one(name):
    attribute, value, error, message = CHANGED[name]
    model, x = nn.Sequential(nn.Tanh(), nn.Conv2d(3, 3, (3, 2))), mc.randn(2, 3, 6, 5)
    model[1].stride = (1, 1)
    for _ in range(3):
        model(x)
    setattr(model[1], attribute, value)
    with pytest.raises(error, match=message):
        model(x)


def test_options_that_change_from_step_to_step(rng):
    x, w = mc.randn(2, 3, 8, 7), mc.randn(4, 3, 3, 2)
    strides = [[1, 1], (2, 1), 2, [2, 3], (2, 1)]
    changing = [1, 1]

    def forward(x, stride, weight, bias):
        return F.conv2d(F.tanh(x), weight, bias, stride)

    for _ in range(2):
        for stride in strides:
            changing[:] = stride if isinstance(stride, list) else [1, 2]
            for s in (stride, changing):
                for bias in (None, mc.randn(4)):
                    found = in_model(forward)(x, s, w, bias)
                    np.testing.assert_array_equal(found.array, forward(x, s, w, bias).array)
    waiting = in_model(lambda x: F.conv2d(F.tanh(x), F.tanh(w)))(x)
    np.testing.assert_array_equal(waiting.array, F.conv2d(F.tanh(x), F.tanh(w)).array)


# ---- what is saved ---------------------------------------------------------------------------


def test_a_weight_changed_before_backward_is_noticed():
    model = lenet()
    y = model(mc.randn(2, 1, 28, 28))
    with mc.no_grad():
        model[3].weight.add_(1)
    with pytest.raises(InPlaceError, match=r"Conv2d\+Sigmoid.* changed in place"):
        y.sum().backward()


def test_a_linear_layers_weight_changed_before_backward_is_noticed():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    y = model(mc.randn(2, 3).requires_grad_())
    with mc.no_grad():
        model[0].weight.add_(1)
    with pytest.raises(InPlaceError, match=r"Linear\+Tanh"):
        y.sum().backward()


def test_a_result_that_backward_reads_must_not_be_changed():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    y = model(mc.randn(2, 3))
    with mc.no_grad():
        y.mul_(2)
    with pytest.raises(InPlaceError, match=r"Linear\+Tanh"):
        y.sum().backward()


@pytest.mark.parametrize("n", [2, 40])
def test_an_input_that_backward_reads_must_not_be_changed(n):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x = mc.randn(3, n).T  # as it lies in memory in a chain
    y = model(x)
    with mc.no_grad():
        x.mul_(2)
    with pytest.raises(InPlaceError, match=r"Linear\+Linear"):
        y.sum().backward()


def test_a_bias_may_be_changed_before_backward():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    y = model(mc.randn(2, 3))
    with mc.no_grad():
        model[0].bias.add_(1)
    y.sum().backward()


def test_backward_twice_with_retain_graph(rng):
    model, x = lenet(), mc.tensor(rng.standard_normal((20, 1, 28, 28)).astype("f4"))
    y = model(x)
    y.sum().backward(retain_graph=True)
    once = [p.grad.array.copy() for p in model.parameters()]
    y.sum().backward()
    for p, g in zip(model.parameters(), once, strict=True):
        np.testing.assert_allclose(p.grad.array, 2 * g, rtol=1e-6)


def test_nothing_is_saved_without_a_graph(made):
    model, x = lenet(), mc.randn(64, 1, 28, 28)
    model(x)
    with mc.no_grad():
        model(x)
    saves = {compiled.plan.saves: compiled.saved for compiled in made}
    assert saves[False] == 0 < saves[True]


# ---- programs --------------------------------------------------------------------------------


def test_a_program_refuses_an_array_of_other_dimensions():
    written = program.Program(np.dtype("f4"))
    place = program.Place(2, 0, (2, 3))
    with pytest.raises(ValueError, match=r"an array of shape \(2, 3\) for an argument"):
        written.call(activation._sigmoid, place, place, 1)

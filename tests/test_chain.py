"""Chains: layers of a Sequential in one node give what they give one by one, and PyTorch gives."""

import copy
import threading
import weakref

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import kernels, nn
from minicnn.errors import AnomalyError, InPlaceError, ShapeError
from minicnn.kernels.numba_cpu import layers, program
from minicnn.nn.chain import Chain, steps_of

chain_module = __import__("sys").modules["minicnn.kernels.numba_cpu.chain"]
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
        monkeypatch.setattr(chain_module, "_chains", {})

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
    spec = (("relu", (), ()), ("max_pool2d", (), (_window(0),)))
    assert [type(layer) for layer in layers.layers_of(spec)] == [
        layers.MaxPool2d, layers.Activation
    ]  # fmt: skip
    found = results(model, x, g, lambda model, x: model(x))[1]
    for a, b in zip(found, results(model, x, g, one_by_one)[1], strict=True):
        np.testing.assert_array_equal(a, b)


def _window(padding):
    return mc.kernels.reference.Window((2, 2), (2, 2), (padding, padding), (1, 1), (3, 3))


def test_a_rectifier_stays_before_a_maximum_with_padding():
    spec = (("relu", (), ()), ("max_pool2d", (), (_window(1),)))
    kinds = [type(layer) for layer in layers.layers_of(spec)]
    assert kinds == [layers.Activation, layers.MaxPool2d]


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_are_not_finite_reach_what_they_reach_one_by_one(value, rng):
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh(), nn.Conv2d(3, 2, 3, padding=1))
    with mc.no_grad():
        model[2].weight[0, 1, 2, 0] = value
    x = mc.tensor(rng.standard_normal((1, 2, 6, 5)).astype("f4")).requires_grad_()
    g = rng.standard_normal((1, 2, 6, 5)).astype("f4")
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


# ---- when layers are run one by one ----------------------------------------------------------


def test_the_graph_shows_what_is_one_node():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3), nn.Tanh()
    )
    y = model(mc.randn(4, 1, 8, 8))
    assert repr(y.grad_fn) == "<Flatten+Linear+Tanh>"
    dropout = y.grad_fn.next_functions[0][0]
    assert repr(dropout) == "<Dropout>"
    assert repr(dropout.next_functions[0][0]) == "<Conv2d+ReLU>"


def test_flatten_alone_and_single_layers_make_no_chain():
    steps = steps_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout(), nn.Flatten()))
    assert type(steps_of(nn.Sequential(nn.Linear(4, 2), nn.Tanh()))[0]) is Chain
    assert [type(step) for step in steps] == [nn.Flatten, nn.Linear, nn.Dropout, nn.Flatten]


@pytest.mark.parametrize("name", ["reference", "crosscheck"])
def test_other_kernels_run_layer_by_layer(name):
    kernels.use(name)
    assert repr(lenet()(mc.randn(2, 1, 28, 28)).grad_fn) == "<Linear>"


def test_a_hook_sees_its_layer_and_its_removal_makes_a_chain_again():
    model, seen = lenet(), []
    handle = model[1].register_forward_hook(lambda layer, args, y: seen.append(y.shape))
    assert repr(model(mc.randn(2, 1, 28, 28)).grad_fn) == "<Linear>"
    assert seen == [(2, 6, 28, 28)]
    handle.remove()
    assert "+" in repr(model(mc.randn(2, 1, 28, 28)).grad_fn)
    assert len(seen) == 1


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
    __import__("gc").collect()
    assert gone() is None


def test_an_inplace_rectifier_at_the_front_changes_what_it_is_given():
    x = mc.tensor(np.array([[-1.0, 2.0]], "f4"))
    nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 3), nn.Tanh())(x)
    np.testing.assert_array_equal(x.array, [[0.0, 2.0]])


# ---- what is saved ---------------------------------------------------------------------------


def test_a_weight_changed_before_backward_is_noticed():
    model = lenet()
    y = model(mc.randn(2, 1, 28, 28))
    with mc.no_grad():
        model[3].weight.add_(1)
    with pytest.raises(InPlaceError, match=r"Conv2d\+Sigmoid.* changed in place"):
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


def test_nothing_is_saved_without_a_graph():
    model, x = lenet(), mc.randn(64, 1, 28, 28)
    model(x)
    with mc.no_grad():
        model(x)
    saves = {chain.plan.saves: chain.saved for chain in chain_module._chains.values()}
    assert saves[False] == 0 < saves[True]


# ---- programs --------------------------------------------------------------------------------


def test_a_program_refuses_an_array_of_other_dimensions():
    written = program.Program(np.dtype("f4"))
    place = program.Place(2, 0, (2, 3))
    with pytest.raises(ValueError, match=r"an array of shape \(2, 3\) for an argument"):
        written.call(layers.activation._sigmoid, place, place, 1)

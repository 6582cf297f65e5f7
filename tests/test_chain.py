"""Chains: layers of a Sequential in one node give what they give one by one, and PyTorch gives."""

import copy
import gc
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import kernels, nn
from minicnn.errors import AnomalyError, ArgumentError, DtypeError, InPlaceError, ShapeError
from minicnn.kernels.numba_cpu import layers, program
from minicnn.nn.chain import Chain, steps_of

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


def test_a_step_describes_nothing_anew(monkeypatch):
    described, model, x = [], lenet(), mc.randn(2, 1, 28, 28)
    real = nn.chain._described
    monkeypatch.setattr(nn.chain, "_described", lambda *args: described.append(1) or real(*args))

    class Counting(nn.Module):
        calls = 0

    other = Counting()
    for _ in range(5):
        model.train()
        model(x)
        model.eval()
        model(x)
        other.calls += 1
    assert len(described) == 1


def test_a_new_weight_in_every_step_makes_no_new_plan(cache):
    cache(700_000)
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), mc.randn(5, 3)
    for _ in range(5):
        model[0].weight.data = model[0].weight.data * 0.9
        model(x)
    assert len(chain_module._chains) == 1


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

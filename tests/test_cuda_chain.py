"""Chains on a GPU: several layers in few launches, with the results of the layers one by one."""

import shutil
import sys

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import kernels, nn
from minicnn.errors import InPlaceError
from minicnn.kernels.calls import Chain
from minicnn.kernels.cuda import activation, launch
from minicnn.models import make
from minicnn.nn import functional as F
from minicnn.ops.activation import elementwise
from minicnn.ops.conv import Conv2d
from minicnn.ops.linear import Linear
from minicnn.ops.pool import MaxPool2d

NETS = {
    "lenet": lambda: make("lenet"),
    "lenet-sigmoid": lambda: make("lenet-sigmoid"),
    "lenet-tanh": lambda: make("lenet-tanh"),
    "lenet-colour": lambda: make("lenet-colour"),
    "odd": lambda: nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), (2, 1), bias=False), nn.MaxPool2d(2, 1, 1), nn.Tanh(),
        nn.Conv2d(3, 4, 2, groups=1), nn.AvgPool2d((2, 3), ceil_mode=True), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 5), nn.Linear(5, 3, bias=False), nn.Sigmoid(),
    ),
    "same": lambda: nn.Sequential(
        nn.Conv2d(2, 3, (2, 4), padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2, padding="same"), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3),
    ),
    "subsampling": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.ScaledTanh(), nn.Subsample2d(3, 2), nn.ScaledTanh(),
        nn.Conv2d(3, 2, 2),
    ),
}  # fmt: skip


def build(name):
    mc.manual_seed(2)
    net = NETS[name]().double().cuda()
    shape = getattr(net, "input_shape", (2, 9, 8))
    return net, mc.rand(3, *shape, dtype=mc.float64, device="cuda")


def by_hand(net, x):
    """The layers called one by one, as a forward() does."""
    layers = net if isinstance(net, nn.Sequential) else [*net.features, *net.head]
    for layer in layers:
        x = layer(x)
    return x


def gradients(net, x, y):
    grads = mc.autograd.grad((y * y).sum(), [x, *net.parameters()])
    return [g.array.get() for g in grads]


@pytest.mark.parametrize("name", NETS)
def test_a_chain_gives_what_its_layers_give(gpu, name):
    net, x = build(name)
    x.requires_grad_()
    y, expected = net(x), by_hand(net, x)
    assert "+" in str(_first_node(y))
    np.testing.assert_allclose(y.array.get(), expected.array.get(), rtol=1e-12, atol=1e-13)
    for a, b in zip(gradients(net, x, y), gradients(net, x, expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def _first_node(y):
    """The node that starts the graph: it is a chain."""
    node = y.grad_fn
    while True:
        before = [n for n, _ in node.next_functions if hasattr(n, "next_functions")]
        if not before:
            return node
        node = before[0]


@pytest.mark.parametrize("name", ["lenet-sigmoid", "odd"])
def test_some_weights_are_frozen(gpu, name):
    net, x = build(name)
    everything = gradients(net, x.requires_grad_(), net(x))[1:]
    x.requires_grad_(False)
    for frozen in range(len(everything)):
        for i, p in enumerate(net.parameters()):
            p.requires_grad_(i > frozen)
            p.grad = None
        y = net(x)
        if not y.requires_grad:
            continue
        (y * y).sum().backward()
        for i, (p, g) in enumerate(zip(net.parameters(), everything, strict=True)):
            assert (p.grad is None) == (i <= frozen)
            if p.grad is not None:
                np.testing.assert_allclose(p.grad.array.get(), g, rtol=1e-12, atol=1e-14)


def test_inference_keeps_nothing(gpu):
    net, x = build("lenet-sigmoid")
    with mc.no_grad():
        net(x)
        before = mc.cuda.memory_allocated()
        y = net(x)
        assert mc.cuda.memory_allocated() - before <= 512
    assert y.grad_fn is None


def test_a_change_in_place_is_noticed(gpu):
    net, _ = build("odd")
    y = net[7:](mc.rand(3, 24, dtype=mc.float64, device="cuda").requires_grad_())
    with mc.no_grad():
        y.add_(1)  # Sigmoid's slope is found from it
    with pytest.raises(InPlaceError, match="changed in place"):
        y.sum().backward()
    linear = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).cuda()
    z = linear(mc.ones(2, 3, device="cuda"))
    with mc.no_grad():
        z.add_(1)  # the last layer's backward does not look at its result
    z.sum().backward()
    z = linear(mc.ones(2, 3, device="cuda"))
    with mc.no_grad():
        linear[2].weight.mul_(2)
    with pytest.raises(InPlaceError, match="changed in place"):
        z.sum().backward()


class ByForward(nn.Module):
    """The sigmoid LeNet as tutorials write it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(F.sigmoid(self.conv1(x)), 2)
        x = F.avg_pool2d(F.sigmoid(self.conv2(x)), 2)
        x = x.flatten(1)
        return self.fc3(self.fc2(self.fc1(x)))


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that are launched from now on."""
    names = []
    for module in [m for n, m in sys.modules.items() if n.startswith("minicnn.kernels.cuda.")]:
        if hasattr(module, "launch") and not module.__name__.endswith(".launch"):
            original = module.launch

            def noted(file, kernel, *args, original=original, **kwargs):
                names.append(kernel)
                original(file, kernel, *args, **kwargs)

            monkeypatch.setattr(module, "launch", noted)
    return names


def a_step(net):
    """One training step on made-up images; the logits and the parameters' gradients."""
    optimizer, labels = mc.optim.Adam(net.parameters()), mc.zeros(64, dtype=mc.int64, device="cuda")
    y = net(mc.rand(64, 1, 28, 28, device="cuda"))
    F.cross_entropy(y, labels).backward()
    optimizer.step()
    return [y.array.get(), *(p.grad.array.get() for p in net.parameters())]


@pytest.mark.parametrize("build", [lambda: make("lenet-sigmoid"), ByForward])
def test_what_a_training_step_of_lenet_launches(gpu, launched, build):
    a_step(build().cuda())
    assert launched == [
        *["conv_forward"] * 2, *["product_small"] * 3, "cross_entropy", "cross_entropy_backward",
        *["linear_backward"] * 3, *["conv_backward", "conv_add_parts"] * 2, "adam",
    ]  # fmt: skip


def test_a_forward_has_the_bits_of_a_sequential(gpu):
    results = []
    for build in (lambda: make("lenet-sigmoid"), ByForward):
        mc.manual_seed(4)
        results.append(a_step(build().cuda()))
    for a, b in zip(*results, strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_lenet5_launches(gpu, launched):
    net = make("lenet5").cuda()
    with mc.no_grad():
        net(mc.rand(3, 1, 32, 32, device="cuda"))
    features = ["conv_forward", "subsample2d", "activate"] * 2
    assert launched == [*features, "conv_forward", "product_small", "product_small"]


def test_weights_on_another_device_are_named(gpu):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(
        mc.errors.DeviceError, match=r"on cuda:0, weight .* on cpu.*\[Sequential.0\]"
    ):
        net(mc.ones(1, 1, 4, 4, device="cuda"))
    with pytest.raises(
        mc.errors.DeviceError, match=r"on cpu, weight .* on cuda:0.*\[Sequential.0\]"
    ):
        net.cuda()(mc.ones(1, 1, 4, 4))


# ---- what is kept --------------------------------------------------------------------------------


def test_only_what_backward_reads_is_named(gpu):
    """By the arrays that were given or returned, themselves."""
    x, w = gpu.ones((2, 3), "float32"), gpu.ones((4, 3), "float32")
    sigmoid = elementwise("sigmoid", (2, 3), x.dtype)
    y, saved = kernels.run(Chain((sigmoid,)), x, (), (True,))
    assert [id(a) for a in saved.inputs] == [id(y)]
    linear = Linear.call(x, w)
    y, saved = kernels.run(Chain((linear,)), x, (w, None), (False, True, False))
    assert [id(a) for a in saved.inputs] == [id(x), id(w)]
    y, saved = kernels.run(Chain((linear,)), x, (w, None), (False, False, False))
    assert saved.inputs == ()
    flat = kernels.Call("flatten", (2, 3), x.dtype)
    chain = Chain(
        (
            flat,
            linear,
            elementwise("tanh", (2, 4), x.dtype),
            kernels.Call("flatten", (2, 4), x.dtype),
        )
    )
    y, saved = kernels.run(chain, x, (w, None), (True, True, False))  # views of x and y are kept
    assert [id(a) for a in saved.inputs] == [id(x), id(w), id(y)]
    turned = gpu.ones((3, 4), "float32").T
    y, saved = kernels.run(Chain((linear,)), x, (turned, None), (True, True, False))
    assert [id(a) for a in saved.inputs] == [id(x)]  # of the weight a copy in C order is kept


def test_what_is_frozen_below_keeps_nothing(gpu):
    x, w = gpu.ones((2, 3), "float32"), gpu.ones((3, 3), "float32")
    v, linear = gpu.ones((3, 3), "float32"), Linear.call(x, w)
    chain = Chain((linear, elementwise("relu", (2, 3), x.dtype), linear))
    _, saved = kernels.run(chain, x, (w, None, v, None), (False, False, False, True, True))
    assert [id(a) for a in saved.inputs] == [id(v)]
    found = kernels.back(gpu.ones((2, 3), "float32"), saved, (False, False, False, True, True))
    assert [g is not None for g in found] == [False, False, False, True, True]
    np.testing.assert_array_equal(found[3].get(), np.full((3, 3), 6))


# ---- activations whose gradient needs x ----------------------------------------------------------

CASES = {
    "    FROM_X,": "    FROM_X, SQUARE,",
    "default: return x;": "case SQUARE: return x * x; default: return x;",
    "default: return g;": "case SQUARE: return 2 * y * g; default: return g;",
}


@pytest.fixture
def square(monkeypatch, tmp_path):
    """The square, added to a copy of activation.cuh and nowhere else."""
    folder = tmp_path / "cuda"
    shutil.copytree(launch.FOLDER, folder)
    text = (folder / "activation.cuh").read_text()
    for before, after in CASES.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "activation.cuh").write_text(text)
    caches = launch.source, launch.signatures, launch._function, launch._module
    for module in (launch, activation):
        monkeypatch.setattr(module, "FOLDER", folder)
    monkeypatch.setattr(activation, "KINDS", activation._kinds())
    monkeypatch.setitem(activation.LAYERS, "square", activation.Activation)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_an_activation_whose_gradient_needs_x_is_a_launch_of_its_own(gpu, square, launched):
    rng = np.random.default_rng(3)
    shapes = (2, 2, 6, 7), (3, 2, 3, 2), (3,), (4, 3 * 2 * 3), (4,)
    host = [rng.standard_normal(shape) for shape in shapes]
    conv = Conv2d.call(*host[:3])
    pool = MaxPool2d.call(conv.like, 2)
    flat = kernels.Call("flatten", (2, 18), conv.dtype)
    linear = Linear.call(flat.like, *host[3:])
    after = [elementwise("square", call.shape, call.dtype) for call in (conv, linear)]
    chain = Chain((conv, after[0], pool, flat, linear, after[1]))
    x, *weights = map(gpu.asarray, host)
    y, saved = kernels.run(chain, x, weights, (True,) * 5)
    assert launched == ["conv_forward", "activate", "max_pool2d", "product_small", "activate"]
    found = kernels.back(gpu.ones(y.shape), saved, (True,) * 5)
    leaves = [torch.tensor(a, requires_grad=True) for a in host]
    of = torch.nn.functional
    z = of.max_pool2d(of.conv2d(*leaves[:3]).square(), 2).flatten(1)
    z = of.linear(z, *leaves[3:]).square()
    z.sum().backward()
    for a, b in zip((y, *found), (z.detach(), *(leaf.grad for leaf in leaves)), strict=True):
        np.testing.assert_allclose(a.get(), b.numpy(), rtol=1e-10, atol=1e-12)
    _, saved = kernels.run(Chain((after[1],)), y, (), (True,))
    assert [id(a) for a in saved.inputs] == [id(y)]  # its input

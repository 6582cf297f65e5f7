"""Chains on a GPU: several layers in few launches, with the results of the layers one by one."""

import sys

import numpy as np
import pytest

import minicnn as mc
from minicnn import nn
from minicnn.errors import InPlaceError
from minicnn.models import make

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


def test_what_a_training_step_of_lenet_launches(gpu, monkeypatch):
    names = []
    for module in [m for n, m in sys.modules.items() if n.startswith("minicnn.kernels.cuda.")]:
        if hasattr(module, "launch") and not module.__name__.endswith(".launch"):
            original = module.launch

            def noted(file, kernel, *args, original=original, **kwargs):
                names.append(kernel)
                original(file, kernel, *args, **kwargs)

            monkeypatch.setattr(module, "launch", noted)
    net = make("lenet-sigmoid").cuda()
    optimizer, labels = mc.optim.Adam(net.parameters()), mc.zeros(64, dtype=mc.int64, device="cuda")
    x = mc.rand(64, *net.input_shape, device="cuda")
    nn.functional.cross_entropy(net(x), labels).backward()
    optimizer.step()
    assert names == [
        *["conv_forward"] * 2, *["product_small"] * 3, "cross_entropy", "cross_entropy_backward",
        *["linear_backward"] * 3, *["conv_backward", "conv_add_parts"] * 2, "adam",
    ]  # fmt: skip


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

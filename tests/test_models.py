"""The models: sizes, inputs, first weights, and training step by step beside PyTorch."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn as tnn

import minicnn as mc
from minicnn import models, nn
from minicnn.datasets import MNIST
from minicnn.errors import ArgumentError, ShapeError
from minicnn.nn import functional as F


def error(a, b):
    """The measure of agreement: max|a - b| / max(1e-3, max|b|)."""
    a, b = (t.detach().numpy() for t in (a, b))
    assert a.shape == b.shape
    return np.abs(a - b).max() / max(1e-3, np.abs(b).max())


def count(model):
    return sum(p.numel() for p in model.parameters())


# ---- sizes -----------------------------------------------------------------------------------

SIZES = {
    "lenet": 61_706,
    "lenet5": 61_750,
    "lenet-sigmoid": 61_706,
    "lenet-d2l": 61_706,
    "lenet-tanh": 61_706,
    "lenet-colour": 121_182,
}


@pytest.mark.parametrize("name", SIZES)
def test_parameters_and_output(name):
    model = models.make(name)
    assert count(model) == SIZES[name]
    assert model(mc.zeros(3, *model.input_shape)).shape == (3, 10)
    assert type(models.make(name)) is type(model)


@pytest.mark.parametrize("name", SIZES)
def test_another_number_of_classes(name):
    model = models.make(name, num_classes=7)
    assert model(mc.zeros(2, *model.input_shape)).shape == (2, 7)
    assert SIZES[name] - count(model) == 3 * 85


def test_every_model_is_tested():
    assert set(models.MODELS) == {*SIZES, "alexnet"}
    assert set(SIZES) == set(PYTORCH)


def test_a_model_that_is_not_known():
    with pytest.raises(
        ArgumentError, match=r"model 'lenet6' is not one of lenet, lenet5, .*, alex"
    ):
        models.make("lenet6")


SHAPES = {  # after each layer of the features, from the tutorials' descriptions
    "lenet": [(6, 28, 28)] * 2 + [(6, 14, 14)] + [(16, 10, 10)] * 2 + [(16, 5, 5)],
    "lenet-d2l": [(6, 28, 28)] * 2 + [(6, 14, 14)] + [(16, 10, 10)] * 2 + [(16, 5, 5)],
    "lenet-tanh": [(6, 28, 28)] * 2 + [(6, 14, 14)] + [(16, 10, 10)] * 2 + [(16, 5, 5)],
    "lenet-colour": [(16, 28, 28)] * 2 + [(16, 14, 14)] + [(32, 10, 10)] * 2 + [(32, 5, 5)],
}
LENET5_SHAPES = {
    "c1": (6, 28, 28), "s2": (6, 14, 14), "c3": (16, 10, 10), "s4": (16, 5, 5), "c5": (120, 1, 1),
    "f6": (84,), "output": (10,),
}  # fmt: skip


def watch(layers):
    """The shapes (without N) that come out of these layers, in the order of their calls."""
    found = []
    for layer in layers:
        layer.register_forward_hook(lambda module, args, y: found.append(y.shape[1:]))
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_on_the_way(name):
    model = models.make(name)
    found = watch(model.features)
    model(mc.zeros(2, *model.input_shape))
    assert found == SHAPES[name]


def test_shapes_on_the_way_through_lenet5():
    model = models.LeNet5()
    found = watch(model.get_submodule(layer) for layer in LENET5_SHAPES)
    model(mc.zeros(2, 1, 32, 32))
    assert found == list(LENET5_SHAPES.values())


# ---- what goes in ----------------------------------------------------------------------------


def images(*shape):
    return mc.tensor(np.random.default_rng(0).random(shape, np.float32))


def test_images_of_the_right_size_and_range_are_left_alone():
    x = images(2, 1, 28, 28)
    assert models.prepare(models.LeNet(), x) is x


def test_smaller_images_are_centred_on_background():
    x = images(2, 1, 28, 28)
    y = models.prepare(models.TanhLeNet(), x).numpy()
    assert y.shape == (2, 1, 32, 32)
    assert (y[:, :, 2:30, 2:30] == x.numpy()).all()
    y[:, :, 2:30, 2:30] = 0
    assert (y == 0).all()


def test_an_odd_remainder_goes_to_the_bottom_and_the_right():
    x = images(2, 3, 29, 26)
    y = models.prepare(models.ColourLeNet(), x).numpy()
    assert y.shape == (2, 3, 32, 32)
    assert (y[:, :, 1:30, 3:29] == x.numpy()).all()
    assert np.count_nonzero(y) == np.count_nonzero(x.numpy())
    y = models.prepare(models.LeNet(), images(1, 1, 28, 25))
    assert (y.numpy()[:, :, :, 1:26] == images(1, 1, 28, 25).numpy()).all()


def test_lenet5_gets_the_papers_pixels():
    """Background -0.1 and ink 1.175, around the image too."""
    x = images(2, 1, 28, 28)
    x[0, 0, 0, 0], x[0, 0, 0, 1], x[0, 0, 0, 2] = 0.0, 1.0, 51 / 255
    before = x.numpy().copy()
    y = models.prepare(models.LeNet5(), x).numpy()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[0, 0, 2, 2:5], [-0.1, 1.175, 0.155], rtol=1e-6)
    np.testing.assert_allclose(y[:, :, 2:30, 2:30], -0.1 + 1.275 * before, atol=1e-6)
    border = np.ones((32, 32), bool)
    border[2:30, 2:30] = False
    assert (y[:, :, border] == np.float32(-0.1)).all()
    assert (x.numpy() == before).all()
    large = images(1, 1, 32, 32)
    np.testing.assert_allclose(
        models.prepare(models.LeNet5(), large), -0.1 + 1.275 * large.numpy(), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(1, 3, 28, 28), (1, 1, 29, 28), (1, 1, 28, 29)])
def test_images_that_do_not_fit(shape):
    with pytest.raises(ShapeError) as caught:
        models.prepare(models.LeNet(), mc.zeros(*shape))
    expected = f"LeNet takes images of (1, 28, 28) or smaller, not {shape[1:]}"
    assert str(caught.value) == expected


def test_alexnet_gets_images_interpolated_to_its_size():
    small = np.random.default_rng(0).random((2, 1, 28, 20), dtype=np.float32)
    x = models.prepare(models.AlexNet, mc.tensor(small))
    expected = torch.nn.functional.interpolate(
        torch.tensor(small).double(), (227, 227), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(x.numpy(), expected.numpy(), atol=1e-6)


# ---- first weights ---------------------------------------------------------------------------


def ends(weight):
    w = weight.detach().numpy()
    return w.min(), w.max()


def layers_with_weights(model, kinds):
    return [m for m in model.modules() if isinstance(m, kinds)]


def test_colour_lenet_with_init_weights():
    """Xavier's bounds, sqrt(6 / (fan_in + fan_out)), nearly reached; every bias 0."""
    model = models.ColourLeNet(init_weights=True)
    layers = layers_with_weights(model, (nn.Conv2d, nn.Linear))
    fans = [(75, 400), (400, 800), (800, 120), (120, 84), (84, 10)]
    for layer, (fan_in, fan_out) in zip(layers, fans, strict=True):
        bound = math.sqrt(6 / (fan_in + fan_out))
        low, high = ends(layer.weight)
        assert -bound <= low < -0.97 * bound
        assert 0.97 * bound < high <= bound
        assert set(layer.bias.tolist()) == {0.0}


def test_colour_lenet_without_init_weights_has_the_default():
    layers = layers_with_weights(models.ColourLeNet(), (nn.Conv2d, nn.Linear))
    for layer, fan_in in zip(layers, (75, 400, 800, 120, 84), strict=True):
        low, high = ends(layer.weight)
        assert -1 <= low * math.sqrt(fan_in) < -0.97
        assert 0.97 < high * math.sqrt(fan_in) <= 1
        assert len(set(layer.bias.tolist())) > 1


def test_lenet5_starts_as_the_paper_says():
    model = models.LeNet5()
    fans = {"c1": 25, "c3": 150, "c5": 400, "f6": 120, "output": 84}
    for name, fan_in in fans.items():
        layer = model.get_submodule(name)
        low, high = ends(layer.weight)
        assert -2.4 * (1 + 1e-6) <= low * fan_in < -2.4 * 0.9
        assert 2.4 * 0.9 < high * fan_in <= 2.4 * (1 + 1e-6)
        assert set(layer.bias.tolist()) == {0.0}
    for layer in (model.s2, model.s4):
        assert set(layer.coefficient.tolist()) == {0.25}
        assert set(layer.bias.tolist()) == {0.0}


# ---- the same models in PyTorch --------------------------------------------------------------


def two_parts(features, head):
    return tnn.Sequential(
        OrderedDict(features=tnn.Sequential(*features), head=tnn.Sequential(*head))
    )


def classic(act, pool, between, padding=2):
    """A LeNet of this activation and pooling; `between` the linear layers."""
    features = [tnn.Conv2d(1, 6, 5, padding=padding), act(), pool(2)]
    features += [tnn.Conv2d(6, 16, 5), act(), pool(2)]
    head = [tnn.Flatten(), tnn.Linear(400, 120), *between(), tnn.Linear(120, 84), *between()]
    return two_parts(features, [*head, tnn.Linear(84, 10)])


def colour():
    features = [tnn.Conv2d(3, 16, 5), tnn.ReLU(), tnn.MaxPool2d(2)]
    features += [tnn.Conv2d(16, 32, 5), tnn.ReLU(), tnn.MaxPool2d(2)]
    head = [tnn.Flatten(), tnn.Linear(800, 120), tnn.ReLU(), tnn.Linear(120, 84), tnn.ReLU()]
    return two_parts(features, [*head, tnn.Linear(84, 10)])


class TorchLeNet5(tnn.Module):
    """From the paper's words: sums of four, each map's coefficient and bias, 1.7159 tanh(2/3 x)."""

    def __init__(self):
        super().__init__()
        self.c1 = tnn.Conv2d(1, 6, 5)
        self.s2 = self.coefficient_and_bias(6)
        self.c3 = tnn.Conv2d(6, 16, 5)
        self.s4 = self.coefficient_and_bias(16)
        self.c5 = tnn.Conv2d(16, 120, 5)
        self.f6, self.output = tnn.Linear(120, 84), tnn.Linear(84, 10)

    @staticmethod
    def coefficient_and_bias(maps):
        layer = tnn.Module()
        layer.coefficient = tnn.Parameter(torch.zeros(maps))
        layer.bias = tnn.Parameter(torch.zeros(maps))
        return layer

    def forward(self, x):
        def squash(a):
            return 1.7159 * torch.tanh(2 / 3 * a)

        def subsample(x, layer):
            sums = tnn.functional.avg_pool2d(x, 2) * 4
            return sums * layer.coefficient[:, None, None] + layer.bias[:, None, None]

        x = squash(subsample(squash(self.c1(x)), self.s2))
        x = squash(subsample(squash(self.c3(x)), self.s4))
        x = squash(self.c5(x)).flatten(1)
        return self.output(squash(self.f6(x)))


PYTORCH = {
    "lenet": lambda: classic(tnn.ReLU, tnn.MaxPool2d, lambda: [tnn.ReLU()]),
    "lenet5": TorchLeNet5,
    "lenet-sigmoid": lambda: classic(tnn.Sigmoid, tnn.AvgPool2d, lambda: []),
    "lenet-d2l": lambda: classic(tnn.Sigmoid, tnn.AvgPool2d, lambda: [tnn.Sigmoid()]),
    "lenet-tanh": lambda: classic(tnn.Tanh, tnn.MaxPool2d, lambda: [tnn.Tanh()], padding=0),
    "lenet-colour": colour,
}


def alexnet():
    """AlexNet of one channel, as the tutorials print it."""
    relu, pool = tnn.ReLU, lambda: tnn.MaxPool2d(3, 2)
    features = [tnn.Conv2d(1, 96, 11, 4), relu(), pool()]
    features += [tnn.Conv2d(96, 256, 5, padding=2), relu(), pool()]
    features += [tnn.Conv2d(256, 384, 3, padding=1), relu()]
    features += [tnn.Conv2d(384, 384, 3, padding=1), relu()]
    features += [tnn.Conv2d(384, 256, 3, padding=1), relu(), pool()]
    head = [tnn.Flatten(), tnn.Linear(9216, 4096), relu(), tnn.Dropout(0.5)]
    head += [tnn.Linear(4096, 4096), relu(), tnn.Dropout(0.5), tnn.Linear(4096, 10)]
    return two_parts(features, head)


def load_into_torch(theirs, ours):
    """Copies ours' weights into theirs, under the same names."""
    state = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)


def a_step(ours, theirs, x, t, optimisers):
    """Forward, loss, backward and an optimiser's step of both; returns both losses and logits."""
    mine, others = optimisers
    y = ours(mc.tensor(x))
    loss = F.cross_entropy(y, mc.tensor(t))
    mine.zero_grad()
    loss.backward()
    mine.step()
    z = theirs(torch.tensor(x))
    their_loss = tnn.functional.cross_entropy(z, torch.tensor(t))
    others.zero_grad()
    their_loss.backward()
    others.step()
    return (loss, their_loss), (y, z)


def all_agree(ours, theirs, tolerance):
    """All parameters and their gradients."""
    pairs = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    for (name, p), (other, q) in pairs:
        assert name == other
        assert error(p, q) <= tolerance, name
        assert error(p.grad, q.grad) <= tolerance, f"gradient of {name}"


@pytest.mark.parametrize("name", SIZES)
def test_a_training_step_is_pytorchs(name):
    rng = np.random.default_rng(0)
    ours, theirs = models.make(name).double(), PYTORCH[name]().double()
    load_into_torch(theirs, ours)
    x, t = rng.random((5, *ours.input_shape)), rng.integers(0, 10, 5)
    optimisers = (
        mc.optim.SGD(ours.parameters(), lr=0.1),
        torch.optim.SGD(theirs.parameters(), lr=0.1),
    )
    losses, logits = a_step(ours, theirs, x, t, optimisers)
    assert error(*logits) <= 1e-9
    assert error(*losses) <= 1e-9
    assert all(p.grad.numpy().any() for p in ours.parameters())
    all_agree(ours, theirs, 1e-9)


ALEXNET_SHAPES = [
    (96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13),
    (256, 13, 13), (256, 6, 6),
]  # fmt: skip


def test_alexnet():
    """Size, shapes and a training step, in float32; the two towers' size."""
    assert count(models.AlexNet(groups=2)) == 56_885_962
    ours, theirs = models.make("alexnet").eval(), alexnet().eval()
    assert count(ours) == 58_299_082
    load_into_torch(theirs, ours)
    layers = layers_with_weights(ours.features, (nn.Conv2d, nn.MaxPool2d))
    found = watch(layers)
    rng = np.random.default_rng(0)
    x, t = rng.random((1, 1, 227, 227), np.float32), np.array([3])
    optimisers = (
        mc.optim.SGD(ours.parameters(), lr=0.1),
        torch.optim.SGD(theirs.parameters(), lr=0.1),
    )
    losses, logits = a_step(ours, theirs, x, t, optimisers)
    assert found == ALEXNET_SHAPES
    assert error(*logits) <= 1e-4
    assert error(*losses) <= 1e-4
    all_agree(ours, theirs, 1e-4)


# ---- a training run, step by step ------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    """20 batches of 32 real digits, as arrays of mean 0 and deviation 1."""
    train = MNIST()
    pick = np.random.default_rng(0).permutation(len(train))[:640]
    x = (train.data.numpy()[pick].reshape(20, 32, 1, 28, 28) / 255 - 0.1307) / 0.3081
    return list(zip(x, train.targets.numpy()[pick].reshape(20, 32), strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": 0.05, "momentum": 0.9}), ("Adam", {"lr": 5e-3})],
    ids=["SGD", "Adam"],
)
def test_20_steps_of_lenet_agree_with_pytorch_at_each(name, options, digits):
    ours, theirs = models.LeNet().double(), PYTORCH["lenet"]().double()
    load_into_torch(theirs, ours)
    optimisers = (
        getattr(mc.optim, name)(ours.parameters(), **options),
        getattr(torch.optim, name)(theirs.parameters(), **options),
    )
    history = []
    for x, t in digits:
        losses, logits = a_step(ours, theirs, x, t, optimisers)
        assert error(*losses) <= 1e-9
        assert error(*logits) <= 1e-9
        all_agree(ours, theirs, 1e-9)
        history.append(losses[0].item())
    assert np.mean(history[-5:]) < 0.9 * np.mean(history[:5])  # and it learns

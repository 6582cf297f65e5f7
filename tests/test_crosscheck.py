"""Crosscheck sees everything that runs by default: an error in any compiled kernel is named.

An error is planted by leaving out one call of a layer's program: what it should have written is
then whatever was in memory, which here is all sevens.
"""

import sys

import numpy as np
import pytest
from single import IN_RUNS

import minicnn as mc
import minicnn.nn.functional as F
from minicnn import kernels, nn
from minicnn.errors import MinicnnError
from minicnn.kernels import numba_cpu
from minicnn.kernels.calls import START
from minicnn.kernels.numba_cpu.activation import Activation
from minicnn.kernels.numba_cpu.layer import LAYERS
from minicnn.models import make

chain_module = sys.modules["minicnn.kernels.numba_cpu.chain"]


@pytest.fixture(autouse=True)
def _crosscheck(monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", kernels._chosen)
    kernels.use("crosscheck")
    START.longer.clear()
    yield
    START.longer.clear()


def train(name, batch, dtype=np.float32):
    """One step, without an update."""
    mc.manual_seed(0)
    model = make(name).to(dtype) if isinstance(name, str) else name
    shape = getattr(model, "input_shape", (2, 8, 9))
    x = mc.tensor(np.random.default_rng(0).standard_normal((batch, *shape)).astype(dtype))
    y = model(x.requires_grad_())
    loss = F.cross_entropy(y, mc.arange(batch) % 10) if y.ndim == 2 else (y * y).sum()
    loss.backward()
    return y


@pytest.mark.parametrize("name", ["lenet", "lenet5", "lenet-sigmoid"])
@pytest.mark.parametrize(("batch", "dtype"), [(3, np.float32), (40, np.float32), (3, np.float64)])
def test_a_training_step_passes_as_it_is_fused(name, batch, dtype):
    assert "+" in repr(train(name, batch, dtype).grad_fn)


# Models in which each kernel is in the middle, at the front and at the end of a run, and alone.
MODELS = {
    "conv2d": lambda: [nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, (3, 2), stride=2)],
    "linear": lambda: [nn.Flatten(), nn.Linear(144, 12), nn.Tanh(), nn.Linear(12, 10)],
    "avg_pool2d": lambda: [
        nn.AvgPool2d(2, 1), nn.Conv2d(2, 3, 1), nn.AvgPool2d((3, 2), ceil_mode=True)
    ],
    "max_pool2d": lambda: [nn.MaxPool2d(2, 1), nn.Conv2d(2, 3, 1), nn.ReLU(), nn.MaxPool2d((3, 2))],
    "subsample2d": lambda: [nn.Subsample2d(2, 2, 1), nn.Conv2d(2, 3, 1), nn.Subsample2d(3, (3, 2))],
    "tanh": lambda: [nn.Tanh(), nn.Conv2d(2, 3, 1), nn.Tanh()],
    "scaled_tanh": lambda: [nn.Conv2d(2, 3, 1), nn.ScaledTanh(1.5, 0.4)],
}  # fmt: skip
for _name, _layer in LAYERS.items():
    if issubclass(_layer, Activation):
        MODELS.setdefault(_name, lambda name=_name: between_layers(name))


def between_layers(kernel):
    """An activation behind a convolution, and at the end; its layer has the kernel's name."""
    by_name = {name.lower(): layer for name, layer in vars(nn).items()}
    f = by_name[kernel.replace("_", "")]
    return [nn.Conv2d(2, 3, 1), f(), nn.Flatten(), nn.Linear(216, 10), f()]


def test_there_is_a_model_for_every_kernel_of_runs():
    assert MODELS.keys() | {"flatten"} == set(IN_RUNS) == LAYERS.keys()


def together(name):
    """A training step of the kernel's model, whose layers run as one."""
    train(nn.Sequential(*MODELS[name]()), 5)


def alone(name):
    """The same of each of the model's layers by itself."""
    for layer in MODELS[name]():
        channels = getattr(layer, "in_channels", getattr(layer, "channels", 2))
        shape = (5, layer.in_features) if isinstance(layer, nn.Linear) else (5, channels, 8, 9)
        x = mc.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
        y = layer.double()(x)
        if not isinstance(layer, nn.Flatten):
            (y * y).sum().backward()


def calls_of(name, step):
    """Which of its calls a kernel's layer makes, as they come: ("forward", 0), ("backward", 1)."""
    seen = []
    START.longer.clear()
    with pytest.MonkeyPatch.context() as patch:
        leave_out(patch, name, None, seen)
        step(name)
    return sorted(set(seen))


def leave_out(patch, name, which, seen):
    """Has the layers of a kernel not make one of their calls, and memory be full of sevens."""
    layer, real, now = LAYERS[name], chain_module.Plan.call, []

    def watched(direction):
        function = getattr(layer, direction)

        def write(self, *args):
            now.append([direction, 0])
            try:
                return function(self, *args)
            finally:
                now.pop()

        return write

    def call(self, entry, *args):
        if now:
            place = tuple(now[-1])
            now[-1][1] += 1
            seen.append(place)
            if place == which:
                return
        real(self, entry, *args)

    for direction in ("forward", "backward"):
        patch.setattr(layer, direction, watched(direction))
    patch.setattr(chain_module.Plan, "call", call)
    patch.setattr(chain_module, "np", _Sevens())


class _Sevens:
    """NumPy, with new memory full of sevens."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=float):
        return np.full(shape, 7, dtype)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("step", [together, alone])
@pytest.mark.parametrize("name", MODELS)
def test_an_error_in_a_compiled_kernel_is_named(name, step, direction):
    """In each of the kernel's calls, one after the other."""
    planted = [place for place in calls_of(name, step) if place[0] == direction]
    suffix = ": y" if direction == "forward" else "_backward: gradient"
    assert planted
    for place in planted:
        START.longer.clear()
        with pytest.MonkeyPatch.context() as patch:
            leave_out(patch, name, place, [])
            with pytest.raises(MinicnnError, match=f"crosscheck: {name}{suffix}"):
                step(name)


def test_an_error_says_in_which_module_its_kernel_was_called(monkeypatch):
    leave_out(monkeypatch, "conv2d", ("forward", 0), [])
    with pytest.raises(MinicnnError, match=r"conv2d: y .*\[LeNet\.features\.0\]"):
        train("lenet", 2)


def test_an_error_of_the_fused_form_alone_names_the_run(monkeypatch):
    """As if what changes the order of calls lost one: each kernel by itself is still right."""

    def losing(calls):
        return calls[:1]

    monkeypatch.setattr(chain_module, "_rectified_last", losing)
    with pytest.raises(MinicnnError, match=r"crosscheck: conv2d\+tanh: y"):
        nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh())(mc.randn(2, 2, 3, 4))


@pytest.mark.parametrize("name", ["batch_norm", "dropout", "softmax_cross_entropy"])
@pytest.mark.parametrize("suffix", ["", "_backward"])
def test_an_error_in_a_kernel_called_by_its_name(name, suffix, monkeypatch):
    real = getattr(numba_cpu, name + suffix)

    def wrong(*args):
        result, *rest = real(*args)
        first = result if isinstance(result, np.ndarray) else result[0]
        first += 1
        return result, *rest

    monkeypatch.setattr(numba_cpu, name + suffix, wrong)
    x = mc.randn(4, 3).requires_grad_()
    call = {
        "batch_norm": lambda: nn.BatchNorm1d(3)(x),
        "dropout": lambda: nn.Dropout(0.5)(x),
        "softmax_cross_entropy": lambda: F.cross_entropy(x, mc.rand(4, 3).detach()),
    }[name]
    with pytest.raises(MinicnnError, match=f"crosscheck: {name}{suffix}: "):
        (call() ** 2).sum().backward()


@pytest.mark.parametrize("name", ["im2col", "col2im", "sgd", "adam"])
def test_an_error_in_a_plain_kernel(name, monkeypatch):
    real = getattr(numba_cpu, name)

    def wrong(*args):
        result = real(*args)
        changed = args[0] if result is None else result
        changed += 1
        return result

    monkeypatch.setattr(numba_cpu, name, wrong)
    model = nn.Linear(3, 2)
    model(mc.ones(1, 3)).sum().backward()
    with pytest.raises(MinicnnError, match=f"crosscheck: {name}"):
        {
            "im2col": lambda: F.unfold(mc.randn(1, 2, 4, 5), 2),
            "col2im": lambda: F.fold(mc.randn(1, 8, 12), (4, 5), 2),
            "sgd": lambda: mc.optim.SGD(model.parameters(), lr=0.1).step(),
            "adam": lambda: mc.optim.Adam(model.parameters()).step(),
        }[name]()


# ---- where large terms cancel --------------------------------------------------------------------


def cancelling(shape, axis):
    """Half is of size 1e4; the other half, along an axis, is nearly its negative."""
    a, noise = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    return mc.tensor(np.concatenate([1e4 * a, noise - 1e4 * a], axis)).requires_grad_()


def alike(shape, axis):
    """Two equal halves along an axis: what multiplies what cancels."""
    half = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    return mc.tensor(np.concatenate([half, half], axis)).requires_grad_()


def run_of(*layers):
    conv = nn.Conv2d(8, 5, 3, bias=False)
    conv.weight = nn.Parameter(alike((5, 4, 3, 3), 1).detach())
    return (nn.Sequential(conv, *layers)(cancelling((3, 4, 9, 9), 1)) ** 2).sum()


CANCELLING = {
    "conv2d": lambda: F.conv2d(cancelling((3, 4, 9, 9), 1), alike((5, 4, 3, 3), 1)),
    "linear": lambda: F.linear(cancelling((3, 50), 1), alike((5, 50), 1)),
    "avg_pool2d": lambda: F.avg_pool2d(cancelling((3, 2, 8, 8), 3), (8, 16)),
    "batch_norm": lambda: nn.BatchNorm1d(3)(100 + 1e-3 * mc.randn(64, 3)),
}  # fmt: skip
GRADIENTS = {
    "conv2d": lambda: F.conv2d(alike((2, 3, 9, 9), 0), mc.randn(5, 3, 3, 3, requires_grad=True)),
    "linear": lambda: F.linear(alike((4, 50), 0), mc.randn(5, 50, requires_grad=True)),
    "batch_norm": lambda: nn.BatchNorm1d(3)(alike((32, 3), 0)),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_cancellation_is_no_error(name):
    CANCELLING[name]()


@pytest.mark.parametrize("name", GRADIENTS)
def test_cancellation_in_gradients_is_no_error(name):
    y = GRADIENTS[name]()
    y.backward(cancelling((y.shape[0] // 2, *y.shape[1:]), 0).detach())


@pytest.mark.parametrize("dtype", [mc.float32, mc.float64])
def test_cancellation_within_a_run_is_no_error(dtype):
    mc.manual_seed(0)
    run_of(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(45, 10)).backward()
    run_of(nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(45, 10)).backward()
    nn.Sigmoid()(mc.full((9,), 40.0, dtype=dtype, requires_grad=True)).backward(mc.full((9,), 1e5))


@pytest.mark.parametrize("name", CANCELLING)
def test_an_error_beside_cancellation_is_named(name, monkeypatch):
    """Of a thousandth of the terms."""
    owner, function = (numba_cpu, name) if name == "batch_norm" else (numba_cpu, "run")
    real = getattr(owner, function)

    def wrong(*args):
        y, saved = real(*args)
        if name == "batch_norm":
            return (y[0] + 100, *y[1:]), saved  # x / std is 1e5
        return y + np.float32(10), saved

    monkeypatch.setattr(owner, function, wrong)
    with pytest.raises(MinicnnError, match=f"crosscheck: {name}: y"):
        CANCELLING[name]()
    monkeypatch.undo()

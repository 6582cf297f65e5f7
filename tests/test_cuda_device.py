"""What holds for whole models on a GPU: gradients, graphs, memory, bits, files, seeds, errors.

Each test runs twice: on the stand-in for CuPy in a small form, and, marked `gpu`, on a real GPU.
"""

import json
import signal
import sys
from functools import partial

import gpu_kernels
import numpy as np
import pytest
import torch
from gpu_kernels import OPTIMIZERS, take_steps
from PIL import Image
from test_cuda_training import Notes, command
from test_models import PYTORCH, SIZES, alexnet, load_into_torch

import minicnn as mc
from minicnn import nn
from minicnn.data import Subset
from minicnn.datasets import MNIST
from minicnn.errors import DeviceError
from minicnn.models import make
from minicnn.training import Trainer
from minicnn.training.progress import Lines

LENETS = list(SIZES)


@pytest.fixture
def many(gpu):
    """many(2, 100) is 2 on the stand-in and 100 on a GPU."""
    real = mc.cuda.get_device_name() != "CPU stand-in"
    return lambda small, large: large if real else small


@pytest.fixture
def device():
    """For tests that say nothing on the stand-in: about speed, or the pool of a real GPU."""
    if not mc.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU, its driver and CuPy")
    return mc.arrays.import_cupy()


def bits(model):
    """All parameters and buffers, on the host."""
    return {name: t.cpu().numpy() for name, t in model.state_dict().items()}


def assert_same_bits(some, others):
    assert some.keys() == others.keys()
    for name, x in some.items():
        np.testing.assert_array_equal(x, others[name], err_msg=name, strict=True)


# ---- gradients ---------------------------------------------------------------------------------


def assert_gradients_are_pytorchs(ours, theirs, images, dtype, limit):
    """Of the loss on these images; ours on the GPU, theirs in float64 on the CPU."""
    labels = np.random.default_rng(1).integers(0, 10, len(images))
    load_into_torch(theirs, ours)
    ours = ours.to(dtype).to("cuda")
    x, y = mc.tensor(images).to(dtype).cuda(), mc.tensor(labels).cuda()
    loss = nn.CrossEntropyLoss()(ours(x), y)
    loss.backward()
    expected = torch.nn.CrossEntropyLoss()(theirs(torch.tensor(images)), torch.tensor(labels))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=limit)
    for (path, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        g, h = p.grad.cpu().numpy(), q.grad.numpy().reshape(p.shape)
        assert np.abs(g - h).max() / max(1e-3, np.abs(h).max()) <= limit, path


@pytest.mark.parametrize(("dtype", "limit"), [(mc.float64, 1e-9), (mc.float32, 1e-4)])
@pytest.mark.parametrize("name", LENETS)
def test_the_gradients_of_the_lenets_are_pytorchs(gpu, many, rng, name, dtype, limit):
    ours, theirs = make(name).double(), PYTORCH[name]().double()
    images = rng.random((many(3, 64), *ours.input_shape))
    assert_gradients_are_pytorchs(ours, theirs, images, dtype, limit)


@pytest.mark.gpu
def test_the_gradients_of_alexnet_are_pytorchs(device):
    """Without dropout.

    With these images no maximum is a near tie, and nothing comes near a kink: where float32 took
    another side than float64, the gradients would differ by more than rounding.
    """
    images = np.random.default_rng(4).random((2, 1, 227, 227), np.float32).astype(np.float64)
    ours, theirs = make("alexnet").eval(), alexnet().double().eval()
    assert_gradients_are_pytorchs(ours, theirs, images, mc.float32, 1e-4)


# ---- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LENETS)
def test_two_runs_have_the_same_bits(gpu, many, name):
    runs = [
        bits(take_steps(name, many(3, 256), mc.float32, OPTIMIZERS["adam"], steps=many(2, 100)))
        for _ in range(2)
    ]
    assert_same_bits(*runs)
    assert all(np.isfinite(x).all() for x in runs[0].values())


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(32, 10))  # fmt: skip


def trained(make_model, make_optimizer, batch, steps, captured):
    """A new model after steps on changing images and learning rates: eager, or replays of one."""
    mc.manual_seed(0)
    model = make_model().to("cuda")
    optimizer, loss = make_optimizer(model.parameters()), nn.CrossEntropyLoss()
    shape = getattr(model, "input_shape", (1, 28, 28))
    images, labels = mc.rand(5, batch, *shape).to("cuda"), (mc.arange(5 * batch) % 10).to("cuda")
    x, y = mc.zeros(batch, *shape).to("cuda"), mc.zeros(batch, dtype=mc.int64).to("cuda")

    def step():
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    for i in range(steps):
        x.copy_(images[i % 5])
        y.copy_(labels[i % 5 * batch : (i % 5 + 1) * batch])
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + i)
        if captured and i == 2:
            graph = mc.cuda.CUDAGraph()
            with mc.cuda.graph(graph):
                step()
            step = graph.replay
        step()
    mc.cuda.synchronize()
    return bits(model)


@pytest.mark.parametrize(
    ("make_model", "optimizer"),
    [
        *(pytest.param(partial(make, name), "momentum", id=name) for name in LENETS),
        *(pytest.param(partial(make, "lenet"), name, id=name) for name in OPTIMIZERS),
        pytest.param(with_dropout, "sgd", id="dropout"),
    ],
)
def test_a_graph_does_what_eager_steps_do(gpu, many, make_model, optimizer):
    batch, steps = many(2, 64), many(5, 100)
    runs = [trained(make_model, OPTIMIZERS[optimizer], batch, steps, on) for on in (False, True)]
    assert_same_bits(*runs)


@pytest.mark.parametrize("name", ["lenet", "lenet5"])
def test_a_trainer_with_graphs_ends_as_one_without(gpu, many, name):
    data = Subset(MNIST(), range(many(20, 6_500)))  # the last batch is smaller
    trainers = []
    for graph in (False, True):
        mc.manual_seed(0)
        trainer = Trainer(
            make(name).to("cuda"), data, data, epochs=2, batch_size=many(8, 64), graph=graph
        )
        trainer.fit()
        trainers.append(trainer)
    eager, graphed = trainers
    assert_same_bits(bits(eager.model), bits(graphed.model))
    for row, other in zip(eager.history, graphed.history, strict=True):
        for key in row.keys() - {"seconds"}:
            assert row[key] == pytest.approx(other[key], rel=1e-5), key


@pytest.mark.gpu
def test_alexnet_trains_step_by_step(device):
    """Large products are cuBLAS's, which CuPy does not capture: a note says so."""
    model, view = make("alexnet").to("cuda"), Notes()
    before = bits(model)
    trainer = Trainer(model, Subset(MNIST(), range(8)), epochs=2, batch_size=2, graph=True)
    trainer.fit(view)
    (note,) = view.notes
    assert "large enough for cuBLAS" in note
    assert note.endswith("; the steps are launched one by one")
    assert [np.isfinite(row["train_loss_all"]) for row in trainer.history] == [True, True]
    after = bits(model)
    assert all((after[name] != x).any() for name, x in before.items())


# ---- memory --------------------------------------------------------------------------------------


def memory_after(cupy, step, *counts):
    """(bytes of arrays, bytes of the pool) after so many steps, and after so many more ..."""
    found = []
    for count in counts:
        for _ in range(count):
            step()
        mc.cuda.synchronize()
        found.append((mc.cuda.memory_allocated(), cupy.get_default_memory_pool().total_bytes()))
    return found


@pytest.mark.parametrize("captured", [False, True], ids=["eager", "graph"])
def test_memory_does_not_grow(gpu, many, captured):
    model = make("lenet").to("cuda")
    optimizer, loss = mc.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    x, y = mc.rand(2, 1, 28, 28).to("cuda"), mc.tensor([3, 4]).to("cuda")

    def step():
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    step()
    if captured:
        graph = mc.cuda.CUDAGraph()
        with mc.cuda.graph(graph):
            step()
        step = graph.replay
    before, after = memory_after(gpu, step, 3, many(10, 10_000))
    assert before == after


class Memory(Notes):
    """What memory_after finds after each epoch; and what the training says."""

    def __init__(self, cupy):
        super().__init__()
        self.cupy, self.found = cupy, []

    def epoch(self, row):
        self.found += memory_after(self.cupy, None, 0)


def test_memory_does_not_grow_over_epochs(gpu, many):
    """Images on the GPU, steps in graphs and a rest by itself, validation, the best weights."""
    data, epochs, first = Subset(MNIST(), range(many(20, 6_500))), many(7, 100), many(3, 10)
    trainer = Trainer(
        make("lenet").to("cuda"), data, data, epochs=epochs, batch_size=many(8, 64), graph=True
    )
    memory = Memory(gpu)
    trainer.fit(memory)
    assert memory.notes == []
    assert len(memory.found) == epochs
    assert set(memory.found[first:]) == {memory.found[first]}


# ---- files, seeds, errors ------------------------------------------------------------------------


def test_weights_go_from_one_device_to_the_other_and_back(gpu, tmp_path):
    model = take_steps("lenet", 3, mc.float32, OPTIMIZERS["adam"])
    mc.save(model.state_dict(), tmp_path / "cuda.safetensors")
    on_cpu = make("lenet")
    on_cpu.load_state_dict(mc.load(tmp_path / "cuda.safetensors"))
    assert {p.device for p in on_cpu.parameters()} == {mc.device("cpu")}
    assert_same_bits(bits(model), bits(on_cpu))
    mc.save(on_cpu.state_dict(), tmp_path / "cpu.safetensors")
    again = make("lenet").to("cuda")
    again.load_state_dict(mc.load(tmp_path / "cpu.safetensors"))
    assert {p.device for p in again.parameters()} == {mc.device("cuda:0")}
    assert_same_bits(bits(model), bits(again))


def test_an_optimiser_goes_on_on_the_other_device(gpu, tmp_path):
    """A step on the GPU and one on the CPU are two on the CPU, up to rounding."""
    x, y = mc.rand(3, 1, 28, 28), mc.tensor([1, 2, 3])

    def step(model, optimizer, device):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x.to(device)), y.to(device)).backward()
        optimizer.step()

    def new(device):
        mc.manual_seed(1)
        model = make("lenet").double().to(device)
        return model, mc.optim.Adam(model.parameters())

    x = x.double()
    model, optimizer = new("cuda")
    step(model, optimizer, "cuda")
    mc.save([model.state_dict(), optimizer.state_dict()], tmp_path / "both.safetensors")
    weights, state = mc.load(tmp_path / "both.safetensors")
    moved, optimizer = new("cpu")
    moved.load_state_dict(weights)
    optimizer.load_state_dict(state)
    step(moved, optimizer, "cpu")
    model, optimizer = new("cpu")
    for _ in range(2):
        step(model, optimizer, "cpu")
    for name, x in bits(model).items():
        np.testing.assert_allclose(bits(moved)[name], x, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", LENETS)
def test_a_seed_gives_the_same_weights_on_both_devices(gpu, name):
    mc.manual_seed(7)
    on_cpu = bits(make(name))
    mc.manual_seed(7)
    assert_same_bits(on_cpu, bits(make(name).to("cuda")))


@pytest.mark.parametrize("dtype", [mc.float32, mc.float64])
def test_a_seed_gives_the_same_dropout_on_both_devices(gpu, dtype):
    masks = []
    for device in ("cpu", "cuda"):
        mc.manual_seed(7)
        x = mc.ones(37, 41, dtype=dtype).to(device)
        masks.append([nn.functional.dropout(x, 0.3).cpu().numpy() for _ in range(3)])
    np.testing.assert_array_equal(*masks, strict=True)
    assert not (masks[0][0] == masks[0][1]).all()


def test_mixed_devices_are_named_in_one_line(gpu):
    """Products, a model on a GPU, losses; test_cuda_engine.py has the others."""
    a, b = mc.zeros(2, 3), mc.zeros(2, 3).to("cuda")
    model = make("lenet").to("cuda")
    x = mc.zeros(1, 1, 28, 28)
    logits = model(x.cuda())
    for do, found in (
        (lambda: a @ b.T, "MatMul: input (2, 3) on cpu, other (3, 2) on cuda:0"),
        (lambda: model(x), "input (1, 1, 28, 28) on cpu, weight (6, 1, 5, 5) on cuda:0"),
        (lambda: nn.CrossEntropyLoss()(logits, mc.tensor([1])),
         "CrossEntropy: input (1, 10) on cuda:0, target (1,) on cpu"),
    ):  # fmt: skip
        with pytest.raises(DeviceError) as error:
            do()
        assert found in str(error.value)
        assert str(error.value).count("\n") == 0
        assert ".to()" in str(error.value)


def test_tf32_is_for_those_who_ask(gpu, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "0")  # undone in the end
    default, tf32 = 1, 7  # CuPy's COMPUTE_TYPE_...
    matmul = mc.backends.cuda.matmul
    assert not matmul.allow_tf32
    kinds = []
    for matmul.allow_tf32 in (False, True, False):
        kinds.append(gpu._core.get_compute_type(np.float32))
    assert kinds == [default, tf32, default]
    assert gpu._core.get_compute_type(np.float64) == default


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch):
    """The command line as a function; sys.argv is put back afterwards."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    return command


def test_the_command_stops_goes_on_tests_and_predicts(
    gpu, many, commands, monkeypatch, tmp_path, capsys
):
    run, picture = tmp_path / "run", tmp_path / "digit.png"
    options = ["--epochs", 2, "--limit", many(40, 6_000), "--batch-size", many(8, 64)]
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "batch", lambda view, now: signal.raise_signal(signal.SIGINT))
        stopped = commands("train", "--device", "cuda", *options, "--out", run)
    assert stopped == 128 + signal.SIGINT
    assert commands("train", "--resume", run) == 0
    assert (run / "history.csv").read_text().count("\n") == 1 + 2
    assert "begun on another machine, device" not in capsys.readouterr().out
    Image.fromarray(255 - MNIST().data.numpy()[0]).save(picture)
    for words in (["test", run], ["predict", run, picture]):
        assert commands(*words, "--device", "cuda") == 0
    told = capsys.readouterr().out
    accuracy = json.loads((run / "test.json").read_text())["accuracy"]
    assert f"accuracy {accuracy:.2%} of" in told
    assert f"\n{picture}\n" in told


# ---- all of it -----------------------------------------------------------------------------------


def test_every_kernel_is_launched(gpu):
    """By the script that compute-sanitizer watches."""
    assert gpu_kernels.launch_all() == set()


@pytest.mark.gpu
def test_lenet_reaches_the_accuracy_that_it_has_on_the_cpu(device, commands, tmp_path):
    """gpu_run.py leaves it out: its part "training" is this run."""
    run = tmp_path / "run"
    assert commands("train", "--device", "cuda", "--epochs", 3, "--out", run) == 0
    assert json.loads((run / "test.json").read_text())["accuracy"] >= 0.989

"""Training on a GPU: captured steps equal steps one by one, stop, resume, and say why not."""

import random
import signal
import sys
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from minicnn import nn
from minicnn.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, device_cache
from minicnn.data.device_cache import copy_to_device
from minicnn.datasets import MNIST
from minicnn.errors import AnomalyError
from minicnn.kernels.cuda import gemm
from minicnn.models import make
from minicnn.training import Trainer, graph
from minicnn.training.progress import Lines, View
from minicnn.transforms import Compose, RandomHorizontalFlip, RandomRotation, ToTensor


class Small(nn.Module):
    """Dropout and batch norm, which the LeNets lack."""

    input_shape, background, ink = (1, 28, 28), 0.0, 1.0

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 2, 5, stride=4), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(),
            nn.Dropout(0.3), nn.Linear(72, 10),
        )  # fmt: skip

        self._factors = [np.float32(1)]

    def forward(self, x):
        return self.layers(x * float(self._factors[0]))


MODELS = {"lenet": lambda: make("lenet"), "lenet-sigmoid": lambda: make("lenet-sigmoid"),
          "small": Small}  # fmt: skip


class Notes(View):
    """What a training says, and where it stood after each call."""

    def __init__(self):
        self.notes, self.batches = [], []

    def note(self, text):
        self.notes.append(text)

    def batch(self, now):
        self.batches.append(now["batch"])


def digits(n, first=0, transform=None):
    return Subset(MNIST(train=True, transform=transform or ToTensor()), np.arange(first, first + n))


def trainer(model="small", images=None, captured=True, epochs=2, **options):
    mc.manual_seed(0)
    net = MODELS[model]().to("cuda")
    images = digits(68) if images is None else images  # 8 batches of 8, and one of 4
    return Trainer(
        net, images, digits(10, 100), epochs=epochs, batch_size=8, graph=captured, **options
    )


def outcome(t):
    """All bits of a training's end."""
    tensors = {**t.model.state_dict()}
    for i, entry in t.optimizer.state_dict()["state"].items():
        tensors |= {f"{i}.{name}": value for name, value in entry.items()}
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in t.history]
    bits = {name: x.cpu().numpy().tobytes() for name, x in tensors.items()}
    return bits, history, mc.default_generator.get_state()


@pytest.fixture
def replays(monkeypatch):
    """How often a graph was replayed."""
    from minicnn.kernels.cuda.graphs import CUDAGraph

    seen, replay = [], CUDAGraph.replay
    monkeypatch.setattr(CUDAGraph, "replay", lambda self: (seen.append(1), replay(self)))
    return seen


# ---- captured steps are steps --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("lenet", {}),
        ("lenet-sigmoid", {"optimizer": "momentum", "schedule": "cosine", "lr": 0.05}),
        ("small", {"schedule": "constant"}),
    ],
)
def test_captured_steps_have_the_bits_of_single_ones(gpu, replays, model, options):
    eager = trainer(model, captured=False, **options)
    eager.fit()
    assert not replays
    expected, view = outcome(eager), Notes()
    captured = trainer(model, **options)
    captured.fit(view)
    assert replays
    assert view.notes == []
    assert outcome(captured) == expected


def test_several_graphs_an_epoch_and_a_rest(gpu, replays, monkeypatch):
    monkeypatch.setattr(graph, "GROUP", 3)
    expected = trainer(captured=False)
    expected.fit()
    view, captured = Notes(), trainer()
    captured.fit(view)
    assert outcome(captured) == outcome(expected)
    assert len(replays) == 4  # 2 alone, 3 + 3; then 3 + 3, 2 alone; and twice the smaller batch
    assert view.batches[-1] == 9


def stop_after(steps):
    """Checkpoints that raise, as a signal does, once the training has come so far."""

    class Checkpoints:
        def step(self, t):
            if t.optimizer.state and (t.epoch, t.batch) >= steps:
                raise KeyboardInterrupt

        def epoch(self, t):
            pass

        save = epoch

    return Checkpoints()


@pytest.mark.parametrize("place", [(1, 1), (1, 5), (2, 3)])
@pytest.mark.parametrize("then", [True, False])
def test_a_stopped_training_goes_on_to_the_same_bits(gpu, monkeypatch, tmp_path, place, then):
    monkeypatch.setattr(graph, "GROUP", 3)
    whole = trainer()
    whole.fit()
    expected = outcome(whole)
    first = trainer()
    with pytest.raises(KeyboardInterrupt):
        first.fit(None, stop_after(place))
    mc.save(first.state_dict(), tmp_path / "state.safetensors")
    second = trainer(captured=then)
    second.load_state_dict(mc.load(tmp_path / "state.safetensors"))
    second.fit()
    assert outcome(second) == expected


class Spoiled(Dataset):
    """Images of which one is so bright that the loss overflows, or is no number."""

    def __init__(self, value):
        self.images, self.labels = (t.clone() for t in digits(68).__getitems__(np.arange(68)))
        self.images[37] = value

    def __len__(self):
        return 68

    def __getitem__(self, i):
        return self.images[i], self.labels[i]

    def __getitems__(self, indices):
        return [self.images[indices], self.labels[indices]]


@pytest.mark.parametrize("value", [float("nan"), 3e38])
@pytest.mark.parametrize(("group", "epoch"), [(3, 1), (3, 2), (16, 1), (16, 2)])
def test_what_is_not_finite_stops_at_its_step(gpu, monkeypatch, value, group, epoch):
    """The message is that of single steps, and so are the weights it leaves."""
    monkeypatch.setattr(graph, "GROUP", group)
    found = []
    for captured in (False, True):
        t = trainer("lenet", Spoiled(value), captured, epochs=3)
        t.train.images[37] = 0.5
        order, seen = t._order, []

        def spoil(t=t, order=order, seen=seen):
            seen.append(1)
            if len(seen) == epoch:  # in the second, steps are captured from the first on
                t.train.images[37] = value
                t._loader.keep().tensors[0][37] = value
            return order()

        t._order = spoil
        with pytest.raises(AnomalyError) as error:
            t.fit()
        found.append((str(error.value), t.batch, {k: v.cpu().numpy().tobytes()
                      for k, v in t.model.state_dict().items()}))  # fmt: skip
    assert found[0] == found[1]
    assert f"epoch {epoch}, batch" in found[0][0]


# ---- why not -------------------------------------------------------------------------------------


def note_of(t):
    view = Notes()
    t.fit(view)
    (note,) = view.notes
    assert note.startswith("no CUDA graph: ")
    assert note.endswith("; the steps are launched one by one")
    return note


class Own(mc.optim.SGD):
    """What a user may write."""

    def step(self):
        for p in self.param_groups[0]["params"]:
            p.data.sub_(self.param_groups[0]["lr"] * p.grad)


def test_it_says_why_there_is_no_graph(gpu, replays):
    assert "an epoch has 1 whole batches" in note_of(trainer(images=digits(12)))
    hooked = trainer()
    hooked.model.layers[0].register_forward_hook(lambda *args: None)
    assert "hooks, which run in Python" in note_of(hooked)
    hooked = trainer()
    hooked.parameters["layers.0.bias"].register_hook(lambda g: None)
    assert "hooks, which run in Python" in note_of(hooked)
    random = note_of(trainer(images=digits(68, 0, rotated())))
    assert "not kept on the GPU: its samples are drawn at random" in random
    own = trainer(optimizer=lambda parameters, lr: Own(parameters, lr), schedule="cosine")
    assert "the optimiser has a step of its own" in note_of(own)
    half = TensorDataset(mc.rand(68, 1, 28, 28).half(), mc.zeros(68).long())
    t = trainer(images=half, optimizer="sgd", lr=1e-4)
    t.val = None
    t.model.half()
    assert "only float32 and float64 have kernels" in note_of(t)
    with mc.autograd.set_detect_anomaly(True):
        assert "anomaly detection" in note_of(trainer())
    assert not replays


def rotated():
    return Compose([ToTensor(), RandomRotation(20)])


def test_large_products_are_cublas_s(gpu, replays, monkeypatch):
    monkeypatch.setattr(gemm, "CUBLAS", 100)
    assert "large enough for cuBLAS, which CuPy does not capture" in note_of(trainer())
    assert not replays


class Asks(Small):
    """The GPU for a number."""

    def forward(self, x):
        return self.layers(x) if x.sum().item() > 0 else self.layers(-x)


class Draws(Small):
    """On the host, from all three generators that there are."""

    def forward(self, x):
        drawn = mc.default_generator.numpy.random() + np.random.random() + random.random()  # noqa: NPY002
        return self.layers(x * float(drawn))


class DrawsOnTheDevice(Small):
    """Which is a transfer."""

    def forward(self, x):
        return self.layers(x + 0.1 * mc.randn_like(x))


class Keeps(Small):
    """Tensors and arrays in a tuple: nothing that a captured step takes for granted."""

    def forward(self, x):
        y = self.layers[0](x)
        self.seen = (y, y.array, 1)
        return self.layers[1:](y)


def test_a_model_that_keeps_what_it_has_seen(gpu, replays, monkeypatch):
    monkeypatch.setitem(MODELS, "more", Keeps)
    ends = []
    for captured in (True, False):
        t = trainer("more", captured=captured)
        t.fit()
        ends.append(outcome(t))
    assert ends[0] == ends[1]
    assert replays


class Counts(Small):
    """How often it is called."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layers(x / self.calls)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Asks, "the model asks the GPU for a number, or moves data, in forward"),
        (Draws, "the model draws random numbers on the host"),
        (DrawsOnTheDevice, "the model asks the GPU for a number, or moves data, in forward"),
        (Counts, "the model changes its own attributes in forward"),
    ],
)
def test_a_model_that_does_more_than_launch(gpu, replays, monkeypatch, model, reason):
    """It trains step by step, as if no capture had been tried."""
    monkeypatch.setitem(MODELS, "more", model)
    results = []
    for captured in (True, False):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        t = trainer("more", captured=captured)
        if captured:
            assert reason in note_of(t)
        else:
            t.fit()
        results.append((outcome(t), random.random(), np.random.random()))  # noqa: NPY002
    assert results[0] == results[1]
    assert not replays


def frozen(t):
    t.parameters["layers.0.weight"].requires_grad_(False)


def another_factor(t):
    t.model._factors[0] = np.float32(0.5)


def less_dropout(t):
    t.model.layers[4].p = 0.1


def other_running_mean(t):
    t.model.layers[1].momentum = 0.5


def with_momentum(t):
    t.optimizer.param_groups[0]["momentum"] = 0.9


def another_array(t):
    p = t.parameters["layers.5.bias"]
    p.data = p.detach() * 2


def an_older_optimiser(t):
    state = t.optimizer.state_dict()
    t.optimizer.load_state_dict(
        {"state": {}, "param_groups": [{**g, "weight_decay": 0.1} for g in state["param_groups"]]}
    )


@pytest.mark.parametrize(
    "change",
    [
        frozen,
        another_factor,
        less_dropout,
        other_running_mean,
        with_momentum,
        another_array,
        an_older_optimiser,
    ],
)
def test_what_changes_between_epochs_is_captured_anew(gpu, replays, monkeypatch, change):
    monkeypatch.setattr(graph, "GROUP", 2)

    class Between:
        """In place of a run folder."""

        def step(self, t):
            pass

        def epoch(self, t):
            change(t)

    ends = []
    for captured in (False, True):
        t = trainer(captured=captured, optimizer="sgd", epochs=3)
        t.fit(None, Between())
        ends.append(outcome(t))
    assert ends[0] == ends[1]
    assert len(replays) > 4  # in the first epoch, and after the change


def test_a_hook_that_comes_later_sees_every_step(gpu, replays, monkeypatch):
    monkeypatch.setattr(graph, "GROUP", 2)
    counts = []
    for captured in (True, False):
        seen = []

        class Between:
            def step(self, t):
                pass

            def epoch(self, t, seen=seen):
                if t.epoch == 2:
                    t.model.layers[0].register_forward_hook(lambda *args: seen.append(1))

        t, view = trainer(captured=captured), Notes()
        t.fit(view, Between())
        counts.append((len(seen), t.model.training, outcome(t)))
        assert ["hooks" in note for note in view.notes] == [True] * captured
    assert counts[0] == counts[1]
    assert counts[0][0] >= 9
    assert replays


def test_the_host_is_two_replays_ahead_at_most(standin, replays, monkeypatch):
    monkeypatch.setattr(graph, "GROUP", 1)
    monkeypatch.setattr(graph, "READ", 1e9)
    waited, synchronize = [], standin.cuda.Event.synchronize

    def noted(event):
        waited.append(len(replays))
        synchronize(event)

    monkeypatch.setattr(standin.cuda.Event, "synchronize", noted)
    trainer(epochs=1).fit()
    assert waited == [3, 4, 5, 6]  # of 8 steps, 2 are taken before the capture


def test_moving_the_data_can_be_stopped(gpu):
    class Interrupting(Dataset):
        """Ctrl-C comes when all of it is asked for."""

        def __len__(self):
            return 68

        def __getitems__(self, indices):
            if len(indices) == 68 and indices[0] == 0 and indices[-1] == 67:
                signal.raise_signal(signal.SIGINT)
            return digits(68).__getitems__(indices)

    t = trainer(images=Interrupting())
    with pytest.raises(KeyboardInterrupt):
        t.fit()
    assert t.batch == 0


# ---- data on the device --------------------------------------------------------------------------


def test_a_loader_gives_the_same_batches_from_the_device(gpu):
    batches = []
    for device in (None, "cuda"):
        mc.manual_seed(3)
        loader = DataLoader(digits(20), 6, shuffle=True, device=device)
        batches.append([*loader, *loader])
    assert len(batches[0]) == 8
    for (x, y), (a, b) in zip(*batches, strict=True):
        assert str(a.device) == str(b.device) == "cuda:0"
        np.testing.assert_array_equal(a.cpu().numpy(), x.numpy())
        np.testing.assert_array_equal(b.cpu().numpy(), y.numpy())


def test_a_loader_gathers_on_the_device(gpu):
    data = digits(20)
    loader = DataLoader(data, 6, shuffle=True, device="cuda")
    next(iter(loader))
    data.dataset = None  # it is not asked again
    assert [len(y) for _, y in loader] == [6, 6, 6, 2]


def test_what_changes_or_is_no_tensor_is_moved_batch_by_batch(gpu):
    mc.manual_seed(1)
    expected = [x for x, _ in DataLoader(digits(10, 0, rotated()), 5)]
    mc.manual_seed(1)
    loader = DataLoader(digits(10, 0, rotated()), 5, device="cuda")
    for (x, _), y in zip(loader, expected, strict=True):
        np.testing.assert_array_equal(x.cpu().numpy(), y.numpy())
    words = [{"word": "a", "x": mc.ones(2)}, {"word": "b", "x": mc.zeros(2)}]
    (batch,) = DataLoader(words, 2, device="cuda")
    assert batch["word"] == ["a", "b"]
    assert str(batch["x"].device) == "cuda:0"


def test_what_is_too_large_stays_on_the_host(gpu, monkeypatch):
    data = TensorDataset(mc.ones(100, 50), mc.zeros(100).long())
    assert len(copy_to_device(data, "cuda")) == 100
    monkeypatch.setattr(device_cache, "SHARE", 1e-12)
    assert copy_to_device(data, "cuda") == "it is too large for the GPU's memory"
    (x, _), *_ = DataLoader(data, 10, device="cuda")
    assert x.shape == (10, 50)


def test_a_part_that_is_drawn_at_random(gpu):
    """Samples are looked at from everywhere, and what draws seldom is noticed by its generator."""
    both = ConcatDataset([digits(500), digits(500, 0, rotated())])
    seldom = digits(300, 0, Compose([ToTensor(), RandomHorizontalFlip(0.001)]))
    before = mc.default_generator.get_state(), random.getstate()
    for data in (both, seldom, Jittered(), Resizing()):
        assert copy_to_device(data, "cuda") == "its samples are drawn at random"
    assert (mc.default_generator.get_state(), random.getstate()) == before


class Jittered(Dataset):
    """By Python's own generator."""

    def __len__(self):
        return 9

    def __getitem__(self, i):
        return mc.full((2,), float(random.random() < 2)), i


class Resizing(Dataset):
    """Every batch has another size."""

    size = 4

    def __len__(self):
        return 9

    def __getitems__(self, indices):
        self.size += 1
        return [mc.ones(len(indices), self.size), mc.zeros(len(indices))]


Pair = namedtuple("Pair", ["x", "y"])


@pytest.mark.parametrize(
    "dataset",
    [
        [mc.full((2,), float(i)) for i in range(5)],  # no tuples
        mc.arange(10.0).reshape(5, 2),
        [Pair(mc.full((2,), float(i)), i) for i in range(5)],
        [(mc.full((i + 1,), float(i)), i) for i in range(5)],  # of several sizes
        [(mc.full((2,), float("nan")), i) for i in range(5)],
    ],
    ids=["tensors", "a tensor", "named", "sizes", "nan"],
)
def test_a_loader_gives_the_same_kinds_on_the_device(gpu, dataset):
    for batch, other in zip(
        DataLoader(dataset, 1), DataLoader(dataset, 1, device="cuda"), strict=True
    ):
        assert type(batch) is type(other)
        for x, y in zip(batch, other, strict=True):
            np.testing.assert_array_equal(x.numpy(), y.cpu().numpy())
            assert y.device == "cuda:0"


def test_a_loader_of_keys_and_of_another_data_set(gpu):
    loader = DataLoader(
        {"a": (mc.ones(2), 1), "b": (mc.zeros(2), 2)}, sampler=["b", "a"], device="cuda"
    )
    assert [y.tolist() for _, y in loader] == [[2], [1]]
    loader = DataLoader(digits(4), 4, device="cuda")
    assert next(iter(loader))[1].tolist() == [5, 0, 4, 1]
    loader.dataset = digits(4, 2)
    assert next(iter(loader))[1].tolist() == [4, 1, 9, 2]


def test_a_loader_of_the_second_gpu(standin):
    for x, y in DataLoader(digits(6), 4, device="cuda:1"):
        assert x.device == y.device == "cuda:1"


# ---- the command ---------------------------------------------------------------------------------


def command(*words):
    from minicnn.cli import main

    sys.argv = ["minicnn", *map(str, words)]
    try:
        main()
    except SystemExit as done:
        return done.code or 0
    return 0


@pytest.fixture(autouse=True)
def _arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_the_command_trains_and_the_cpu_tests(standin, monkeypatch, tmp_path, capsys, replays):
    run = tmp_path / "run"
    options = ["--limit", 60, "--epochs", 2, "--batch-size", 8, "--out", run]
    assert command("train", "--device", "cuda", *options) == 0
    assert replays
    picture = tmp_path / "digit.png"
    Image.fromarray(255 - MNIST().data.numpy()[0]).save(picture)
    printed = {}
    for device in ("cuda", "cpu"):
        if device == "cpu":
            monkeypatch.setitem(sys.modules, "cupy", None)  # now on a machine without one
        capsys.readouterr()
        assert command("test", run, "--device", device) == 0
        assert command("predict", run, picture, "--device", device) == 0
        printed[device] = capsys.readouterr().out
    assert printed["cuda"] == printed["cpu"]
    assert "accuracy" in printed["cpu"]


def test_a_run_goes_on_on_the_other_device(standin, monkeypatch, tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--limit", 60, "--epochs", 2, "--batch-size", 8, "--out", run]
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "batch", lambda view, now: signal.raise_signal(signal.SIGINT))
        assert command("train", "--device", "cuda", *options) == 128 + signal.SIGINT
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert command("train", "--resume", run) == 1
    assert "device 'cuda' needs CuPy" in capsys.readouterr().err
    assert command("train", "--resume", run, "--device", "cpu") == 0
    assert "begun on another machine, device or versions" in capsys.readouterr().out
    assert (run / "history.csv").read_text().count("\n") == 1 + 2


def test_a_gpu_by_its_number(standin, tmp_path, capsys):
    run, options = tmp_path / "run", ["--limit", 60, "--epochs", 1, "--batch-size", 8]
    assert command("train", "--device", "cuda:1", *options, "--out", run) == 0
    mc.cuda.set_device(0)
    assert command("test", run, "--device", "cuda:1") == 0
    mc.cuda.set_device(0)
    assert command("train", "--resume", run, "--device", "cuda:1", "--no-graph") == 0
    capsys.readouterr()
    for words, code, message in (
        (["train", *options, "--device", "cuda:2"], 1, "'cuda:2' cannot be used: there are 2 GPUs"),
        (["train", *options, "--device", "gpu"], 2, "device 'gpu' is not one of 'cpu', 'cuda'"),
        (["train", "--resume", run, "--device", "gpu"], 2, "minicnn: device 'gpu' is not one of"),
        (["test", run, "--device", "gpu"], 2, "minicnn: device 'gpu' is not one of"),
    ):
        assert command(*words) == code
        assert message in capsys.readouterr().err


def test_without_a_gpu_one_line_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    read = []
    monkeypatch.setattr("minicnn.datasets.load", lambda *args, **kwargs: read.append(args))
    assert command("train", "--device", "cuda", "--out", tmp_path / "run") == 1
    out = capsys.readouterr()
    (line,) = (out.out + out.err).strip().splitlines()
    assert line.startswith("minicnn: device 'cuda' needs CuPy, which is not installed: pip install")
    assert not read

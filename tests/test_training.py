"""Training: what is computed, what is kept, how it stops, and that it goes on to the same bits."""

import csv
import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from crash import crash, final_state

import minicnn as mc
from minicnn import nn
from minicnn.data import DataLoader, Subset, TensorDataset
from minicnn.data.dataset import fetch
from minicnn.datasets import MNIST
from minicnn.errors import AnomalyError, ArgumentError, DataError, ShapeError, StateDictError
from minicnn.models import make
from minicnn.serialization import load_file, load_metadata
from minicnn.training import (
    HISTORY,
    Recipe,
    Run,
    Stopped,
    Trainer,
    evaluate,
    resume,
    score,
    train,
    workflow,
)
from minicnn.training import run as run_module
from minicnn.training.progress import View
from minicnn.training.recipe import default_folder

RECIPE, ABOUT = {"model": "lenet"}, {"classes": MNIST.classes, "shape": (1, 28, 28)}


@pytest.fixture(scope="module")
def digits():
    return MNIST(train=True)


class Fixed(nn.Module):
    """Logits that do not depend on the image, but on its first pixel."""

    input_shape, background, ink = (1, 512, 1024), 0.0, 1.0  # two images make a batch

    def forward(self, x):
        assert not self.training
        assert not mc.is_grad_enabled()
        assert len(x) <= 2
        first = x[:, 0, 0, 0]
        return mc.stack([first, 1 - first], dim=1)


@pytest.fixture(scope="module")
def first_pixels():
    images = mc.zeros(5, 1, 512, 1024)
    images[:2, 0, 0, 0] = 1.0
    return TensorDataset(images, mc.tensor([0, 1, 1, 1, 0]))  # right: 0, 2, 3


def test_evaluate_counts_and_averages_over_unequal_batches(first_pixels):
    model, calls = Fixed(), []
    loss, accuracy = evaluate(model, first_pixels, after_batch=lambda: calls.append(1))
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert accuracy == 3 / 5
    assert loss == pytest.approx((3 * right + 2 * wrong) / 5, rel=1e-6)
    assert model.training
    assert len(calls) == 3


def test_scores_count_each_class_and_pair(first_pixels):
    scores = score(Fixed(), first_pixels)
    assert scores.labels.tolist() == [0, 1, 1, 1, 0]
    assert scores.predicted.tolist() == [0, 0, 1, 1, 1]
    assert scores.confusion.tolist() == [[1, 1], [1, 2]]  # rows: the truth
    assert scores.per_class.tolist() == [1 / 2, 2 / 3]
    assert scores.accuracy == 3 / 5
    assert scores.loss == pytest.approx(evaluate(Fixed(), first_pixels)[0])


class Recorder(View):
    def __init__(self, on_epoch=lambda row: None):
        self.calls, self.batches, self.rows, self.on_epoch = [], [], [], on_epoch

    def start(self, now):
        self.calls.append("start")
        self.first = now

    def batch(self, now):
        self.batches.append(now)

    def note(self, text):
        self.calls.append("note")

    def epoch(self, row):
        self.calls.append("epoch")
        self.rows.append(row)
        self.on_epoch(row)

    def stop(self):
        self.calls.append("stop")


def small_run(digits, **options):
    mc.manual_seed(1)
    model = make("lenet")
    train, val = Subset(digits, range(600)), Subset(digits, range(600, 800))
    trainer = Trainer(model, train, val, **({"epochs": 3, "batch_size": 50} | options))
    return model, trainer


def bits(model):
    return b"".join(t.numpy().tobytes() for t in model.state_dict().values())


def test_training_learns_and_keeps_the_best_epoch(digits):
    model, trainer = small_run(digits)
    view = Recorder()
    trainer.fit(view)
    rows = view.rows
    assert view.calls == ["start", "epoch", "epoch", "epoch", "stop"]
    assert view.first == {
        "epoch": 1, "epochs": 3, "batch": 0, "batches": 12, "batch_size": 50, "examples": 0,
        "history": [],
    }  # fmt: skip
    assert rows == trainer.history
    assert all(tuple(row) == HISTORY for row in rows)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss_all"] < 0.6 * rows[0]["train_loss_all"]
    assert len(view.batches) == 3 * 12
    last = view.batches[-1]
    assert last["batch"] == last["batches"] == 12
    assert last["examples"] == 600
    assert last["loss"] == rows[-1]["train_loss_all"]
    best = max(rows, key=lambda row: (row["val_acc_all"], -row["val_loss_all"]))
    assert trainer.best == best
    assert evaluate(model, trainer.val) == (best["val_loss_all"], best["val_acc_all"])


def test_all_batches_come_from_data_loaders(digits, monkeypatch):
    sizes, batch = [], DataLoader._batch
    monkeypatch.setattr(
        DataLoader, "_batch", lambda self, i: (sizes.append(len(i)), batch(self, i))[1]
    )
    model, trainer = small_run(digits, epochs=1, batch_size=250)
    trainer.fit()
    assert sizes == [250, 250, 100, 200]  # of three steps and the validation
    score(model, trainer.val)
    assert sizes[4:] == [200]


def test_every_epoch_sees_every_sample_once_in_another_order(digits):
    _, trainer = small_run(digits)
    first = trainer._order()
    trainer.epoch = 2
    second = trainer._order()
    assert sorted(first) == sorted(second) == list(range(600))
    assert (first != second).any()


def test_the_best_weights_come_back_where_a_later_epoch_is_worse(digits):
    model, trainer = small_run(digits, epochs=2)
    kept = {}

    def spoil(row):  # as if the second epoch had gone wrong
        if row["epoch"] == 1:
            kept.update({k: t.numpy().copy() for k, t in model.state_dict().items()})
            trainer.optimizer.param_groups[0]["lr"] = 0.0
            trainer.schedule.step = lambda: None
            for p in model.parameters():
                p.array[...] = 0.0

    trainer.fit(Recorder(spoil))
    assert trainer.best["epoch"] == 1
    for k, t in model.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), kept[k])


def test_without_a_validation_set_the_last_epoch_counts(digits):
    mc.manual_seed(1)
    trainer = Trainer(make("lenet"), Subset(digits, range(100)), epochs=2, batch_size=50)
    trainer.fit()
    assert trainer.best == trainer.history[-1]
    assert math.isnan(trainer.best["val_acc_all"])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "momentum"])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "step", "constant"])
def test_every_optimizer_and_schedule_takes_its_steps(digits, optimizer, schedule):
    _, trainer = small_run(digits, epochs=2, optimizer=optimizer, schedule=schedule, lr=1e-3)
    rates = []
    view = View()
    view.batch = lambda now: rates.append(trainer.optimizer.param_groups[0]["lr"])
    trainer.fit(view)
    assert len(rates) == 24
    expected = {
        "onecycle": lambda: 0.95e-3 < max(rates) <= 1e-3 and rates[-2] < 1e-7,
        "cosine": lambda: rates == sorted(rates, reverse=True) and rates[-1] < 1e-9,
        "step": lambda: np.allclose([rates[10], rates[12], rates[-1]], [1e-3, 1e-4, 1e-5]),
        "constant": lambda: set(rates) == {1e-3},
    }
    assert expected[schedule]()
    assert trainer.history[0]["learning_rate"] == rates[10]  # after a step it is the next one's
    assert trainer.history[1]["learning_rate"] == rates[22]


def test_unknown_names_and_empty_sets_are_refused(digits):
    with pytest.raises(ArgumentError, match=r"optimizer 'lion' is not one of adam, adamw, sgd"):
        small_run(digits, optimizer="lion")
    with pytest.raises(ArgumentError, match=r"schedule 'warm' is not one of onecycle, cosine"):
        small_run(digits, schedule="warm")
    with pytest.raises(ArgumentError, match="training set is empty"):
        Trainer(make("lenet"), Subset(digits, []))
    with pytest.raises(ArgumentError, match="validation set is empty"):
        Trainer(make("lenet"), Subset(digits, [0]), Subset(digits, []))


def test_the_same_seed_gives_the_same_bits(digits):
    states = []
    for _ in range(2):
        model, trainer = small_run(digits, epochs=1)
        trainer.fit()
        states.append(bits(model))
    assert states[0] == states[1]


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_memory_stays_level(digits, tmp_path, monkeypatch):
    """240 steps between the two looks, each with a checkpoint: a lost gradient each were 59 MB."""
    monkeypatch.setattr(run_module, "INTERVAL", 0.0)
    monkeypatch.setattr(os, "fsync", lambda number: None)  # only slow here
    pages = []

    def count(row):
        if row["epoch"] not in (20, 100):
            return
        gc.collect()  # slow where other tests have filled the heap
        with open("/proc/self/statm") as file:
            pages.append(int(file.read().split()[1]))

    train, val = Subset(digits, range(60)), Subset(digits, range(60, 80))
    trainer = Trainer(make("lenet"), train, val, epochs=100, batch_size=20)
    with Run.create(tmp_path / "run", RECIPE, ABOUT) as run:
        trainer.fit(Recorder(count), run)
    grown = (pages[1] - pages[0]) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 8e6, f"{grown:,} bytes more after 100 epochs than after 20"


# ---- what turns NaN --------------------------------------------------------------------------


def test_weights_that_are_nan_are_named_with_their_layer(digits):
    model, trainer = small_run(digits)
    model.features[0].weight.array[0] = np.nan
    with pytest.raises(
        AnomalyError,
        match=r"loss became nan in epoch 1, batch 1: Conv2d: forward gave .*\[LeNet.features.0\].*"
        r"not finite any more: features.0.weight; try a lower learning rate \(it was 0.00016\)",
    ):
        trainer.fit()


def test_a_learning_rate_that_is_too_high_names_op_and_layer(digits):
    _, trainer = small_run(digits, optimizer="sgd", schedule="constant", lr=1e30)
    with pytest.raises(AnomalyError, match=r"in epoch 1, batch \d+: \w+: .*\[LeNet\.\w+\.\d\]"):
        trainer.fit()


class Root(mc.autograd.Function):
    """A square root whose gradient at 0 is infinite: 1 / (2 y)."""

    @staticmethod
    def forward(ctx, x):
        ctx.y = np.sqrt(x)
        return ctx.y

    @staticmethod
    def backward(ctx, g):
        return g / (2 * ctx.y)


class Rooted(nn.Module):
    input_shape, background, ink = (1, 28, 28), 0.0, 1.0

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(784, 10, bias=False)

    def forward(self, x):
        return Root.apply(self.head(x.flatten(1)))


def test_a_gradient_that_is_infinite_stops_before_the_weights_are_spoilt():
    model = Rooted()
    before = bits(model)
    black = TensorDataset(mc.zeros(4, 1, 28, 28), mc.tensor([0, 1, 2, 3]))  # the root of 0
    trainer = Trainer(model, black, epochs=1)
    with pytest.raises(AnomalyError, match=r"a gradient became NaN or infinite .*Root: backward"):
        trainer.fit()
    assert bits(model) == before


def test_images_that_are_nan_are_said_to_be(digits):
    images = mc.zeros(4, 1, 28, 28)
    images[2, 0, 3, 4] = float("nan")
    trainer = Trainer(make("lenet"), TensorDataset(images, mc.tensor([0, 1, 2, 3])), epochs=1)
    with pytest.raises(AnomalyError, match="the images of the batch hold NaN"):
        trainer.fit()


def test_a_large_but_finite_gradient_is_no_anomaly(digits):
    _, trainer = small_run(digits)
    for p in trainer.parameters.values():
        p.grad = mc.full(p.shape, 1e30)  # its square overflows
    with np.errstate(over="ignore"):
        assert not trainer._overflowed()


# ---- stopping and going on -------------------------------------------------------------------


class Memory:
    """Checkpoints kept in memory, each as `minicnn.save` would write it."""

    def __init__(self):
        self.states, self.epochs = [], 0

    def step(self, trainer):
        """Keeps nothing."""

    def epoch(self, trainer):
        self.epochs += 1

    def save(self, trainer):
        import io

        file = io.BytesIO()
        mc.save(trainer.state_dict(), file)
        file.seek(0)
        self.states.append(mc.load(file))


class StopAt(View):
    """Sends this process a signal at one step, or in one validation."""

    def __init__(self, epoch, batch, number=signal.SIGTERM):
        self.where, self.number = (epoch, batch), number

    def batch(self, now):
        if (now["epoch"], now["batch"]) == self.where:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", [(1, 1), (2, 5), (2, 12), (3, 12)])
def test_a_stopped_training_goes_on_to_the_same_bits(digits, where, number):
    model, trainer = small_run(digits)
    trainer.fit()
    whole, history = bits(model), trainer.history

    if signal.getsignal(number) is signal.SIG_IGN:  # as under nohup
        signal.signal(number, signal.SIG_DFL)
    before = signal.getsignal(number)
    model, trainer = small_run(digits)
    kept = Memory()
    with pytest.raises(Stopped) as stop:
        trainer.fit(StopAt(*where, number), kept)
    assert stop.value.signal == number
    assert signal.getsignal(number) is before
    (state,) = kept.states
    assert state["position"][:2] == list(where)

    mc.manual_seed(99)
    model, trainer = small_run(digits)
    mc.rand(3)  # anything else may have been drawn
    trainer.load_state_dict(state)
    trainer.fit(checkpoints=kept)
    assert bits(model) == whole
    for ours, theirs in zip(trainer.history, history, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_second_signal_ends_at_once(digits):
    _, trainer = small_run(digits)
    kept = Memory()

    class Twice(View):
        def batch(self, now):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second signal did not end it")

    with pytest.raises(Stopped) as stop:
        trainer.fit(Twice(), kept)
    assert stop.value.at_once
    assert kept.states == []


def test_a_signal_that_was_ignored_stays_ignored(digits):
    _, trainer = small_run(digits, epochs=1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer.fit(StopAt(1, 3, signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert trainer.finished


def test_training_in_a_thread_works(digits):
    _, trainer = small_run(digits, epochs=1)
    thread = threading.Thread(target=trainer.fit)
    thread.start()
    thread.join()
    assert trainer.finished


def test_a_state_of_another_training_is_refused(digits):
    _, trainer = small_run(digits)
    state = trainer.state_dict()
    with pytest.raises(StateDictError, match=r"saved was a training of 3 epochs of 12 batches, "):
        small_run(digits, epochs=4)[1].load_state_dict(state)
    other = Trainer(make("lenet5"), trainer.train, trainer.val, epochs=3, batch_size=50)
    with pytest.raises(StateDictError, match="LeNet5"):
        other.load_state_dict(state)


# ---- the run folder --------------------------------------------------------------------------


def test_a_run_folder_can_be_read_back(digits, tmp_path):
    model, trainer = small_run(digits, epochs=1)
    with Run.create(tmp_path / "a" / "b", RECIPE, ABOUT) as run:
        trainer.fit(checkpoints=run)
    path = tmp_path / "a" / "b" / "best.safetensors"
    again = make(load_metadata(path)["model"])
    again.load_state_dict(load_file(path))
    images = fetch(digits, range(3))[0]
    assert mc.equal(model(images), again(images))
    with open(tmp_path / "a" / "b" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HISTORY
    assert float(rows[0]["val_acc_all"]) == trainer.history[0]["val_acc_all"]


def test_checkpoints_come_when_they_are_due(digits, tmp_path, monkeypatch):
    _, trainer = small_run(digits, epochs=1)
    now, saved = [0.0], []
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])
    with Run.create(tmp_path / "run", RECIPE, ABOUT) as run:
        monkeypatch.setattr(run_module, "save", lambda state, path: saved.append(now[0]))
        for second in (10, 29, 30, 59, 61, 90):
            now[0] = float(second)
            run.step(trainer)
    assert saved == [30, 61]


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    Run.create(tmp_path / "run", RECIPE, ABOUT).close()
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(DataError, match=r"holds a run already; continue it with `minicnn train "):
        Run.create(tmp_path / "run", RECIPE, ABOUT)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_folder_in_use_is_refused_until_it_is_free(tmp_path):
    with (
        Run.create(tmp_path / "run", RECIPE, ABOUT),
        pytest.raises(DataError, match=rf"in use by another process \(number {os.getpid()}\)"),
    ):
        Run.open(tmp_path / "run")
    Run.open(tmp_path / "run").close()


def test_what_a_killed_save_left_is_removed(tmp_path):
    Run.create(tmp_path / "run", RECIPE, ABOUT).close()
    (tmp_path / "run" / ".minicnn-0123.tmp").write_bytes(b"half")
    Run.open(tmp_path / "run").close()
    assert not list((tmp_path / "run").glob("*.tmp"))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"recipe": 3}', '{"recipe": {}}', "[" * 10**5, '"\\ud800"', " " * 2**21],
)
def test_a_damaged_config_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json: expected the description of a run") as e:
        Run.open(tmp_path)
    assert "\n" not in str(e.value)


def test_a_checkpoint_of_another_training_is_one_line(digits, tmp_path):
    _, trainer = small_run(digits)
    with Run.create(tmp_path / "run", RECIPE, ABOUT) as run:
        run.save(trainer)
        other = Trainer(make("lenet5"), trainer.train, trainer.val, epochs=3, batch_size=50)
        for wrong in (other, small_run(digits, optimizer="sgd")[1], small_run(digits, epochs=9)[1]):
            with pytest.raises(DataError, match=r"checkpoint.safetensors: expected a chec") as e:
                run.load(wrong)
            assert "\n" not in str(e.value)
        mc.save({"model": 3, "recipe": RECIPE}, run.folder / "checkpoint.safetensors")
        with pytest.raises(DataError, match=r"does not fit it \(Trainer.*: state: expected "):
            run.load(trainer)


FULL_DISK = """
import resource, sys
from minicnn.training import Recipe, run, train
run.INTERVAL = 0.0
class View(__import__("minicnn.training.progress").training.progress.View):
    def batch(self, now):
        if now["batch"] == 3:  # from here on no file may be longer than 10,000 bytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from minicnn.cli import main
import minicnn.training.workflow as workflow
workflow.pick = View
sys.argv = ["minicnn", "train", "--limit", "200", "--batch-size", "20", "--out", sys.argv[1]]
main()
"""


def test_a_full_disk_is_an_error_and_damages_nothing(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "run"], capture_output=True, text=True
    )
    assert out.returncode == 1, out.stderr
    assert "checkpoint.safetensors: cannot be written: File too large" in out.stderr
    assert len(out.stderr.splitlines()) == 1
    state = mc.load(tmp_path / "run" / "checkpoint.safetensors")
    assert state["position"][:2] == [1, 2]
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_killed_trainings_end_with_the_same_bits():
    """A tenth of `python tests/programs/crash.py`, with a seed of its own."""
    done = crash(kills=10, seed=1)
    assert sum(done.values()) == 10
    assert sum(n > 0 for n in done.values()) >= 4


def test_the_judge_of_crashes_sees_one_bit(digits, tmp_path):
    _, trainer = small_run(digits, epochs=1)
    with Run.create(tmp_path / "run", RECIPE, ABOUT) as run:
        run.save(trainer)
        first = final_state(run.folder)
        weight = trainer.optimizer.param_groups[0]["params"][0].array
        weight.view(np.int32).flat[0] ^= 1
        run.save(trainer)
        assert final_state(run.folder) != first


@pytest.fixture
def stopped(tmp_path):
    """A run on a folder's own data, stopped in its second epoch."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (90, 28, 28), np.uint8), "y_train": np.arange(90) % 3,
        "x_test": rng.integers(0, 256, (30, 28, 28), np.uint8), "y_test": np.arange(30) % 3,
    }  # fmt: skip
    np.savez(tmp_path / "noise.npz", **arrays)
    recipe = Recipe(data=str(tmp_path / "noise.npz"), epochs=2, batch_size=10)
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", StopAt(2, 3))
    return tmp_path / "run", arrays


def test_a_stopped_run_goes_on(stopped):
    outcome = resume(stopped[0], Recorder())
    assert outcome.trainer.finished
    assert repr(outcome).startswith(f"Outcome({str(stopped[0])!r}, test accuracy ")
    assert repr(outcome.scores).startswith("Scores(30 samples, accuracy ")


def test_paths_to_the_data_lead_there_from_any_folder(stopped, tmp_path, monkeypatch):
    recipe = Recipe(data="noise.npz", epochs=1)
    monkeypatch.chdir(tmp_path)
    train(recipe, "second", Recorder())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(tmp_path / "second", Recorder()).trainer.finished
    assert Recipe(data="fashion-mnist").located().data_root == str(tmp_path / "elsewhere" / "data")
    assert Recipe(data="fashion-mnist", data_root="~/d").located().data_root == str(
        Path("~/d").expanduser()
    )
    assert Recipe().located() == Recipe()


@pytest.mark.parametrize(
    ("option", "value"), [("seed", 5), ("lr", 0.1), ("schedule", "cosine"), ("limit", 80)]
)
def test_a_recipe_changed_by_hand_is_noticed(stopped, option, value):
    path = stopped[0] / "config.json"
    config = json.loads(path.read_text())
    config["recipe"][option] = value
    path.write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"checkpoint.safetensors: .*\(its recipe is another\)"):
        resume(stopped[0], Recorder())


def test_data_that_changed_is_noticed(stopped, tmp_path):
    stopped[1]["x_train"] = 255 - stopped[1]["x_train"]
    np.savez(tmp_path / "noise.npz", **stopped[1])
    with pytest.raises(DataError, match=r"config.json: the data is not what it was .*: other crc"):
        resume(stopped[0], Recorder())


@pytest.mark.parametrize("phase", ["score", "write_scores"])
def test_a_signal_after_the_last_epoch_is_obeyed_too(tmp_path, monkeypatch, phase):
    real, notes, view = getattr(workflow, phase), [], Recorder()
    view.note = notes.append

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(workflow, phase, interrupted)
    with pytest.raises(Stopped):
        train(Recipe(limit=100, epochs=1), tmp_path / "run", view)
    assert notes[-1] == (
        "stopped after the last of 1 epochs, in the test; continue with: minicnn train --resume "
        f"{tmp_path / 'run'}"
    )
    monkeypatch.undo()
    resume(tmp_path / "run", view)
    assert (tmp_path / "run" / "filters.png").exists()


def test_a_second_signal_promises_only_what_is_saved(tmp_path):
    notes = []

    class Twice(StopAt):
        def note(self, text):
            notes.append(text)

        def batch(self, now):
            super().batch(now)
            super().batch(now)

    with pytest.raises(Stopped):
        train(Recipe(limit=300, epochs=3), tmp_path / "a", Twice(1, 2))
    assert notes[-1] == f"stopped before the first checkpoint: nothing is saved in {tmp_path / 'a'}"
    with pytest.raises(Stopped):
        train(Recipe(limit=300, epochs=3), tmp_path / "b", Twice(2, 2))
    assert notes[-1].startswith("stopped in epoch 2 of 3 after 0 of 5 steps; continue with: ")


# ---- recipes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"epochs": 0}, ArgumentError, "epochs must be 1 or more, not 0"),
        ({"batch_size": -1}, ArgumentError, "batch_size must be 1 or more"),
        ({"val_share": 1.0}, ArgumentError, "val_share must be from 0 to below 1"),
        ({"limit": 19}, ArgumentError, "limit must be 0 or at least 20"),
        ({"model": "resnet"}, ArgumentError, "model 'resnet' is not one of lenet, lenet5"),
        ({"data": "kuzushiji"}, ArgumentError, "mnist, fashion-mnist, cifar10"),
        ({"model": "lenet-colour"}, ShapeError, r"ColourLeNet takes images of \(3, 32, 32\)"),
    ],
)
def test_a_recipe_that_cannot_be_built_says_why(values, error, message):
    with pytest.raises(error, match=message):
        Recipe(**values).build()


@pytest.mark.parametrize(
    "values",
    [
        {"depth": 3},
        {"epochs": "10"},
        {"epochs": True},
        {"lr": "fast"},
        {"model": None},
        {"graph": 1},
        {"val_share": None},
        {"kernels": 1},
    ],
)
def test_a_recipe_from_a_file_is_checked(values):
    with pytest.raises(DataError, match=r"recipe: \w+="):
        Recipe.from_dict(values)


def test_a_recipe_survives_its_file():
    recipe = Recipe(model="lenet5", lr=0.1, val_share=0)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.__dict__))) == recipe


def test_a_run_of_version_0_1_goes_on(stopped):
    """Its recipe says nothing of kernels."""
    state = mc.load(stopped[0] / "checkpoint.safetensors")
    config = json.loads((stopped[0] / "config.json").read_text())
    for recipe in (state["recipe"], config["recipe"]):
        del recipe["kernels"]
    mc.save(state, stopped[0] / "checkpoint.safetensors")
    (stopped[0] / "config.json").write_text(json.dumps(config))
    assert resume(stopped[0], Recorder()).trainer.finished


# ---- which kernels ---------------------------------------------------------------------------


@pytest.fixture
def which_kernels(monkeypatch):
    """A view, and the kernels that served while it looked on."""
    monkeypatch.setattr(mc.kernels, "_chosen", mc.kernels._chosen)
    seen = []
    return Recorder(lambda row: seen.append(mc.kernels.which("conv2d"))), seen


@pytest.mark.parametrize("name", ["reference", "crosscheck", "numba"])
def test_a_run_names_its_kernels(which_kernels, tmp_path, name):
    view, seen = which_kernels
    train(Recipe(kernels=name, limit=40, epochs=1), tmp_path / "run", view)
    assert seen == [name]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]["kernels"] == name


def test_a_run_goes_on_with_its_kernels_or_those_named(which_kernels, tmp_path):
    view, seen = which_kernels
    recipe = Recipe(kernels="reference", limit=40, epochs=3, batch_size=20)
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", StopAt(1, 1))
    mc.kernels.use("numba")
    view.batch = StopAt(2, 1).batch
    with pytest.raises(Stopped):
        resume(tmp_path / "run", view)
    notes = []
    view.note = notes.append
    resume(tmp_path / "run", view, kernels="crosscheck")
    assert seen == ["reference", "crosscheck", "crosscheck"]
    assert "begun on another machine, device or versions, or with other kernels" in notes[1]


def test_a_training_leaves_the_kernels_as_they_were_chosen(which_kernels, tmp_path):
    view, _ = which_kernels
    mc.kernels.use("crosscheck")
    recipe = Recipe(kernels="reference", limit=40, epochs=2, batch_size=20)
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", StopAt(1, 1))
    assert mc.kernels.which("conv2d") == "crosscheck"
    resume(tmp_path / "run", view, kernels="numba")
    assert mc.kernels.which("conv2d") == "crosscheck"


def test_only_where_and_how_it_runs_may_be_another(stopped):
    with pytest.raises(ArgumentError, match="takes the recipe from the run folder; leave out lr"):
        resume(stopped[0], Recorder(), lr=0.1)
    with pytest.raises(ArgumentError, match="kernels 'fast' is not one of reference, numba, cro"):
        resume(stopped[0], Recorder(), kernels="fast")


def test_new_runs_get_new_folders(tmp_path):
    recipe = Recipe(data="some/where/digits.npz")
    assert default_folder(recipe, tmp_path).name == "lenet-digits-1"
    (tmp_path / "lenet-digits-1").mkdir()
    assert default_folder(recipe, tmp_path).name == "lenet-digits-2"

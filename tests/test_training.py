"""Training and its command: what is computed, what is kept, what the last lines and errors say."""

import csv
import math
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import minicnn as mc
from minicnn import nn
from minicnn.cli import app
from minicnn.data import Subset, TensorDataset
from minicnn.datasets import MNIST
from minicnn.errors import AnomalyError
from minicnn.models import make, prepare
from minicnn.serialization import load_file, load_metadata
from minicnn.training import HISTORY, Trainer, evaluate, save_run


@pytest.fixture(scope="module")
def digits():
    return MNIST(train=True)


class Fixed(nn.Module):
    """Logits that do not depend on the image, but on its first pixel."""

    input_shape, background, ink = (1, 2, 2), 0.0, 1.0

    def forward(self, x):
        assert not self.training
        assert not mc.is_grad_enabled()
        first = x[:, 0, 0, 0]
        return mc.stack([first, 1 - first], dim=1)


def test_evaluate_counts_and_averages_over_unequal_batches():
    images = mc.zeros(5, 1, 2, 2)
    images[:2, 0, 0, 0] = 1.0
    labels = mc.tensor([0, 1, 1, 1, 0])  # right: 0, 2, 3
    model = Fixed()
    loss, accuracy = evaluate(model, TensorDataset(images, labels), batch_size=2)
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert accuracy == 3 / 5
    assert loss == pytest.approx((3 * right + 2 * wrong) / 5, rel=1e-6)
    assert model.training


def small_run(digits, **options):
    mc.manual_seed(1)
    model = make("lenet")
    train, val = Subset(digits, range(600)), Subset(digits, range(600, 800))
    trainer = Trainer(model, train, val, **({"epochs": 3, "batch_size": 50} | options))
    return model, trainer


def test_training_learns_and_keeps_the_best_epoch(digits):
    model, trainer = small_run(digits)
    seen, rows = [], []
    trainer.fit(seen.append, rows.append)
    assert rows == trainer.history
    assert all(tuple(row) == HISTORY for row in rows)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss_all"] < 0.6 * rows[0]["train_loss_all"]
    assert len(seen) == 3 * 12
    assert seen[-1]["batch"] == seen[-1]["batches"] == 12
    assert seen[-1]["loss"] == rows[-1]["train_loss_all"]
    best = max(rows, key=lambda row: (row["val_acc_all"], -row["val_loss_all"]))
    assert trainer.best == best
    assert evaluate(model, trainer.val) == (best["val_loss_all"], best["val_acc_all"])


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

    trainer.fit(on_epoch=spoil)
    assert trainer.best["epoch"] == 1
    for k, t in model.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), kept[k])


def test_the_same_seed_gives_the_same_bits(digits):
    states = []
    for _ in range(2):
        model, trainer = small_run(digits, epochs=1)
        trainer.fit()
        states.append(b"".join(t.numpy().tobytes() for t in model.state_dict().values()))
    assert states[0] == states[1]


def test_a_loss_that_turns_nan_stops_the_run(digits):
    model, trainer = small_run(digits)
    model.features[0].weight.array[0] = np.nan
    with pytest.raises(AnomalyError, match=r"loss became nan in epoch 1, batch 1; lower the"):
        trainer.fit()


def test_a_run_folder_can_be_read_back(digits, tmp_path):
    model, trainer = small_run(digits, epochs=1)
    trainer.fit()
    save_run(tmp_path / "a" / "b", trainer, "lenet")
    path = tmp_path / "a" / "b" / "best.safetensors"
    again = make(load_metadata(path)["model"])
    again.load_state_dict(load_file(path))
    images = prepare(model, mc.stack([digits[i][0] for i in range(3)]))
    assert mc.equal(model(images), again(images))
    with open(tmp_path / "a" / "b" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HISTORY
    assert float(rows[0]["val_acc_all"]) == trainer.history[0]["val_acc_all"]


# ---- the command -----------------------------------------------------------------------------


def command(*args):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *map(str, args)], capture_output=True, text=True
    )


def test_train_from_the_command_line(tmp_path):
    options = ("--limit", 300, "--epochs", 2, "--batch-size", 32, "--seed", 3)
    out = command("train", "--model", "lenet5", "--out", tmp_path / "run", *options)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines[0] == (
        "lenet5: 61,750 parameters; 270 images to train with, 30 to validate, 300 to test"
    )
    assert lines[1].startswith("epoch  1  loss ")
    assert lines[3].startswith("test accuracy ")
    assert "best on validation" in lines[3]
    assert lines[4] == f"weights and history are in {tmp_path / 'run'}"
    assert load_metadata(tmp_path / "run" / "best.safetensors") == {"model": "lenet5"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--model", "resnet"], 1, "minicnn: model 'resnet' is not one of lenet, lenet5"),
        (["--model", "lenet-colour"], 1, r"minicnn: ColourLeNet takes images of (3, 32, 32)"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--val-share", "1"], 2, "--val-share"),
        (["--speed", "9"], 2, "--speed"),
    ],
)
def test_wrong_arguments_are_one_line(args, code, message, tmp_path):
    out = command("train", "--limit", 100, "--out", tmp_path / "run", *args)
    assert out.returncode == code
    assert message in out.stderr
    assert "Traceback" not in out.stderr
    if code == 1:
        assert len(out.stderr.splitlines()) == 1


def test_an_out_folder_that_cannot_be_made_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    out = command("train", "--out", tmp_path / "file" / "run")
    assert out.returncode == 1
    assert "file" in out.stderr
    assert len(out.stderr.splitlines()) == 1


def test_help_names_the_models():
    out = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"})
    assert out.exit_code == 0
    assert "lenet5" in out.output

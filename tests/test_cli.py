"""The command line: what each command prints, exit codes, signals, and one line for each error."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import minicnn as mc
from minicnn import training
from minicnn.cli import app
from minicnn.datasets import MNIST
from minicnn.serialization import load_metadata


def command(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *map(str, args)], capture_output=True, text=True,
        **options,
    )  # fmt: skip


def one_line(out, code=1):
    """The error, which must be all there is."""
    assert out.returncode == code, out.stderr
    assert len(out.stderr.splitlines()) == 1, out.stderr
    return out.stderr.strip()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, output) of a short training."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ("--limit", 600, "--epochs", 3, "--batch-size", 20, "--seed", 3)
    return folder, command("train", "--model", "lenet5", "--out", folder, *options)


def test_train_says_what_it_does_and_fills_the_folder(trained):
    folder, out = trained
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines[0] == (
        "lenet5: 61,750 parameters; 540 images to train with, 60 to validate, 600 to test"
    )
    assert lines[1].startswith("epoch  1  loss ")
    assert re.match(r"test accuracy \d\d\.\d\d% with the weights of epoch \d \(best on", lines[4])
    assert lines[5] == f"weights, history and pictures are in {folder}"
    assert load_metadata(folder / "best.safetensors") == {"model": "lenet5"}
    names = {path.name for path in folder.iterdir()}
    assert names == set(
        ".lock config.json checkpoint.safetensors history.csv best.safetensors last.safetensors "
        "test.json curves.png confusion.png mistakes.png predictions.png filters.png".split()
    )
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"] == {
        "model": "lenet5", "data": "mnist", "data_root": None, "epochs": 3, "batch_size": 20,
        "optimizer": "adam", "schedule": "onecycle", "lr": None, "val_share": 0.1,
        "device": "cpu", "kernels": "numba", "seed": 3, "limit": 600, "graph": True,
    }  # fmt: skip
    assert config["versions"]["numpy"] == np.__version__
    assert len(config["classes"]) == 10


def test_a_finished_run_resumed_only_tests_again(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    before = {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
    out = command("train", "--resume", folder)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines[0] == f"{folder}: all 3 epochs are done; testing"
    assert lines[-2] == trained[1].stdout.splitlines()[4]
    assert {p.name: p.read_bytes() for p in folder.glob("*.safetensors")} == before


def test_test_gives_the_same_accuracy_each_class_and_predictions(trained):
    folder, out = trained
    accuracy = re.search(r"test accuracy (\S+)", out.stdout).group(1)
    lines = command("test", folder).stdout.splitlines()
    assert re.match(rf"loss \d\.\d+, accuracy {accuracy} of 600", lines[0])
    counts = np.bincount(MNIST(train=False).targets.numpy()[:600], minlength=10)
    for name, count, line in zip(MNIST.classes, counts, lines[1:11], strict=True):
        assert re.fullmatch(rf"  {name} *\d+\.\d\d% of {count}", line)
    assert lines[11].startswith("some predictions")
    assert len(re.findall(r"\d - ", lines[12])) >= 20
    shares = [float(line.split("%")[0].split()[-1]) for line in lines[1:11]]
    assert np.average(shares, weights=counts) == pytest.approx(float(accuracy[:-1]), abs=0.01)


def test_predict_reads_pictures_dark_on_light_or_not(trained, tmp_path):
    digits = MNIST(train=False)
    scores = training.score(training.load_model(trained[0])[0], mc.data.Subset(digits, range(50)))
    right = scores.predicted == scores.labels
    surest = int(np.where(right, scores.probabilities.max(1), 0).argmax())
    large = digits[surest][0].resize((140, 140))
    large.save(tmp_path / "light on dark.png")
    Image.eval(large, lambda x: 255 - x).convert("RGB").save(tmp_path / "dark on light.jpg")
    files = [tmp_path / "light on dark.png", tmp_path / "dark on light.jpg"]
    out = command("predict", trained[0], *files, "--top", 2)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines[0] == str(files[0])
    assert lines[3] == str(files[1])
    for best in (lines[1], lines[4]):
        assert best.startswith(MNIST.classes[scores.labels[surest]])
        assert "%" in best
    assert len(lines) == 6


def test_summary_models_and_datasets():
    runner = CliRunner()
    out = runner.invoke(app, ["summary", "lenet5"])
    assert out.exit_code == 0
    assert "122,304" in out.output  # connections of C1
    assert "61,750" in out.output
    out = runner.invoke(app, ["models"])
    for name in mc.models.MODELS if hasattr(mc, "models") else ("lenet", "alexnet"):
        assert name in out.output
    assert "58,299,082 parameters" in out.output
    out = runner.invoke(app, ["datasets"])
    for text in ("mnist", "fashion-mnist", "cifar10", "60,000", ".npz", "CC BY-SA 3.0"):
        assert text in out.output


def test_summary_shows_the_table_up_to_what_does_not_fit():
    out = command("summary", "lenet", "--size", "1x20x28")
    assert "head" in out.stdout
    assert "Conv2d" in out.stdout
    assert "linear: " in one_line(out) or "Linear" in one_line(out)
    assert "is not CxHxW" in command("summary", "lenet", "--size", "28x28").stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--model", "resnet"], 2, "minicnn: model 'resnet' is not one of lenet, lenet5"),
        (["--model", "lenet-colour"], 1, r"minicnn: ColourLeNet takes images of (3, 32, 32)"),
        (["--data", "kuzushiji"], 2, "minicnn: unknown data set 'kuzushiji': expected mnist, fas"),
        (["--data", "nowhere.npz"], 1, "nowhere.npz"),
        (["--optimizer", "lion"], 2, "minicnn: Trainer: optimizer 'lion' is not one of adam, "),
        (["--device", "cuda"], 1, "minicnn: "),
        (["--kernels", "fast"], 2, "kernels 'fast' is not one of reference, numba, crosscheck"),
        (["--limit", "7"], 2, "minicnn: limit must be 0 or at least 20, not 7"),
        (["--data", ""], 2, "minicnn: data must be a name or a path, not empty"),
        (["--data-root", "nowhere"], 1, "nowhere: expected MNIST's files there, found none"),
        (["--val-share", "0.001"], 2, "val_share 0.001 of 100 images leaves none to validate"),
        (["--lr", "nan"], 2, "--lr"),
        (["--resume", "nowhere"], 1, "nowhere/config.json: expected the description of a run"),
        (["--resume", "nowhere", "--epochs", "3"], 2, "leave out --epochs"),
        (["--resume", "nowhere", "--batch-size", "3"], 2, "leave out --batch-size"),
        (["--resume", "nowhere", "--kernels", "fast"], 2, "kernels 'fast' is not one of"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--val-share", "1"], 2, "--val-share"),
        (["--speed", "9"], 2, "--speed"),
    ],
)
def test_wrong_arguments_are_one_line(args, code, message, tmp_path):
    limit = () if "--resume" in args else ("--limit", 100)
    out = command("train", *limit, *args, cwd=tmp_path, env={**os.environ, "COLUMNS": "200"})
    assert out.returncode == code
    assert message in out.stderr
    assert "Traceback" not in out.stderr
    one_line(out, code)
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path):
    out = command("train", "--resume", tmp_path, "--debug")
    assert out.returncode == 1
    assert "Traceback" in out.stderr
    assert "DataError" in out.stderr


def test_an_out_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    out = command("train", "--limit", 100, "--out", tmp_path / "file" / "run")
    assert "file/run: cannot be written: Not a directory" in one_line(out)


def test_a_run_is_not_trained_into_twice(trained):
    out = command("train", "--limit", 100, "--out", trained[0])
    assert f"holds a run already; continue it with `minicnn train --resume {trained[0]}`" in (
        one_line(out)
    )


@pytest.mark.parametrize("name", ["best.safetensors", "config.json"])
def test_a_damaged_run_is_one_line_that_names_the_file(trained, tmp_path, name):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    for args in (["test", folder], ["predict", folder, folder / "curves.png"]):
        assert name in one_line(command(*args))


def test_weights_of_another_model_are_one_line(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["model"] = "lenet"
    (folder / "config.json").write_text(json.dumps(config))
    assert "best.safetensors: expected weights of a LeNet" in one_line(command("test", folder))
    out = command("train", "--resume", folder)
    assert "checkpoint.safetensors: expected a checkpoint of the training" in one_line(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_prints_the_line_that_resumes(number, tmp_path):
    args = ["--limit", "600", "--epochs", "400", "--batch-size", "20", "--out", str(tmp_path / "r")]
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "train", *args], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # the counts
    process.stdout.readline()  # the first epoch
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == ""
    last = out.splitlines()[-1]
    found = re.fullmatch(
        r"stopped in epoch (\d+) of 400 after (\d+) of 27 steps; continue with: "
        rf"minicnn train --resume {tmp_path}/r", last,
    )  # fmt: skip
    assert found, last
    state = mc.load(tmp_path / "r" / "checkpoint.safetensors")
    assert state["position"][:2] == [int(n) for n in found.groups()]


def test_a_reader_that_goes_away_does_not_stop_the_training(tmp_path):
    args = ["--limit", "300", "--epochs", "3", "--out", str(tmp_path / "r")]
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "train", *args], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert (tmp_path / "r" / "test.json").exists(), errors
    assert "Traceback" not in errors


def test_the_lock_of_a_killed_training_is_free_again(tmp_path):
    args = ["--limit", "600", "--epochs", "400", "--out", str(tmp_path / "r")]
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "train", *args], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.readline()
    out = command("test", tmp_path / "r")
    assert f"in use by another process (number {process.pid})" in one_line(out)
    process.kill()
    process.communicate()
    time.sleep(0.1)
    assert command("test", tmp_path / "r").returncode == 0


def test_help_and_version():
    runner = CliRunner()
    out = runner.invoke(app, ["train", "--help"], env={"COLUMNS": "200"})
    assert out.exit_code == 0
    assert "--resume" in out.output
    for field in fields(training.Recipe):
        assert f"--{field.name.replace('_', '-')} " in out.output
    for table in (training.OPTIMIZERS, training.SCHEDULES):
        assert ", ".join([*table][:-1]) + f" or {[*table][-1]}." in out.output
    assert command("--version").stdout == f"minicnn {mc.__version__}\n"
    out = command()
    assert out.returncode == 2
    assert "predict" in out.stdout

"""Kills a training at random moments, in the middle of saves too, and compares how it ends.

    python tests/programs/crash.py                 (100 kills, about 2 minutes)
    python tests/programs/crash.py --kills 10 --seed 3

A victim (a process of its own) trains a small model with dropout, batch normalisation and random
crops, saving a checkpoint at every chance.  It is killed by SIGKILL at a random moment, or kills
itself at a random place inside `replace_file`, or gets SIGTERM; then it is started again, until it
ends.  After each kill every file of the run folder must be whole.  In the end weights, optimiser,
schedule, random state and history must be the bits of a training that was never stopped.
"""

import argparse
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLACES = ("before", "half", "written", "replaced")  # in a save, where a victim kills itself
RECIPES = (("adam", "onecycle"), ("momentum", "cosine"), ("sgd", "step"), ("adamw", "constant"))


# ---- the victim ------------------------------------------------------------------------------


def victim(folder, number, suicide=None, saves=0):
    """Trains in folder, going on from its checkpoint; kills itself in save number `saves`."""
    from minicnn import manual_seed, serialization
    from minicnn.training import Run, Trainer, run

    run.INTERVAL = 0.0  # a checkpoint after every step
    if suicide:
        rehearse(serialization, suicide, int(saves))
    manual_seed(int(number))
    optimizer, schedule = RECIPES[int(number) % len(RECIPES)]
    train, val = data()
    trainer = Trainer(
        model(), train, val, epochs=3, batch_size=17, lr=0.01, optimizer=optimizer,
        schedule=schedule,
    )  # fmt: skip
    started = (Path(folder) / "config.json").exists()
    about = {"classes": ["0", "1", "2"], "shape": (1, 9, 8)}
    kept = Run.open(folder) if started else Run.create(folder, {"model": "small"}, about)
    with kept:
        kept.load(trainer)
        trainer.fit(checkpoints=kept)


def rehearse(serialization, place, saves):
    """Makes the saves-th replaced file the last thing that this process does."""
    count = 0
    replace, fsync = os.replace, os.fsync

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted_fsync(number):
        nonlocal count
        count += 1
        if count == saves:
            if place == "before":
                os.truncate(number, 0)
            elif place == "half":
                os.truncate(number, os.fstat(number).st_size // 2)
            if place != "replaced":
                die()
        fsync(number)

    def counted_replace(source, target):
        replace(source, target)
        if count == saves and place == "replaced":
            die()

    serialization.os.fsync, serialization.os.replace = counted_fsync, counted_replace


def model():
    """Something of everything that has a state of its own."""
    from minicnn import nn

    class Small(nn.Sequential):
        input_shape, background, ink = (1, 9, 8), 0.0, 1.0

    return Small(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(27, 3),
    )  # fmt: skip


def data():
    """Training and validation sets: noise with a bright quarter, cropped at random."""
    import numpy as np

    from minicnn import transforms
    from minicnn.autograd import Tensor
    from minicnn.data import TensorDataset
    from minicnn.data.dataset import Dataset, rows

    source = np.random.default_rng(0)
    labels = source.integers(0, 3, 150)
    images = source.random((150, 1, 9, 8), dtype=np.float32) * 0.6
    images[np.arange(150), 0, labels, 2 * labels] = 1.0
    crop = transforms.RandomCrop((9, 8), padding=1)

    class Cropped(Dataset):
        def __len__(self):
            return 120

        def __getitem__(self, i):
            return Tensor(crop.batch(images[i : i + 1])[0]), int(labels[i])

        def __getitems__(self, indices):
            where = rows(indices)
            return Tensor(crop.batch(images[where])), Tensor(labels[where])

    return Cropped(), TensorDataset(Tensor(images[120:]), Tensor(labels[120:]))


# ---- the judge -------------------------------------------------------------------------------


def start(folder, number, *more):
    command = [sys.executable, __file__, "victim", str(folder), str(number), *map(str, more)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(folder, number):
    process = start(folder, number)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def check_whole(folder):
    """Every file that is there can be read; only temporary files of the killed may be left."""
    from minicnn.serialization import load, load_file

    for path in folder.iterdir():
        if path.name == "config.json":
            json.loads(path.read_text())
        elif path.name == "history.csv":
            rows = csv.DictReader(path.read_text().splitlines())
            assert all(float(row["seconds"]) > 0 for row in rows)
        elif path.name == "checkpoint.safetensors":
            assert load(path)["position"][0] >= 1
        elif path.suffix == ".safetensors":
            assert load_file(path)
        else:
            assert path.name == ".lock" or path.name.endswith(".tmp"), path


def final_state(folder):
    """All of the checkpoint but the times, as plain values and bytes."""
    from minicnn.autograd import Tensor
    from minicnn.serialization import load

    def plain(x):
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items() if k != "seconds"}
        if isinstance(x, (list, tuple)):
            return [plain(v) for v in x]
        if isinstance(x, Tensor):
            return (x.shape, str(x.dtype), x.numpy().tobytes())
        return "nan" if isinstance(x, float) and math.isnan(x) else x

    state = load(folder / "checkpoint.safetensors")
    state["position"] = state["position"][:2]  # the third is seconds
    return plain(state)


def crash(kills, seed, report=print):
    """Runs trainings, in all killed `kills` times; returns how many kills of each kind."""
    chance = random.Random(seed)
    done = dict.fromkeys(("SIGKILL", "SIGTERM", *PLACES), 0)
    number = 0
    with tempfile.TemporaryDirectory() as parent:
        while sum(done.values()) < kills:
            number += 1
            whole, folder = Path(parent) / f"whole{number}", Path(parent) / f"killed{number}"
            began = time.monotonic()
            finish(whole, number)
            duration = time.monotonic() - began
            here = 0
            while here < 5 and sum(done.values()) < kills:  # kills of one training
                kind = attack(folder, number, chance, duration)
                if kind is None:
                    break
                done[kind] += 1
                here += 1
                check_whole(folder) if folder.exists() else None
            finish(folder, number)
            check_whole(folder)
            assert not list(folder.glob("*.tmp")), "temporary files are left"
            assert final_state(folder) == final_state(whole), f"training {number} ended otherwise"
            report(f"training {number}: killed {here} times, ended with the same bits")
    return done


def attack(folder, number, chance, duration):
    """Starts a victim and kills it; returns how, None if it ended before."""
    kind = chance.choice(("SIGKILL", "SIGKILL", "SIGTERM", *PLACES))
    if kind in PLACES:
        process = start(folder, number, kind, chance.randint(1, 12))
    else:
        process = start(folder, number)
        try:
            process.wait(chance.uniform(0.2, 0.9) * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(getattr(signal, kind))
    _, errors = process.communicate()
    if process.returncode == 0:
        return None
    expected = -signal.SIGTERM if kind == "SIGTERM" else -signal.SIGKILL
    stopped = kind == "SIGTERM" and "Stopped" in errors  # noted, saved, and raised
    assert process.returncode == expected or stopped, errors
    return kind


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    done = crash(options.kills, options.seed)
    print(f"{sum(done.values())} kills: " + ", ".join(f"{n} {kind}" for kind, n in done.items()))
    print("every final state is that of the training never stopped; no file was damaged")


if __name__ == "__main__":
    if sys.argv[1:2] == ["victim"]:
        victim(*sys.argv[2:])
    else:
        main()

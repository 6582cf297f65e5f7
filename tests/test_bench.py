"""minicnn bench: the statistics, who runs when, the work that is counted, and one short run."""

import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_run import standin_environment

import minicnn as mc
from minicnn import cli, models
from minicnn.bench import (
    GPU_JOBS,
    JOBS,
    contest,
    gpu,
    jobs,
    measure,
    measure_on_gpu,
    table,
    table_of_gpu,
    worker,
)
from minicnn.bench.contest import NUMPY, OURS, RIVALS, Turn, compare, environment, plan, run
from minicnn.bench.jobs import Job
from minicnn.datasets import MNIST
from minicnn.errors import ArgumentError, MinicnnError

SIDES = (OURS, *RIVALS)


def command(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", "bench", *args], capture_output=True, text=True,
        **options,
    )  # fmt: skip


# ---- statistics ----------------------------------------------------------------------------------


def test_a_ratio_is_of_the_best_processes_and_its_spread_of_neighbours():
    found = compare(ours=[2.0, 1.0, 4.0], theirs=[3.0, 6.0, 5.0])
    assert found == {"ratio": 3.0, "lowest_ratio": 1.25, "highest_ratio": 6.0}


def made_up(threads=2):
    """The report of a model whose processes took such times, and the results it is of."""
    work = Job("lenet-sigmoid", (50,), (), (50,))
    results = {
        (threads, "", ("sgemm", 0), "numpy"): [90e9, 100e9],
        (threads, "lenet-sigmoid", ("training", 50), "minicnn"): [0.004, 0.002],
        (threads, "lenet-sigmoid", ("training", 50), "torch"): [0.008, 0.006],
        (threads, "lenet-sigmoid", ("training", 50), "torch-tuned"): [0.003, 0.005],
    }
    for name, peak in (("minicnn", 200), ("torch", 500), ("torch-tuned", 300)):
        key = (threads, "lenet-sigmoid", ("memory", 50), name)
        results[key] = [{"import_bytes": 100_000_000, "peak_bytes": peak * 1_000_000}]
    return contest.report([work], SIDES, [threads], results)


def test_the_report_keeps_each_side_at_its_best():
    report = made_up()
    assert report["sgemm_flops"] == {"2": 100e9}
    (row,) = report["rows"]
    assert (row["threads"], row["model"], row["work"]) == (2, "lenet-sigmoid", "training")
    ours, plain, tuned = (row["sides"][side.name] for side in SIDES)
    assert ours["seconds"] == 0.002
    assert ours["medians"] == [0.004, 0.002]
    assert ours["examples_per_second"] == pytest.approx(25_000)
    assert row["share_of_sgemm"] == pytest.approx(25_000 * 2.26392e6 / 100e9)
    assert (plain["ratio"], plain["lowest_ratio"], plain["highest_ratio"]) == (3, 2, 3)
    assert (tuned["ratio"], tuned["lowest_ratio"], tuned["highest_ratio"]) == (1.5, 0.75, 2.5)
    (memory,) = report["memory"]
    assert memory["sides"]["torch"]["ratio"] == 2.5
    assert memory["sides"]["torch-tuned"]["ratio"] == 1.5


def test_the_table_is_aligned_markdown():
    about = {
        "versions": {"python": "3.11.7", "numpy": "2.4.6", "minicnn": "0.1.0", "torch": "2.13.0"},
        "kernels": "reference", "processor": "Abacus", "cores": 2, "rounds": 2,
    }  # fmt: skip
    lines = table(made_up() | about).splitlines()
    assert lines[0] == (
        "Abacus, 2 cores; minicnn 0.1.0 with reference kernels, NumPy 2.4.6, Python 3.11.7."
    )
    assert "best of 2 processes" in lines[1]
    assert lines[3] == "Examples/s, threads: 2 (sgemm: 100 GFLOP/s)."
    speed, memory = lines[5:8], lines[-3:]
    for rows in (speed, memory):
        bars = [[i for i, c in enumerate(line) if c == "|"] for line in rows]
        assert bars[0] == bars[1] == bars[2]
    assert speed[0].split(" | ")[:2] == ["| model        ", "work    "]
    assert [cell.strip() for cell in speed[2].split("|")[1:-1]] == [
        "lenet-sigmoid", "training", "50", "25,000", "2,000", "56.6%",
        "8,333", "3.00 (2.00 - 3.00)", "16,667", "1.50 (0.75 - 2.50)",
    ]  # fmt: skip
    assert [cell.strip() for cell in memory[2].split("|")[1:-1]] == [
        "lenet-sigmoid", "2", "50", "200 (100)", "500 (400)", "2.50", "300 (200)", "1.50"
    ]  # fmt: skip


class Clock:
    """Time that passes only while a step runs: as long as `lasts` says, the last one for ever."""

    def __init__(self, *lasts):
        self.now, self.lasts, self.steps = 0.0, list(lasts), 0

    def perf_counter(self):
        return self.now

    def step(self):
        self.steps += 1
        self.now += self.lasts.pop(0) if len(self.lasts) > 1 else self.lasts[0]


@pytest.mark.parametrize(
    ("lasts", "median", "steps"),
    [
        ((9.0, 5.0, 3.0, 0.25), 0.25, 1 + 2 + 4),  # compiling is in no median
        ((9.0, 0.5, 0.5, 2.0, 4.0, 3.0), 3.0, 1 + 2 + 3),  # three at least
        ((0.125,), 0.125, 1 + 2 + 8),
    ],
)
def test_a_cell_is_warm_and_takes_its_time(monkeypatch, lasts, median, steps):
    clock = Clock(*lasts)
    monkeypatch.setattr(worker, "time", clock)
    assert worker.median_seconds(clock.step, seconds=1.0) == median
    assert clock.steps == steps


# ---- who runs when, and how ----------------------------------------------------------------------


def test_sides_are_neighbours_in_an_order_that_turns():
    work = Job("lenet", (64, 32), (1,), (64,))
    turns = list(plan([work, JOBS["alexnet"]], SIDES, (1, 2), 3))
    assert turns[0] == Turn(NUMPY, 1, "", (("sgemm", 0),))
    timed = (("training", 64), ("training", 32), ("inference", 1))
    first = [turn for turn in turns if turn.threads == 1 and turn.cells == timed]
    assert first == [Turn(side, 1, "lenet", timed) for side in (*SIDES, *SIDES[::-1], *SIDES)]
    names = [turn.side.name for turn in turns if turn.threads == 1]
    there = ["minicnn", "torch", "torch-tuned"]
    assert names == [
        "numpy", *there, *there, *there,  # lenet, its memory, alexnet
        "numpy", *there[::-1], *there[::-1],
        "numpy", *there, *there,
    ]  # fmt: skip
    assert [turn.threads for turn in turns] == [1] * 24 + [2] * 24
    assert str(turns[1]) == "minicnn lenet, 1 thread"
    assert str(turns[-1]) == "torch-tuned alexnet, 2 threads"


def test_the_default_run_takes_minutes():
    turns = list(plan(jobs.chosen([], []), SIDES, (1, 2), contest.ROUNDS))
    assert contest.ROUNDS >= 3
    assert 4 < contest.minutes(turns, contest.SECONDS) < 8


def test_every_pool_gets_its_threads_and_only_the_tuned_side_another_malloc(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    for side in SIDES:
        found = environment(side, 3)
        for pool in ("OMP", "MKL", "OPENBLAS", "NUMBA", "MINICNN"):
            assert found[f"{pool}_NUM_THREADS"] == "3"
        malloc = {name for name in found if name.startswith("MALLOC_")}
        assert malloc == (
            {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"}
            if side.name == "torch-tuned"
            else set()
        )
        assert found["PATH"] == os.environ["PATH"]


def test_models_and_batches_are_chosen_once():
    assert [job.model for job in jobs.chosen([], [])] == ["lenet-sigmoid", "lenet-colour", "lenet"]
    assert jobs.chosen(["lenet", "lenet"], [2, 3, 2]) == [Job("lenet", (2, 3), (2, 3), (2, 3))]
    assert jobs.chosen(["alexnet"], []) == [JOBS["alexnet"]]


# ---- the work ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "training", "inference"),
    # FLOP that an earlier study of the same networks counted, with its number of digits.
    [
        ("lenet-sigmoid", 2.264e6, 0.833e6),
        ("lenet-colour", 12.08e6, 4.66e6),
        ("alexnet", 6.3e9, 2.1e9),
    ],
)
def test_the_work_for_an_example_is_the_published_one(model, training, inference):
    flop = jobs.flop_per_example(model)
    assert flop["training"] == pytest.approx(training, rel=0.01)
    assert flop["inference"] == pytest.approx(inference, rel=0.02)


def test_counting_the_work_prints_nothing(capsys):
    jobs.flop_per_example("lenet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["lenet-sigmoid", "lenet-colour", "lenet"])
def test_the_twin_is_the_same_network(name, rng):
    ours, theirs = models.make(name).double(), worker.twin(torch.nn, name).double()
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    with torch.no_grad():
        for p, q in pairs:
            q.copy_(torch.tensor(p.detach().numpy()))
    x, labels = rng.random((3, *ours.input_shape)), np.array([1, 0, 9])
    logits, expected = ours(mc.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    mc.nn.CrossEntropyLoss()(logits, mc.tensor(labels)).backward()
    torch.nn.CrossEntropyLoss()(expected, torch.tensor(labels)).backward()
    for p, q in pairs:
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6, atol=1e-12)


def test_the_twin_of_alexnet_has_its_layers():
    ours = models.make("alexnet")
    layers = [*ours.features, *ours.head]
    twin = worker.twin(torch.nn, "alexnet")
    assert [type(a).__name__ for a in layers] == [type(b).__name__ for b in twin]
    for a, b in zip(layers, twin, strict=True):
        for name in ("kernel_size", "stride", "padding", "p", "in_features", "out_features"):
            x, y = getattr(a, name, None), getattr(b, name, None)
            pair = isinstance(x, tuple) and isinstance(y, int)
            assert x == ((y, y) if pair else y), (name, a, b)
        shapes = [tuple(p.shape) for p in a.parameters()]
        assert shapes == [tuple(p.shape) for p in b.parameters()]


@pytest.mark.parametrize("name", list(JOBS))
def test_images_are_digits_of_the_models_size(name, tmp_path):
    data = np.load(jobs.write_data(Job(name, (70,)), tmp_path))
    images, labels = data["images"], data["labels"]
    digits = MNIST(train=False)
    assert images.dtype == np.float32
    assert images.shape[1:] == models.make(name).input_shape
    assert len(images) == len(labels) >= 70
    assert images.nbytes <= 16 << 20 or len(images) == 70
    assert (labels == digits.targets.numpy()[: len(labels)]).all()
    first, scale, edge = {"lenet": (0, 1, 0), "lenet-colour": (2, 1, 2), "alexnet": (1, 8, 2)}.get(
        name, (0, 1, 0)
    )
    for i, j in ((7, 9), (14, 14), (0, 27), (20, 13)):
        pixel = digits.data.numpy()[5, i, j] / np.float32(255)
        row, column = first + scale * i, first + scale * j
        where = images[5, :, row : row + scale, column : column + scale]
        assert (where == pixel).all()
    assert edge == 0 or not images[:, :, -edge:].any()
    assert images.max() == 1


def test_torchs_process_has_no_minicnn_in_it(tmp_path):
    data = jobs.write_data(Job("lenet", (2,)), tmp_path)
    task = {
        "framework": "torch", "tuned": True, "kernels": None, "model": "lenet", "data": data,
        "threads": 1, "cells": [["training", 2], ["inference", 2]], "seconds": 0.001,
        "device": "cpu",
    }  # fmt: skip
    code = (
        "import runpy, sys\n"
        f"sys.argv[1:] = [{json.dumps(task)!r}]\n"
        f"runpy.run_path({str(contest.WORKER)!r}, run_name='__main__')\n"
        "import torch\n"
        "print([m for m in sys.modules if m.startswith('minicnn')], torch.get_num_threads())\n"
    )
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert len(json.loads(lines[0])) == 2
    assert lines[1] == "[] 1"


def test_peak_memory_is_the_processs_own():
    """And not that of the process which started it, as getrusage says."""
    ours = np.ones(60_000_000)  # 480 MB
    code = (
        f"import runpy; w = runpy.run_path({str(contest.WORKER)!r}); before = w['peak_memory']()\n"
        "import numpy; numpy.ones(8_000_000); print(before, w['peak_memory']() - before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, more = map(int, out.stdout.split())
    assert 10e6 < before < 200e6
    assert 50e6 < more < 80e6
    assert ours[-1] == 1


# ---- the command ---------------------------------------------------------------------------------


def test_a_quick_run_beside_torch():
    args = ("--quick", "--models", "lenet", "--batch", "2", "--threads", "1")
    out = command(*args, "--against", "torch", "--kernels", "reference", "--json")
    assert out.returncode == 0, out.stderr
    told = out.stderr.splitlines()
    assert told[0].startswith("7 processes, about 0 min")
    assert told[1:3] == ["1 of 7: numpy sgemm, 1 thread", "2 of 7: minicnn lenet, 1 thread"]
    assert told[7] == "7 of 7: torch-tuned lenet memory, 1 thread"
    figures = json.loads(out.stdout)
    assert figures["versions"]["torch"] == metadata.version("torch")
    assert (figures["rounds"], figures["kernels"]) == (1, "reference")
    assert figures["sgemm_flops"]["1"] > 1e8
    assert [(row["work"], row["batch"]) for row in figures["rows"]] == [
        ("training", 2), ("inference", 2)
    ]  # fmt: skip
    for row in figures["rows"]:
        assert list(row["sides"]) == ["minicnn", "torch", "torch-tuned"]
        ours = row["sides"].pop("minicnn")
        assert ours["examples_per_second"] == 2 / ours["seconds"]
        share = row["flop_per_example"] * ours["examples_per_second"]
        assert row["share_of_sgemm"] == pytest.approx(share / figures["sgemm_flops"]["1"])
        for side in row["sides"].values():
            assert side["seconds"] == min(side["medians"])
            assert side["ratio"] == side["seconds"] / ours["seconds"]
            assert side["lowest_ratio"] == side["ratio"] == side["highest_ratio"]
    (memory,) = figures["memory"]
    for side in memory["sides"].values():
        assert 20e6 < side["import_bytes"] < side["peak_bytes"] < 4e9
    ratio = memory["sides"]["torch"]["peak_bytes"] / memory["sides"]["minicnn"]["peak_bytes"]
    assert memory["sides"]["torch"]["ratio"] == ratio


def test_a_quick_run_alone_prints_a_table():
    out = command("--quick", "--models", "lenet", "--batch", "1,3", "--threads", "1")
    assert out.returncode == 0, out.stderr
    assert "4 of 4: minicnn lenet memory, 1 thread" in out.stderr
    assert "PyTorch" not in out.stdout
    rows = [line for line in out.stdout.splitlines() if line.startswith("| lenet ")]
    figure = r"[\d,.]+ +"
    for row, work, batch in zip(
        rows, ["training"] * 2 + ["inference"] * 2, [1, 3, 1, 3], strict=False
    ):
        assert re.fullmatch(
            rf"\| lenet +\| {work} +\| +{batch} \| +{figure}\| +{figure}\| +[\d.]+% *\|", row
        )
    assert [row.split("|")[3].strip() for row in rows[4:]] == ["1", "3"]  # memory


def test_torch_that_is_not_installed_is_one_line(monkeypatch, capsys):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(contest.metadata, "version", version)
    monkeypatch.setattr(sys, "argv", ["minicnn", "bench", "--against", "torch", "--quick"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "minicnn: bench: PyTorch is not installed: pip install torch\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--against", "jax"], "minicnn: bench: against must be 'torch', not 'jax'"),
        (["--models", "lenet5"], "minicnn: bench: model 'lenet5' is not one of lenet-sigmoid, le"),
        (["--batch", "0"], "--batch"),
        (["--threads", "1;2"], "'1;2' is not N,N,..., as in 1,64"),
        (["--batch", "10001"], "bench: a batch holds 1 to 10,000 images, not 10,001"),
    ],
)
def test_wrong_arguments_are_one_line(args, message):
    out = command(*args, env={**os.environ, "COLUMNS": "200"})
    assert out.returncode == 2
    assert message in out.stderr
    assert len(out.stderr.splitlines()) == 1


def test_wrong_numbers_from_python():
    with pytest.raises(ArgumentError, match="must be whole numbers from 1 up"):
        measure(threads=[0])


def test_a_worker_that_fails_shows_its_last_line():
    out = command("--quick", "--models", "lenet", "--threads", "1", "--kernels", "fastest")
    assert out.returncode == 1
    last = out.stderr.splitlines()[-1]
    assert last.startswith("minicnn: bench: the worker failed (minicnn lenet, 1 thread): ")
    assert "'fastest' is not one of " in last
    assert "Traceback" not in out.stderr


def test_a_worker_that_is_killed_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(contest, "WORKER", tmp_path / "worker.py")
    contest.WORKER.write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(MinicnnError, match=r"failed \(torch lenet, 2 threads\): ended by SIGKILL"):
        run(Turn(RIVALS[0], 2, "lenet", (("training", 1),)), {})
    contest.WORKER.write_text("raise SystemExit(3)")
    with pytest.raises(MinicnnError, match="exit code 3"):
        run(Turn(RIVALS[0], 2, "lenet", (("training", 1),)), {})


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(so, seconds=5):
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_interrupt_ends_the_worker_too(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "bench", "--models", "lenet-colour", "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    while "minicnn lenet-colour" not in process.stderr.readline():
        pass
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 1)
    (number,) = children.read_text().split()
    assert is_running(number)
    process.send_signal(signal.SIGINT)  # to it alone; a terminal sends it to the worker too
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, errors) == ("", "")
    wait_until(lambda: not is_running(number))
    assert not list(tmp_path.iterdir())


# ---- on a GPU ------------------------------------------------------------------------------------

ALL = gpu.OURS + gpu.RIVALS
CELL = ("lenet-sigmoid", "training", 50)


def rounds_of(**sides):
    """What workers found: the seconds of each round, or why they found nothing."""
    return {
        (CELL, name.replace("_", "-")): [
            {"seconds": s, "bytes": int(s * 1e12)} if isinstance(s, float) else {"why": s}
            for s in found
        ]
        for name, found in sides.items()
    }


def made_up_on_gpu():
    results = rounds_of(
        minicnn=[0.004, 0.002], minicnn_graph=[0.0005, 0.001],
        torch=[0.008, 0.006], torch_graph=[0.003, "RuntimeError: no capture"],
    )  # fmt: skip
    return gpu.report([CELL], ALL, results)


def test_the_gpus_report_has_each_sides_best_and_three_ratios():
    (row,) = made_up_on_gpu()["rows"]
    assert (row["model"], row["work"], row["batch"]) == CELL
    assert row["sides"]["minicnn"] == {
        "medians": [0.004, 0.002], "seconds": 0.002, "bytes": 4_000_000_000,
        "examples_per_second": pytest.approx(25_000),
    }  # fmt: skip
    assert row["sides"]["torch-graph"] == {"why": "RuntimeError: no capture"}
    assert row["ratios"] == {
        "minicnn": {"torch": {"ratio": 3, "lowest_ratio": 2, "highest_ratio": 3}},
        "minicnn-graph": {"torch": {"ratio": 12, "lowest_ratio": 6, "highest_ratio": 16}},
    }
    results = rounds_of(minicnn=[0.004], minicnn_graph=[0.001], torch=[0.008], torch_graph=[0.002])
    (row,) = gpu.report([CELL], ALL, results)["rows"]
    assert row["ratios"]["minicnn-graph"]["torch-graph"]["ratio"] == 2
    assert "torch-graph" not in row["ratios"]["minicnn"]


def test_nothing_measured_on_the_gpu_is_an_error():
    results = rounds_of(minicnn=["A: b"], minicnn_graph=["C: d"])
    with pytest.raises(MinicnnError, match="bench: no step could be measured: A: b"):
        gpu.report([CELL], gpu.OURS, results)
    results = rounds_of(minicnn=[0.1], minicnn_graph=["C: d"])
    (row,) = gpu.report([CELL], gpu.OURS, results)["rows"]
    assert row["sides"]["minicnn-graph"] == {"why": "C: d"}
    assert row["ratios"] == {}


GPU = {
    "gpu": "Abacus 3000", "rounds": 2,
    "versions": {
        "python": "3.11.7", "numpy": "2.4.6", "minicnn": "0.1.0", "cupy": "14.2.0", "cuda": "13.0",
        "driver": "580.65.06", "torch": "2.13.0+cu130", "torch_cuda": "13.0",
    },
}  # fmt: skip


def test_the_gpus_table():
    text = table_of_gpu(made_up_on_gpu() | GPU)
    lines = text.splitlines()
    assert lines[0] == (
        "Abacus 3000, driver 580.65.06; minicnn 0.1.0, CuPy 14.2.0 with CUDA 13.0, NumPy 2.4.6, "
        "Python 3.11.7."
    )
    assert lines[1].startswith("PyTorch 2.13.0+cu130 with CUDA 13.0, eager as installed; ")
    assert "TF32 off; best of 2 processes each" in lines[2]
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if "lenet" in line]
    of = ["lenet-sigmoid", "training", "50"]
    assert rows == [
        [*of, "2,000", "500", "6,000", "-"],
        [*of, "25,000", "100,000", "8,333", "-"],
        [*of, "4,000", "1,000", "8,000", "-"],
        [*of, "3.00 (2.00 - 3.00)", "12.00 (6.00 - 16.00)"],
        [],  # the list of what is not measured
    ]
    assert re.search(r"\| +minicnn / PyTorch \| +minicnn, graph / PyTorch \|\n", text)
    assert lines[-3:] == [
        "Not measured:", "",
        "- PyTorch, graph, lenet-sigmoid, training, 50: RuntimeError: no capture",
    ]  # fmt: skip
    alone = gpu.report([CELL], gpu.OURS, rounds_of(minicnn=[0.1], minicnn_graph=[0.1]))
    versions = {k: v for k, v in GPU["versions"].items() if "torch" not in k}
    text = table_of_gpu(alone | GPU | {"versions": versions})
    assert "PyTorch" not in text
    assert "Not measured" not in text


def test_sides_on_the_gpu_take_turns():
    names = [side.name for i in range(2) for side in gpu.in_turn(ALL, i)]
    there = ["minicnn", "minicnn-graph", "torch", "torch-graph"]
    assert names == there + there[::-1]


def task_of(framework, device, graph=False, work="training"):
    return {
        "framework": framework, "device": device, "graph": graph, "tuned": False, "seconds": 0.0,
        "cells": [["lenet-sigmoid", work, 2]],
    }  # fmt: skip


@pytest.fixture
def digits(tmp_path):
    return {"data": {"lenet-sigmoid": jobs.write_data(Job("lenet-sigmoid", (2,)), tmp_path)}}


@pytest.mark.parametrize("work", ["training", "inference"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_minicnns_worker_on_the_gpu(standin, digits, monkeypatch, graph, work):
    free = iter([1000, 400])
    monkeypatch.setattr(mc.cuda, "mem_get_info", lambda: (next(free), 2000))
    (found,) = worker.on_gpu(mc, task_of("minicnn", "cuda", graph, work) | digits)
    assert "why" not in found, found
    assert 0 < found["seconds"] < 1
    assert found["bytes"] == 600


class Graph:
    """A CUDA graph without launches."""

    def replay(self):
        pass


@pytest.fixture
def torch_on_cpu(monkeypatch):
    """torch.cuda's functions that the worker calls, for tensors on the CPU."""
    called = []
    stream = types.SimpleNamespace(wait_stream=lambda other: called.append("wait"))
    for name, value in {
        "synchronize": lambda: called.append("synchronize"), "empty_cache": lambda: None,
        "mem_get_info": lambda: (5, 10), "CUDAGraph": Graph, "Stream": lambda: stream,
        "current_stream": lambda: stream, "stream": contextlib.nullcontext,
        "graph": contextlib.nullcontext,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    yield called
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


@pytest.mark.parametrize("work", ["training", "inference"])
def test_torchs_worker_eager(torch_on_cpu, digits, work):
    (found,) = worker.on_gpu(torch, task_of("torch", "cpu", False, work) | digits)
    assert 0 < found["seconds"] < 1
    assert found["bytes"] == 0
    assert "synchronize" in torch_on_cpu
    assert "wait" not in torch_on_cpu
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_torchs_worker_with_graphs(torch_on_cpu, digits):
    (found,) = worker.on_gpu(torch, task_of("torch", "cpu", True, "inference") | digits)
    assert 0 < found["seconds"] < 1
    assert torch_on_cpu.count("wait") == 2 * 2  # warm on a stream of its own, there and back
    assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32


def test_a_graph_that_does_nothing_has_no_time(torch_on_cpu, digits):
    (found,) = worker.on_gpu(torch, task_of("torch", "cpu", True) | digits)
    assert found == {"why": "RuntimeError: the steps did not change the weights"}


def test_weights_that_overflow_have_no_time():
    with pytest.raises(RuntimeError, match="became NaN or infinite"):
        worker.check_trained([1.0, 2.0], [1.0, float("nan")])
    worker.check_trained([1.0, 2.0], [1.0, 2.5])


def test_steps_on_a_gpu_are_timed_in_blocks(monkeypatch):
    """The host waits for the GPU once in 0.02 s: after 11 steps of 1/512 s."""
    clock = Clock(9.0, 1 / 512)
    waited = []
    library = types.SimpleNamespace(
        cuda=types.SimpleNamespace(synchronize=lambda: waited.append(clock.steps))
    )
    monkeypatch.setattr(worker, "time", clock)
    assert worker.seconds_on_gpu(library, clock.step, 0.06) == 1 / 512
    assert waited == [1, 2, 3, 14, 25, 36, 47]
    assert gc.isenabled()


def test_a_worker_that_dies_on_the_gpu_is_said_of_each_cell(monkeypatch, tmp_path):
    monkeypatch.setattr(contest, "WORKER", tmp_path / "worker.py")
    contest.WORKER.write_text("import os; os.kill(os.getpid(), 11)")
    found = gpu._run(ALL[1], {"cells": [CELL, CELL]})
    why = "bench: the worker failed (minicnn-graph): ended by SIGSEGV"
    assert found == [{"why": why}] * 2


def test_a_run_on_the_stand_in(tmp_path):
    out = command(
        "--device", "cuda", "--quick", "--models", "lenet-sigmoid", "--batch", "2", "--json",
        env=standin_environment(tmp_path),
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert out.stderr.splitlines()[1:] == ["minicnn", "minicnn-graph"]
    figures = json.loads(out.stdout)
    assert figures["gpu"] == "CPU stand-in"
    assert [(row["work"], row["batch"]) for row in figures["rows"]] == [
        ("training", 2), ("inference", 2)
    ]  # fmt: skip
    for row in figures["rows"]:
        for side in row["sides"].values():
            assert side["examples_per_second"] == 2 / side["seconds"]
    assert "How many times" not in table_of_gpu(figures)


def test_what_is_missing_for_a_gpu_is_one_line(tmp_path):
    """No GPU; and a PyTorch that has no CUDA, as the tests have it."""
    out = command("--device", "cuda", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert (out.returncode, out.stdout) == (1, "")
    assert out.stderr.startswith("minicnn: device 'cuda'")
    assert len(out.stderr.splitlines()) == 1
    if torch.version.cuda is None:
        args = ("--device", "cuda", "--against", "torch")
        out = command(*args, env=standin_environment(tmp_path))
        assert (out.returncode, out.stdout) == (1, "")
        assert out.stderr == (
            f"minicnn: bench: PyTorch {torch.__version__} has no CUDA; install a PyTorch built for "
            "CUDA (pytorch.org says how), or leave out --against\n"
        )


@pytest.mark.parametrize(
    ("code", "said", "message"),
    [
        (0, "2.13.0+cu130 13.0 True", None),
        (0, "2.13.0+cu130 13.0 False", "PyTorch 2.13.0+cu130 finds no GPU, though CuPy does"),
        (0, "2.13.0+cpu None False", "PyTorch 2.13.0+cpu has no CUDA; install"),
        (1, "ModuleNotFoundError: No module named 'torch'", "it is not installed: pip install"),
        (1, "ImportError: libcudart.so.13", "PyTorch cannot be used: ImportError: libcudart"),
    ],
)
def test_the_pytorch_beside_must_have_cuda(monkeypatch, code, said, message):
    done = subprocess.CompletedProcess([], code, said, said)
    monkeypatch.setattr(gpu.subprocess, "run", lambda *args, **options: done)
    if message is None:
        assert gpu._torch_versions() == {"torch": "2.13.0+cu130", "torch_cuda": "13.0"}
        return
    with pytest.raises(MinicnnError) as error:
        gpu._torch_versions()
    assert message in str(error.value)


def test_the_driver_is_asked_for_its_version(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.driver_version() is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    tool.chmod(0o755)
    assert gpu.driver_version() == "580.65.06"
    tool.write_text("#!/bin/sh\necho no devices\nexit 9\n")
    assert gpu.driver_version() is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--threads", "1"], "Invalid value for --threads: goes with --device cpu only"),
        (["--kernels", "numba"], "Invalid value for --kernels: goes with --device cpu only"),
        (["--models", "lenet"], "bench: model 'lenet' is not one of lenet-sigmoid, lenet-colour, "),
        (["--against", "jax"], "bench: against must be 'torch', not 'jax'"),
        (["--device", "tpu"], "Invalid value for --device: 'tpu' is not cpu or cuda"),
    ],
)
def test_wrong_arguments_for_a_gpu(monkeypatch, capsys, args, message):
    monkeypatch.setattr(sys, "argv", ["minicnn", "bench", "--device", "cuda", *args])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert f"minicnn: {message}" in capsys.readouterr().err


def test_wrong_numbers_for_a_gpu_from_python():
    with pytest.raises(ArgumentError, match="batch sizes must be whole numbers from 1 up"):
        measure_on_gpu(batches=[0])


def test_the_gpus_jobs_are_those_of_the_goals():
    assert GPU_JOBS["lenet-sigmoid"].training == (1, 64, 256, 1024)
    assert 128 in GPU_JOBS["alexnet"].training
    chosen = jobs.chosen([], [], GPU_JOBS, tuple(GPU_JOBS))
    assert chosen == list(GPU_JOBS.values())
    cells = [cell for job in chosen for cell in job.timed()]
    assert contest.ROUNDS * gpu._minutes(ALL, cells, gpu.SECONDS) < 3.5

"""Runs the workers in turn, and compares what they measured.

Two processes of the same framework on the same work differ, by up to a factor of two, so each
framework is started afresh in every round, next to its rivals, in an order that turns round by
round; a process gives the median of its steps, and a framework's time is that of its best process.
A ratio is PyTorch's time by minicnn's, and its spread goes from the lowest to the highest ratio of
neighbours in one round.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .. import kernels as kernel_contract
from ..errors import ArgumentError, MinicnnError
from ..training.run import versions
from .jobs import Cell, Job, chosen, flop_per_example, write_data

ROUNDS, SECONDS = 3, 0.5  # processes of each framework, and the time for each cell
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.02
POOLS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "MINICNN")  # each reads its _NUM_THREADS
TUNED = {  # freed memory stays in the process: minicnn.allocator does the same for minicnn
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
WORKER = Path(__file__).with_name("worker.py")


class Side(NamedTuple):
    """A framework, and how it runs.

    Tuned: with another allocator, and channels_last.  As a graph: every step one CUDA graph.
    """

    name: str
    framework: str
    tuned: bool = False
    graph: bool = False


OURS = Side("minicnn", "minicnn")
RIVALS = (Side("torch", "torch"), Side("torch-tuned", "torch", tuned=True))
NUMPY = Side("numpy", "numpy")  # measures the peak


class Turn(NamedTuple):
    """What one process does: a framework, a number of threads, and cells of one model."""

    side: Side
    threads: int
    model: str
    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        work = "" if self.cells[0][0] in ("training", "inference") else self.cells[0][0]
        named = " ".join(filter(None, (self.side.name, self.model, work)))
        return f"{named}, {self.threads} thread{'s' if self.threads > 1 else ''}"


Results = dict[tuple[int, str, Cell, str], list[Any]]
"""What was measured, one value a round, by threads, model, cell and name of the side."""


def measure(
    models: Sequence[str] = (),
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    *,
    against: str | None = None,
    kernels: str | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """Measures models in processes of their own, and tells on standard error how far it is.

    Parameters
    ----------
    models
        Names in JOBS; all but AlexNet if left out.
    batches
        Batch sizes of training, inference and memory; those of JOBS if left out.
    threads
        Numbers of threads; 1 and all cores if left out.
    against
        "torch" to run PyTorch beside, as installed and tuned.
    kernels
        A name for `minicnn.kernels.use`; what serves by default if left out.
    quick
        One round of a few steps: to see that it works, not how fast it is.

    Returns
    -------
    dict
        What `minicnn bench --json` prints; see `report`.

    Raises
    ------
    ArgumentError
        If a name or a number is none that can be measured.
    MinicnnError
        If PyTorch is not installed, or a worker fails.
    """
    jobs = chosen(models, batches, numbers=threads)
    threads = tuple(dict.fromkeys(threads)) or tuple(sorted({1, _cores()}))
    sides = (OURS, *_rivals(against))
    about = _machine(sides, kernels)
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    turns = list(plan(jobs, sides, threads, rounds))
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="minicnn-bench-") as folder:
        data = {job.model: write_data(job, Path(folder)) for job in jobs}
        tell(f"{len(turns)} processes, about {minutes(turns, seconds):.0f} min on a quiet machine")
        for number, turn in enumerate(turns, 1):
            tell(f"{number} of {len(turns)}: {turn}")
            task = {"data": data.get(turn.model), "kernels": kernels, "seconds": seconds}
            for cell, value in zip(turn.cells, run(turn, task), strict=True):
                key = (turn.threads, turn.model, cell, turn.side.name)
                results.setdefault(key, []).append(value)
    about |= {"rounds": rounds, "seconds_per_cell": seconds}
    return about | report(jobs, sides, threads, results)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rivals(against: str | None) -> tuple[Side, ...]:
    if not is_torch(against):
        return ()
    try:
        metadata.version("torch")
    except metadata.PackageNotFoundError:
        raise MinicnnError("bench: PyTorch is not installed: pip install torch") from None
    return RIVALS


def is_torch(against: str | None) -> bool:
    """Whether PyTorch runs beside; ArgumentError for anything else."""
    if against not in (None, "torch"):
        raise ArgumentError(f"bench: against must be 'torch', not {against!r}")
    return against is not None


def tell(text: str) -> None:
    """Says how far it is."""
    print(text, file=sys.stderr, flush=True)


# ---- who runs when -----------------------------------------------------------------------------


def plan(
    jobs: list[Job], sides: tuple[Side, ...], threads: Sequence[int], rounds: int
) -> Iterator[Turn]:
    """The processes in their order: neighbours do the same work on different sides.

    Memory has processes of its own, in the first round only: it hardly varies.
    """
    for n in threads:
        for i in range(rounds):
            yield Turn(NUMPY, n, "", (("sgemm", 0),))
            for job in jobs:
                yield from (Turn(side, n, job.model, job.timed()) for side in in_turn(sides, i))
                for batch in job.memory if i == 0 else ():
                    cells = (("memory", batch),)
                    yield from (Turn(side, n, job.model, cells) for side in in_turn(sides, i))


def in_turn(sides: tuple[Side, ...], i: int) -> tuple[Side, ...]:
    """The processes of round i, whose order turns from round to round."""
    return sides if i % 2 == 0 else sides[::-1]


def minutes(turns: list[Turn], seconds: float) -> float:
    """About how long they take: start, and for each cell warming up and at least three steps."""
    return sum(2.0 + len(turn.cells) * (0.2 + 1.5 * seconds) for turn in turns) / 60


def run(turn: Turn, task: dict[str, Any]) -> list[Any]:
    """What the worker of a turn prints: a value for each cell."""
    about = {"device": "cpu", "model": turn.model, "threads": turn.threads, "cells": turn.cells}
    return ask(turn.side, task | about, str(turn), environment(turn.side, turn.threads))


def ask(
    side: Side, task: dict[str, Any], turn: str, environment: dict[str, str] | None = None
) -> list[Any]:
    """What a worker of this side prints of its task; MinicnnError if it fails."""
    task = {**task, "framework": side.framework, "tuned": side.tuned, "graph": side.graph}
    out = subprocess.run(  # ends the worker when a signal ends us
        [sys.executable, "-P", str(WORKER), json.dumps(task)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if out.returncode:
        lines = out.stderr.strip().splitlines()
        ended = f"exit code {out.returncode}"
        if out.returncode < 0:
            ended = f"ended by {signal.Signals(-out.returncode).name}"
        raise MinicnnError(f"bench: the worker failed ({turn}): {lines[-1] if lines else ended}")
    return json.loads(out.stdout.splitlines()[-1])


def environment(side: Side, threads: int) -> dict[str, str]:
    """This process's variables, with those of every pool of threads; of malloc only the tuned's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    pools = {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS}
    return kept | pools | (TUNED if side.tuned else {})


# ---- what comes of it --------------------------------------------------------------------------


def report(
    jobs: list[Job], sides: tuple[Side, ...], threads: Sequence[int], results: Results
) -> dict[str, Any]:
    """Best processes, ratios and shares of the peak.

    Returns
    -------
    dict
        `sgemm_flops`
            FLOP/s of the fastest float32 product of two large matrices, by number of threads.
        `rows`
            threads, model, work, batch, flop_per_example, share_of_sgemm; and sides, by name:
            medians (seconds of a step, one a round), seconds (the best), examples_per_second;
            PyTorch's also ratio, lowest_ratio and highest_ratio.
        `memory`
            threads, model, batch; and sides, by name: import_bytes, peak_bytes; PyTorch's also
            ratio, of the peaks.
    """
    peaks = {n: max(results[n, "", ("sgemm", 0), NUMPY.name]) for n in threads}
    rows, memory = [], []

    def of_sides(n: int, model: str, cell: Cell) -> dict[str, list[Any]]:
        return {side.name: results[n, model, cell, side.name] for side in sides}

    for n in threads:
        for job in jobs:
            about = {"threads": n, "model": job.model}
            flop = flop_per_example(job.model)
            for work, batch in job.timed():
                row = {**about, "work": work, "batch": batch}
                speed = _speed(of_sides(n, job.model, (work, batch)), batch, flop[work], peaks[n])
                rows.append(row | speed)
            for batch in job.memory:
                sides_of = _memory(of_sides(n, job.model, ("memory", batch)))
                memory.append({**about, "batch": batch, "sides": sides_of})
    return {"sgemm_flops": {str(n): peaks[n] for n in threads}, "rows": rows, "memory": memory}


def _speed(rounds: dict[str, list[float]], batch: int, flop: float, peak: float) -> dict[str, Any]:
    """A row's figures from the medians of each side."""
    sides: dict[str, Any] = {}
    for name, medians in rounds.items():
        sides[name] = best_of(medians, batch)
        if name != OURS.name:
            sides[name] |= compare(rounds[OURS.name], medians)
    share = sides[OURS.name]["examples_per_second"] * flop / peak
    return {"flop_per_example": flop, "share_of_sgemm": share, "sides": sides}


def best_of(medians: list[float], batch: int) -> dict[str, Any]:
    """A side's figures from the medians of its processes."""
    best = min(medians)
    return {"medians": medians, "seconds": best, "examples_per_second": batch / best}


def compare(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """How many times as long theirs take: of the best rounds, and of the rounds' neighbours."""
    of_rounds = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "ratio": min(theirs) / min(ours),
        "lowest_ratio": min(of_rounds),
        "highest_ratio": max(of_rounds),
    }


def _memory(rounds: dict[str, list[dict[str, int]]]) -> dict[str, Any]:
    """Each side's bytes, and how many times ours a rival's peak is."""
    sides: dict[str, Any] = {name: dict(values[0]) for name, values in rounds.items()}
    for name, side in sides.items():
        if name != OURS.name:
            side["ratio"] = side["peak_bytes"] / sides[OURS.name]["peak_bytes"]
    return sides


def _machine(sides: tuple[Side, ...], kernels: str | None) -> dict[str, Any]:
    """What a reader of the figures asks: versions, kernels, processor, cores."""
    torch = {"torch": metadata.version("torch")} if len(sides) > 1 else {}
    return {
        "versions": versions() | torch,
        "kernels": kernels or kernel_contract.which("conv2d"),
        "processor": _processor(),
        "cores": _cores(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(": ")[2]
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

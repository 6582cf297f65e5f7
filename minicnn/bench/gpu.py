"""The contest on a GPU: minicnn and PyTorch, each launch by launch (eager) and as a CUDA graph.

As on the CPU, processes take turns, a side's time is that of its best process, and the spread of a
ratio is that of the rounds (contest.py).  A process does all models here, because its start is what
takes long.  What fails, as the capture of a graph may, leaves its reason in place of its figures.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import cuda
from ..arrays import import_cupy
from ..errors import MinicnnError
from ..training.run import versions
from .contest import Side, ask, best_of, compare, in_turn, is_torch, tell
from .jobs import GPU_JOBS, chosen, write_data

ROUNDS, SECONDS = 3, 0.3  # processes of each side, and the time for each cell
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.001

OURS = (Side("minicnn", "minicnn"), Side("minicnn-graph", "minicnn", graph=True))
RIVALS = (Side("torch", "torch"), Side("torch-graph", "torch", graph=True))
PAIRS = (("minicnn", "torch"), ("minicnn-graph", "torch"), ("minicnn-graph", "torch-graph"))

GPUCell = tuple[str, str, int]  # model, training or inference, batch size
GPUResults = dict[tuple[GPUCell, str], list[dict[str, Any]]]
"""What the workers found, one dict a round, by cell and name of the side: see worker.measured."""


def measure_on_gpu(*args: Any, **options: Any) -> dict[str, Any]:
    """The last figures of `rounds_on_gpu`."""
    *_, last = rounds_on_gpu(*args, **options)
    return last


def rounds_on_gpu(
    models: Sequence[str] = (),
    batches: Sequence[int] = (),
    *,
    against: str | None = None,
    quick: bool = False,
) -> Iterator[dict[str, Any]]:
    """Measures models of GPU_JOBS on the current GPU; the arguments are those of `measure`.

    PyTorch runs eager and with CUDA graphs.

    Yields
    ------
    dict
        What is known after each round: at the end what `minicnn bench --device cuda --json`
        prints; see `report`.

    Raises
    ------
    DeviceError
        If there is no GPU, or no CuPy.
    MinicnnError
        If PyTorch has no CUDA, or no step of minicnn could be measured; else as in `measure`.
    """
    jobs = chosen(models, batches, GPU_JOBS, tuple(GPU_JOBS))
    cells = [(job.model, *cell) for job in jobs for cell in job.timed()]
    sides = OURS + RIVALS if is_torch(against) else OURS
    machine = _machine(against)
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    results: GPUResults = {}
    with tempfile.TemporaryDirectory(prefix="minicnn-bench-") as folder:
        data = {job.model: write_data(job, Path(folder)) for job in jobs}
        task = {"device": "cuda", "data": data, "seconds": seconds, "cells": cells}
        for i in range(rounds):
            tell(f"round {i + 1} of {rounds}, about {_minutes(sides, cells, seconds):.1f} min")
            for side in in_turn(sides, i):
                tell(side.name)
                for cell, one in zip(cells, _run(side, task), strict=True):
                    results.setdefault((cell, side.name), []).append(one)
            about = {"rounds": i + 1, "seconds_per_cell": seconds}
            yield machine | about | report(cells, sides, results)


def _minutes(sides: Sequence[Side], cells: Sequence[GPUCell], seconds: float) -> float:
    """About how long a round takes: start, and for each cell warming up and the steps."""
    return len(sides) * (6.0 + len(cells) * (0.5 + 1.5 * seconds)) / 60


def _run(side: Side, task: dict[str, Any]) -> list[dict[str, Any]]:
    """A dict for each cell; if the process dies, each says why."""
    try:
        return ask(side, task, side.name)
    except MinicnnError as error:
        return [{"why": str(error)}] * len(task["cells"])


def report(cells: Sequence[GPUCell], sides: Sequence[Side], results: GPUResults) -> dict[str, Any]:
    """Best processes and ratios.

    Returns
    -------
    dict
        `rows`
            model, work, batch; sides, by name: medians (seconds of a step, one a round), seconds
            (the best), examples_per_second, bytes (of the GPU's memory, the most of a round), or
            only why, where a round failed; and ratios, by the names of both sides of a pair in
            PAIRS: ratio, lowest_ratio, highest_ratio.

    Raises
    ------
    MinicnnError
        If not one step of minicnn could be measured.
    """
    rows: list[dict[str, Any]] = []
    for cell in cells:
        model, work, batch = cell
        of_sides = {side.name: results[cell, side.name] for side in sides}
        rows.append({"model": model, "work": work, "batch": batch, **_row(batch, of_sides)})
    ours = [row["sides"][side.name] for row in rows for side in OURS]
    if all("why" in side for side in ours):
        raise MinicnnError(f"bench: no step could be measured: {ours[0]['why']}")
    return {"rows": rows}


def _row(batch: int, of_sides: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A cell's figures from the rounds of each side."""
    sides: dict[str, Any] = {}
    for name, rounds in of_sides.items():
        reasons = [one["why"] for one in rounds if "why" in one]
        if reasons:
            sides[name] = {"why": reasons[0]}
            continue
        medians = [one["seconds"] for one in rounds]
        sides[name] = best_of(medians, batch) | {"bytes": max(one["bytes"] for one in rounds)}
    timed = {name: side["medians"] for name, side in sides.items() if "why" not in side}
    ratios: dict[str, Any] = {}
    for ours, theirs in PAIRS:
        if ours in timed and theirs in timed:
            ratios.setdefault(ours, {})[theirs] = compare(timed[ours], timed[theirs])
    return {"sides": sides, "ratios": ratios}


# ---- the machine -------------------------------------------------------------------------------


def _machine(against: str | None) -> dict[str, Any]:
    """What a reader of the figures asks: the GPU, its driver, versions; or an error without it."""
    name = cuda.get_device_name()  # first: says what is missing
    cupy = import_cupy()
    runtime = cupy.cuda.runtime
    about = versions() | {
        "cupy": cupy.__version__, "cuda": _dotted(runtime.runtimeGetVersion()),
        "driver": driver_version() or f"for CUDA {_dotted(runtime.driverGetVersion())}",
    }  # fmt: skip
    if against is not None:
        about |= _torch_versions()
    return {"gpu": name, "versions": about}


def _dotted(version: int) -> str:
    """12040 is CUDA's way of writing 12.4."""
    return f"{version // 1000}.{version % 1000 // 10}"


def driver_version() -> str | None:
    """The driver's own version, if nvidia-smi is there to tell it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    out = subprocess.run(query, capture_output=True, text=True)
    return out.stdout.split("\n")[0].strip() or None if out.returncode == 0 else None


def _torch_versions() -> dict[str, str]:
    """PyTorch's, and its CUDA's; asked in a process of its own."""
    code = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    if out.returncode:
        last = (out.stderr.strip().splitlines() or ["?"])[-1]
        if last.startswith("ModuleNotFoundError"):
            last = "it is not installed: pip install torch"
        raise MinicnnError(f"bench: PyTorch cannot be used: {last}")
    version, with_cuda, available = out.stdout.split()[-3:]
    if with_cuda == "None":
        raise MinicnnError(
            f"bench: PyTorch {version} has no CUDA; install a PyTorch built for CUDA (pytorch.org "
            "says how), or leave out --against"
        )
    if available != "True":
        raise MinicnnError(
            f"bench: PyTorch {version} finds no GPU, though CuPy does: its CUDA {with_cuda} may "
            "need a newer driver; or leave out --against"
        )
    return {"torch": version, "torch_cuda": with_cuda}

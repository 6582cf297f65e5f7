"""The process that times one framework: a script that gets its task and prints its result in JSON.

It is started by its path, not with -m, so that PyTorch's process does not import minicnn (which
changes how memory is allocated).  Both frameworks run the same lines: the names are the same.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np

SGEMM = 1024  # rows and columns of the matrices that the peak is measured with
MEMORY_STEPS = 20

Step = Callable[[], object]


def main() -> None:
    """Does the task in the first argument, which contest.run writes."""
    task = json.loads(sys.argv[1])
    if task["framework"] == "numpy":
        print(json.dumps([sgemm_peak(task["seconds"])]))
        return
    library: Any = import_module(task["framework"])
    imported = peak_memory()
    if task["framework"] == "torch":
        library.set_num_threads(task["threads"])
    elif task["kernels"]:
        library.kernels.use(task["kernels"])
    data = np.load(task["data"])
    x, labels = library.from_numpy(data["images"]), library.from_numpy(data["labels"])
    if task["tuned"]:
        x = x.contiguous(memory_format=library.channels_last)
    results: list[Any] = []
    for work, batch in task["cells"]:
        batches = [
            (x[i : i + batch], labels[i : i + batch]) for i in range(0, len(x) - batch + 1, batch)
        ]
        step = step_of(library, model_of(library, task), work, cycle(batches))
        if work == "memory":
            for _ in range(MEMORY_STEPS):
                step()
            results.append({"import_bytes": imported, "peak_bytes": peak_memory()})
        else:
            results.append(median_seconds(step, task["seconds"]))
    print(json.dumps(results))


def step_of(library: Any, model: Any, work: str, batches: Iterator[Any]) -> Step:
    """One step of training (of memory too), or of inference, on the next batch."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)
    loss_function = library.nn.CrossEntropyLoss()

    def train() -> None:
        images, labels = next(batches)
        optimizer.zero_grad()
        loss_function(model(images), labels).backward()
        optimizer.step()

    def infer() -> None:
        with library.inference_mode():
            model(next(batches)[0])

    model.train(work != "inference")
    return infer if work == "inference" else train


def model_of(library: Any, task: dict[str, Any]) -> Any:
    """A new model of the framework."""
    if task["framework"] == "minicnn":
        return import_module("minicnn.models").make(task["model"])
    model = twin(library.nn, task["model"])
    return model.to(memory_format=library.channels_last) if task["tuned"] else model


def twin(nn: Any, name: str) -> Any:
    """PyTorch's model with the layers of minicnn's; nn is torch.nn."""
    if name == "alexnet":
        return nn.Sequential(
            nn.Conv2d(1, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
            nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10),
        )  # fmt: skip
    channels, first, second, padding = (3, 16, 32, 0) if name == "lenet-colour" else (1, 6, 16, 2)
    sigmoid = name == "lenet-sigmoid"
    act, pool = (nn.Sigmoid, nn.AvgPool2d) if sigmoid else (nn.ReLU, nn.MaxPool2d)
    between = [] if sigmoid else [act()]
    return nn.Sequential(
        nn.Conv2d(channels, first, 5, padding=padding), act(), pool(2),
        nn.Conv2d(first, second, 5), act(), pool(2), nn.Flatten(),
        nn.Linear(second * 25, 120), *between, nn.Linear(120, 84), *between, nn.Linear(84, 10),
    )  # fmt: skip


def median_seconds(step: Step, seconds: float) -> float:
    """The median time of a step, after those that compile it and warm up."""
    step()
    timed(step, seconds / 4, 2)
    gc.collect()
    gc.disable()
    median = statistics.median(timed(step, seconds, 3))
    gc.enable()
    return median


def timed(step: Step, seconds: float, least: int) -> list[float]:
    """The time of each step, for so long, and at least so many."""
    times: list[float] = []
    start = now = time.perf_counter()
    end = start + seconds
    while now < end or len(times) < least:
        start = time.perf_counter()
        step()
        now = time.perf_counter()
        times.append(now - start)
    return times


def sgemm_peak(seconds: float) -> float:
    """FLOP/s of NumPy's product of two float32 matrices, the fastest of some."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((SGEMM, SGEMM), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2 * SGEMM**3 / min(timed(lambda: np.matmul(a, b, out=out), seconds, 5))


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far.

    Not getrusage's ru_maxrss where Linux has something better: a process starts with its parent's.
    """
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()

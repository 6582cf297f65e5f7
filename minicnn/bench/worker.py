"""The process that times one framework: a script that gets its task and prints its result in JSON.

It is started by its path, not with -m, so that PyTorch's process does not import minicnn (which
changes how memory is allocated).  Both frameworks run the same lines: the names are the same, those
of CUDA graphs too.
"""

import gc
import json
import math
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
WARM_STEPS = 3  # before a step is captured in a CUDA graph: PyTorch's advice
BLOCK = 0.02  # seconds of steps between two times that the GPU is waited for

Step = Callable[[], object]


def main() -> None:
    """Does the task in the first argument, which contest.run writes."""
    task = json.loads(sys.argv[1])
    if task["framework"] == "numpy":
        print(json.dumps([sgemm_peak(task["seconds"])]))
        return
    library: Any = import_module(task["framework"])
    on_device = on_gpu if task["device"] == "cuda" else on_cpu
    print(json.dumps(on_device(library, task)))


# ---- on the CPU --------------------------------------------------------------------------------


def on_cpu(library: Any, task: dict[str, Any]) -> list[Any]:
    """A median of seconds for each cell of the task, or bytes where it is about memory."""
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
    return results


# ---- on a GPU ----------------------------------------------------------------------------------


def on_gpu(library: Any, task: dict[str, Any]) -> list[dict[str, Any]]:
    """What `measured` finds of each cell of the task, or why it found nothing."""
    library.backends.cuda.matmul.allow_tf32 = library.backends.cudnn.allow_tf32 = False
    library.backends.cudnn.benchmark = task["graph"]
    results: list[dict[str, Any]] = []
    for model, work, batch in task["cells"]:
        try:
            results.append(measured(library, {**task, "model": model}, work, batch))
        except Exception as error:  # the other cells may do well
            lines = str(error).strip().splitlines() or [""]
            results.append({"why": f"{type(error).__name__}: {lines[0]}"})
    return results


def measured(library: Any, task: dict[str, Any], work: str, batch: int) -> dict[str, Any]:
    """Seconds of a step, and the GPU's memory that it takes: weights, results, free blocks kept.

    The memory is what disappears from the GPU's free memory, so that it is the same figure of any
    framework; all is made twice, because the first time kernels are loaded too.
    """
    data = np.load(task["data"][task["model"]])
    images, labels = (
        library.from_numpy(data[name][:batch]).to(task["device"]) for name in ("images", "labels")
    )

    def make() -> tuple[Any, Step]:
        model = model_of(library, task).to(task["device"])
        return model, prepared(library, task, model, work, (images, labels))

    make()[1]()
    gc.collect()
    library.cuda.empty_cache()
    before, _ = library.cuda.mem_get_info()
    model, step = make()
    weights = fingerprint(model)
    seconds = seconds_on_gpu(library, step, task["seconds"])
    if work == "training":
        check_trained(weights, fingerprint(model))
    return {"seconds": seconds, "bytes": before - library.cuda.mem_get_info()[0]}


def prepared(library: Any, task: dict[str, Any], model: Any, work: str, batch: Any) -> Step:
    """A step on a batch that stays where it is, warm; of a graph, its replay."""
    fused = {"fused": True} if task["framework"] == "torch" and task["graph"] else {}
    step = step_of(library, model, work, cycle([batch]), **fused)
    if not task["graph"]:
        step()
        return step
    if task["framework"] == "torch":  # must be warm on another stream than the default one
        side = library.cuda.Stream()
        side.wait_stream(library.cuda.current_stream())
        with library.cuda.stream(side):
            repeat(step, WARM_STEPS)
        library.cuda.current_stream().wait_stream(side)
    else:
        repeat(step, WARM_STEPS)
    graph = library.cuda.CUDAGraph()
    with library.cuda.graph(graph):
        step()
    replay: Step = graph.replay
    return replay


def repeat(step: Step, times: int) -> None:
    """Takes the step so many times."""
    for _ in range(times):
        step()


def seconds_on_gpu(library: Any, step: Step, seconds: float) -> float:
    """The median time of a step among many, whose launches need not wait for one another.

    The host waits for the GPU once in a block of steps.
    """

    def block(steps: int) -> None:
        repeat(step, steps)
        library.cuda.synchronize()

    steps = math.ceil(BLOCK / min(timed(lambda: block(1), 0.0, 3)))
    return warm_median(lambda: block(steps), seconds, 1) / steps


def fingerprint(model: Any) -> list[float]:
    """The sums of the parameters."""
    return [p.detach().sum().item() for p in model.parameters()]


def check_trained(before: list[float], after: list[float]) -> None:
    """Refuses the time of steps that changed nothing, as of a graph without launches."""
    if before == after:
        raise RuntimeError("the steps did not change the weights")
    if not all(map(math.isfinite, after)):
        raise RuntimeError("the weights became NaN or infinite")


# ---- the work ----------------------------------------------------------------------------------


def step_of(library: Any, model: Any, work: str, batches: Iterator[Any], **options: bool) -> Step:
    """One step of training (of memory too), or of inference, on the next batch.

    The options are the optimiser's.
    """
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, **options)
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


# ---- measuring ---------------------------------------------------------------------------------


def median_seconds(step: Step, seconds: float) -> float:
    """The median time of a step, after those that compile it and warm up."""
    step()
    return warm_median(step, seconds, 2)


def warm_median(step: Step, seconds: float, least: int) -> float:
    """The median time of a step, after at least so many that warm up."""
    timed(step, seconds / 4, least)
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

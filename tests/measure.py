"""Prints the figures that the README quotes: import time, examples/s beside PyTorch's, overhead.

    python tests/measure.py            (about 90 s; needs the extra `test`)
    python tests/measure.py overhead   (5 s: the time of a training step outside the kernels)

The first two are paired: the two sides run in turn, each run a fresh process, so that a noisy
machine disturbs both alike.  Quote the ratios, not the absolute times.
"""

import os
import statistics
import subprocess
import sys
import time

BATCH = 64
MODELS = ("lenet", "lenet-sigmoid", "lenet-colour")


def seconds(code):
    cached = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as installed
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=cached)
    return time.perf_counter() - start


def import_time(runs=10):
    pairs = [(seconds("import numpy"), seconds("import minicnn")) for _ in range(runs + 1)][1:]
    for name, side in (("numpy", 0), ("minicnn", 1)):
        print(f"import {name:8s} {statistics.median(p[side] for p in pairs):.3f} s")
    more = statistics.median(b - a for a, b in pairs)
    print(f"minicnn costs {more:.3f} s more (median of {runs} pairs)")


def step_of(library, name):
    """A function that does one training step on a random batch."""
    import numpy as np

    shape = (3, 32, 32) if name == "lenet-colour" else (1, 28, 28)
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, *shape), dtype=np.float32)
    labels = rng.integers(0, 10, BATCH)
    if library == "minicnn":
        import minicnn as torch
        from minicnn.models import make

        model = make(name)
    else:
        import torch

        model = in_torch(torch.nn, name)
    x, t = torch.tensor(images), torch.tensor(labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_function = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss_function(model(x), t).backward()
        optimizer.step()

    return step


def in_torch(nn, name):
    channels, first, second, padding = (1, 6, 16, 2) if name != "lenet-colour" else (3, 16, 32, 0)
    act, pool = (nn.Sigmoid, nn.AvgPool2d) if "sigmoid" in name else (nn.ReLU, nn.MaxPool2d)
    between = [] if "sigmoid" in name else [act()]
    return nn.Sequential(
        nn.Conv2d(channels, first, 5, padding=padding), act(), pool(2),
        nn.Conv2d(first, second, 5), act(), pool(2), nn.Flatten(),
        nn.Linear(second * 25, 120), *between, nn.Linear(120, 84), *between, nn.Linear(84, 10),
    )  # fmt: skip


def worker(library, name, steps=60):
    """Prints the examples/s of the median step."""
    step, times = step_of(library, name), []
    for _ in range(steps + 10):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(BATCH / statistics.median(times[10:]))


def throughput(processes=3):
    print(f"\ntraining, batch {BATCH}, examples/s (median step, best of {processes} processes)")
    for name in MODELS:
        best = {"minicnn": 0.0, "torch": 0.0}
        for _ in range(processes):
            for library in best:
                command = [sys.executable, __file__, library, name]
                out = subprocess.run(command, capture_output=True, text=True, check=True)
                best[library] = max(best[library], float(out.stdout))
        ours, theirs = best.values()
        print(f"{name:14s} minicnn {ours:7,.0f}   torch {theirs:7,.0f}   ratio {ours / theirs:.2f}")


class Replayed:
    """Kernels that do nothing: after one real step they return what they returned then."""

    def __init__(self, kernels):
        self.results, self.next, self.kernels = [], None, kernels
        for name in ("forward", "backward", "call"):
            setattr(kernels, name, self.replaying(getattr(kernels, name)))

    def replaying(self, real):
        def kernel(*args):
            if self.next is None:
                self.results.append(real(*args))
                return self.results[-1]
            self.next = (self.next + 1) % len(self.results)
            return self.results[self.next - 1]

        return kernel


def overhead(name="lenet", epochs=3):
    """Prints the microseconds of a step of `minicnn train` that no kernel takes, and for what.

    Engine is what happens inside the model, the loss, backward and the optimiser: checks, tape,
    arrays made.  The rest is loading, prepare, loop, counting and logging.
    """
    import numpy as np

    import minicnn as mc
    from minicnn import kernels
    from minicnn.datasets import MNIST
    from minicnn.models import make
    from minicnn.training import Trainer, trainer
    from minicnn.training.views import Lines

    mc.manual_seed(0)
    some = np.random.default_rng(0).permutation(60_000)[: BATCH * 800]  # as Recipe has them
    training = Trainer(make(name), mc.data.Subset(MNIST(), some), epochs=epochs, batch_size=BATCH)
    inside, ends, engines = [0.0], [], []

    def timed(real):
        def call(*args, **kwargs):
            start = time.perf_counter()
            result = real(*args, **kwargs)
            inside[0] += time.perf_counter() - start
            return result

        return call

    training.model.forward = timed(training.model.forward)
    trainer.F.cross_entropy = timed(trainer.F.cross_entropy)
    mc.Tensor.backward = timed(mc.Tensor.backward)
    training.optimizer.step = timed(training.optimizer.step)

    class Clock(Lines):
        def batch(self, now):
            super().batch(now)
            ends.append(time.perf_counter())
            engines.append(inside[0])
            if len(ends) == 1:
                replayed.next = 0

    replayed = Replayed(kernels)
    training.fit(Clock())
    pairs = [
        (b - a, d - c)
        for a, b, c, d in zip(ends, ends[1:], engines, engines[1:], strict=False)
        if b - a < 0.1  # not across the end of an epoch
    ]
    engine = 1e6 * statistics.median(b for _, b in pairs)
    rest = 1e6 * statistics.median(a - b for a, b in pairs)
    print(f"{name}, batch {BATCH}, kernels replaced by no-ops, medians of {len(pairs)} steps:")
    print(f"engine {engine:.0f} us; loading, loop and logging {rest:.0f} us")


if __name__ == "__main__":
    if sys.argv[1:] == ["overhead"]:
        overhead()
    elif len(sys.argv) == 3:
        worker(*sys.argv[1:])
    else:
        import_time()
        throughput()

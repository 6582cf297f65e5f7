"""Prints the figures that the README quotes: import time, and examples/s beside PyTorch's.

    python tests/measure.py            (about 90 s; needs the extra `test`)

Both are paired: the two sides run in turn, each run a fresh process, so that a noisy machine
disturbs both alike.  Quote the ratios, not the absolute times.
"""

import statistics
import subprocess
import sys
import time

BATCH = 64
MODELS = ("lenet", "lenet-sigmoid", "lenet-colour")


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
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


if __name__ == "__main__":
    if len(sys.argv) == 3:
        worker(*sys.argv[1:])
    else:
        import_time()
        throughput()

"""Prints figures that the README quotes: the import's time, the first step's, a step's overhead.

    python tests/programs/measure.py           (5 s: import minicnn and import numpy, in turn)
    python tests/programs/measure.py overhead  (5 s: a training step's time outside the kernels)
    python tests/programs/measure.py first     (15 s: import to the end of LeNet's first step)
    python tests/programs/measure.py chains    (30 s: a Sequential beside its layers one by one)

Speed and memory, beside PyTorch's, are `minicnn bench --against torch`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

BATCH = 64


def seconds(code):
    cached = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as installed
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=cached)
    return time.perf_counter() - start


FIRST = """
import minicnn as mc
from minicnn.models import make
model = make("lenet")
optimizer = mc.optim.SGD(model.parameters(), lr=0.1)
loss = mc.nn.CrossEntropyLoss()(model(mc.rand(64, 1, 28, 28)), mc.randint(0, 10, (64,)))
loss.backward()
optimizer.step()
"""


def first_step(warm_runs=5):
    """Of whole processes: one that compiles the kernels, then some that load them."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINICNN_CACHE_DIR"] = folder
        print(f"first training step: {seconds(FIRST):.1f} s with an empty cache of kernels")
        warm = statistics.median(seconds(FIRST) for _ in range(warm_runs))
        print(f"first training step: {warm:.2f} s after that (median of {warm_runs})")


def import_time(runs=10):
    pairs = [(seconds("import numpy"), seconds("import minicnn")) for _ in range(runs + 1)][1:]
    for name, side in (("numpy", 0), ("minicnn", 1)):
        print(f"import {name:8s} {statistics.median(p[side] for p in pairs):.3f} s")
    more = statistics.median(b - a for a, b in pairs)
    print(f"minicnn costs {more:.3f} s more (median of {runs} pairs)")


class Replayed:
    """Kernels that do nothing: after one real step they return what they returned then."""

    def __init__(self, kernels):
        self.results, self.next, self.kernels = [], None, kernels
        for name in ("run", "back", "forward", "backward", "call"):
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
    from minicnn.training.progress import Lines

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

    kind = type(training.model)
    kind.__call__ = timed(kind.__call__)  # forward leaves calls waiting, which run behind it
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


def chains():
    """Prints how many times as fast a Sequential is as its layers called in forward(), in turn."""
    for name in ("lenet-sigmoid", "lenet-colour"):
        for batch in (1, 64, 1024):
            for what in ("training", "inference"):
                print(f"{name}, {what}, batch {batch}: {chain_ratio(name, batch, what):.2f}")


def chain_ratio(name, batch, what, pairs=10):
    import minicnn as mc
    from minicnn.models import make

    model = make(name)
    optimizer = mc.optim.SGD(model.parameters(), lr=0.01)
    x, target = mc.rand(batch, *model.input_shape), mc.randint(0, 10, (batch,))

    def one_by_one(x):
        for layer in (*model.features, *model.head):
            x = layer(x)
        return x

    def run(forward):
        if what == "inference":
            with mc.no_grad():
                return forward(x)
        optimizer.zero_grad()
        mc.nn.functional.cross_entropy(forward(x), target).backward()
        optimizer.step()

    def timed(forward):
        start = time.perf_counter()
        for _ in range(max(1, 256 // batch)):
            run(forward)
        return time.perf_counter() - start

    both = [(timed(model), timed(one_by_one)) for _ in range(pairs + 2)][2:]
    return statistics.median(b / a for a, b in both)


if __name__ == "__main__":
    if sys.argv[1:] == ["overhead"]:
        overhead()
    elif sys.argv[1:] == ["first"]:
        first_step()
    elif sys.argv[1:] == ["chains"]:
        chains()
    else:
        import_time()

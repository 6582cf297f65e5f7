"""Compares all bits that the CPU's kernels give.

In a process that compiles them, in one that loads them, where nothing can be kept, and in eight
processes that compile at once.

    python tests/programs/same_bits.py                    (2 cores: 10 minutes for each CPU)
    python tests/programs/same_bits.py --cpus sse --at-once 2
    python tests/programs/same_bits.py digests SEED CASE.. (one process: what it finds, as JSON)

Each process does the cases in an order of its own, among other memory, on 1, 2 and 3 threads.  A
CPU is a set of instructions that Numba may use; one that this machine lacks is left out.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # tests/, where the recorded calls are

import numpy as np

import minicnn as mc
from minicnn import kernels, nn
from minicnn.data import Subset
from minicnn.datasets import MNIST
from minicnn.models import MODELS, make
from minicnn.training import Trainer


def restricted_to(features):
    return {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}


AVX2 = "+sse2,+avx,+avx2,+fma"
CPUS = {  # name: (the environment, what /proc/cpuinfo must say)
    "this": ({}, ""),
    "avx512": (restricted_to(AVX2 + ",+avx512f,+avx512dq,+avx512bw,+avx512vl"), "avx512f"),
    "avx2": (restricted_to(AVX2), "avx2"),
    "sse": (restricted_to("+sse2"), "sse2"),
}
THREADS = (1, 2, 3)


# ---- cases: a name, and a function that returns arrays -----------------------------------------


def updates():
    """Three steps of each optimiser; what fits no vector is among the sizes."""
    optim = mc.optim
    optimizers = {
        "sgd": partial(optim.SGD, lr=0.1),
        "sgd with decay": partial(optim.SGD, lr=0.1, weight_decay=0.1),
        "momentum": partial(optim.SGD, lr=0.1, momentum=0.9, dampening=0.1),
        "nesterov": partial(optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        "adam": partial(optim.Adam, lr=0.01),
        "adam with decay": partial(optim.Adam, lr=0.01, weight_decay=0.1),
        **{c.__name__: c for c in (optim.AdamW, optim.Adadelta, optim.Adagrad, optim.RMSprop)},
    }
    for name, optimizer in optimizers.items():
        for dtype in (mc.float32, mc.float64):
            yield f"update {name} {dtype}", partial(updated, optimizer, dtype)


def updated(optimizer, dtype):
    rng = np.random.default_rng(0)
    sizes = (1, 7, 16, 61, 200, 607, 150_001)
    parameters = [mc.tensor(rng.standard_normal(n), dtype=dtype, requires_grad=True) for n in sizes]
    steps = optimizer(parameters)
    for _ in range(3):
        for p in parameters:
            p.grad = mc.tensor(rng.standard_normal(p.shape), dtype=dtype)
        steps.step()
    return [p.array for p in parameters]


def models():
    """The gradients of a batch, evaluation, and trainings."""
    for name in [name for name in MODELS if name != "alexnet"]:
        for batch in (1, 37, 64):
            yield f"gradients {name} {batch}", partial(gradients, name, batch)
        yield f"evaluation {name}", partial(evaluation, name)
    yield "gradients lenet float64", partial(gradients, "lenet", 33, mc.float64)
    for optimizer in ("adam", "sgd"):
        yield f"training {optimizer}", partial(trained, optimizer)


def batch_for(name, size, dtype=mc.float32):
    mc.manual_seed(0)
    model = make(name).to(dtype)
    rng = np.random.default_rng(0)
    x = mc.tensor(rng.standard_normal((size, *model.input_shape)), dtype=dtype)
    return model, x, mc.tensor(rng.integers(0, 10, size))


def gradients(name, size, dtype=mc.float32):
    model, x, labels = batch_for(name, size, dtype)
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    return [loss.array, *(p.grad.array for p in model.parameters())]


def evaluation(name):
    model, x, _ = batch_for(name, 50)
    with mc.no_grad():
        return [model.eval()(x).array]


def trained(optimizer):
    mc.manual_seed(0)
    digits = MNIST(train=True)
    model = make("lenet")
    train, val = Subset(digits, range(300)), Subset(digits, range(300, 400))
    trainer = Trainer(model, train, val, epochs=2, batch_size=50, optimizer=optimizer)
    trainer.fit()
    return [p.array for p in model.parameters()]


def calls():
    """The kernels' calls of tests/test_kernels.py."""
    from test_kernels import CALLS

    for kind, recorded in CALLS.items():
        for i, call in enumerate(recorded):
            yield f"kernel {call.name} {kind} {i}", partial(called, call)


def called(call):
    from single import backward, forward

    with np.errstate(all="ignore"):
        if call.name in kernels.PLAIN:
            y = kernels.call(call.name, *call.args)
            return list(y) if isinstance(y, tuple) else [y]
        y, saved = forward(call.name, *call.args, needs=call.needs or None)
        results = list(y) if isinstance(y, tuple) else [y]
        if call.g is not None:
            results += backward(call.name, call.g, saved, call.needs)
    return [a for a in results if a is not None]


def every_case(wanted):
    """Those whose names match one of the patterns."""
    sources = [updates, models]
    if any(pattern.startswith(("*", "kernel")) for pattern in wanted):  # takes seconds to record
        sources.append(calls)
    every = [case for source in sources for case in source()]
    return [case for case in every if any(fnmatch.fnmatch(case[0], p) for p in wanted)]


# ---- one process -------------------------------------------------------------------------------


def digests(seed, wanted):
    """{case: {threads: a hash of all bits}}."""
    rng, memory = random.Random(seed), []
    chosen = every_case(wanted)
    rng.shuffle(chosen)
    kernels.which("relu", np.empty(1, np.float32))  # loads the modules
    for module in [m for name, m in sys.modules.items() if ".kernels.numba_cpu." in name]:
        if hasattr(module, "threads_for"):
            module.threads_for = lambda *_: mc.get_num_threads()  # small work too is shared
    hashes = {}
    for name, case in chosen:
        of_case = hashes[name] = {}
        for threads in THREADS:
            mc.set_num_threads(threads)
            memory = [np.empty(rng.randrange(1, 3000), np.uint8) for _ in range(50)] + memory[:100]
            rng.shuffle(memory)
            of_case[threads] = hashlib.sha256(b"".join(map(bits, case()))).hexdigest()
    return hashes


def bits(array):
    """An array's bytes; all NaNs are one, since no arithmetic defines their signs."""
    array = np.array(array)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.tobytes()


# ---- processes compared ------------------------------------------------------------------------


def start(seed, wanted, folder, environment):
    """A process that prints its digests; None for a folder is one where nothing can be kept."""
    own = {"MINICNN_CACHE_DIR": str(folder or "/dev/null/none"), "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(
        [sys.executable, __file__, "digests", str(seed), *wanted],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment, **own},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def result(process):
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(err)
    return json.loads(out)


def differing(expected, other):
    """The cases that have several bits: in these two processes, and on any number of threads."""
    assert other.keys() == expected.keys()
    both = {name: {*expected[name].values(), *other[name].values()} for name in expected}
    return {name for name, hashes in both.items() if len(hashes) > 1}


def compare(environment, wanted, at_once):
    """All cases that differ anywhere."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        rounds = {
            "compiled": [(1, first)],
            "loaded": [(2, first)],
            "nothing kept": [(3, None)],
            f"{at_once} at once": [(4 + i, second) for i in range(at_once)],
            "loaded after that": [(4 + at_once, second)],
        }
        expected, wrong = None, set()
        for name, processes in rounds.items():
            begin = time.perf_counter()
            started = [start(seed, wanted, folder, environment) for seed, folder in processes]
            results = [result(process) for process in started]
            expected = expected or results[0]
            here = set().union(*(differing(expected, other) for other in results))
            wrong |= here
            seconds = time.perf_counter() - begin
            print(
                f"  {name:18s} {len(here):4d} of {len(expected)} differ  {seconds:6.0f} s",
                flush=True,
            )
    return wrong


def main():
    if sys.argv[1:2] == ["digests"]:
        print(json.dumps(digests(int(sys.argv[2]), sys.argv[3:])))
        return None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpus", nargs="+", choices=CPUS, default=list(CPUS))
    parser.add_argument("--cases", nargs="+", default=["*"])
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    flags, bad = Path("/proc/cpuinfo").read_text(), 0
    for name in options.cpus:
        environment, needed = CPUS[name]
        if needed not in flags:
            print(f"{name}: this machine cannot run it")
            continue
        print(name, flush=True)
        wrong = compare(environment, options.cases, options.at_once)
        print(*(f"    {case}" for case in sorted(wrong)), sep="\n")
        bad += len(wrong)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

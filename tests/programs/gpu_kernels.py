"""Launches every kernel of the .cu files on the GPU: what compute-sanitizer watches.

    compute-sanitizer --tool memcheck python tests/programs/gpu_kernels.py

Every op's samples go forward and backward, models take steps with every optimiser, and what only
large arrays or captured steps need is called by itself, in float32 and float64.  The kernels that
this never launched are named at the end, with exit code 1.  Every array has a piece of memory of
its own here, so that the tool sees who reads beyond one.
"""

import contextlib
import sys

import numpy as np

import minicnn as mc
from minicnn import Tensor, arrays, kernels
from minicnn.data import Subset
from minicnn.kernels.cuda import launch, step
from minicnn.kernels.cuda.activation import IDENTITY
from minicnn.kernels.cuda.columns import columns_backward, columns_forward
from minicnn.kernels.cuda.gemm import product
from minicnn.kernels.cuda.loss import cross_entropy
from minicnn.kernels.cuda.sums import channel_sums
from minicnn.models import make
from minicnn.ops import OPS
from minicnn.shapes import window
from minicnn.training import Trainer

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
MODELS = {"lenet": 5, "lenet-sigmoid": 5, "lenet-colour": 3, "lenet5": 3}  # and their batches
OPTIMIZERS = {
    "sgd": lambda parameters: mc.optim.SGD(parameters, lr=0.01),
    "momentum": lambda parameters: mc.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True),
    "adam": lambda parameters: mc.optim.Adam(parameters),
    "adamw": lambda parameters: mc.optim.AdamW(parameters),
}


def defined():
    """The kernels that the files define: (file, kernel, element type)."""
    files = [path.stem for path in sorted(launch.FOLDER.glob("*.cu"))]
    return {
        (file, kernel, dtype)
        for file in files
        for kernel, kinds in launch.signatures(file).items()
        for dtype in (DTYPES if "real*" in kinds else DTYPES[:1])
    }


@contextlib.contextmanager
def launches():
    """The set of kernels launched in here, as in `defined`."""
    found, function = set(), launch._function

    def noted(cupy, file, kernel, dtype):
        found.add((file, kernel, np.dtype(dtype)))
        return function(cupy, file, kernel, dtype)

    launch._function = noted
    try:
        yield found
    finally:
        launch._function = function


def run_samples(dtype, ops):
    """Every sample of the ops that is not to be refused, forward and backward."""
    for op in ops:
        for sample in op.samples(np.random.default_rng(0)):
            if not sample.raises:
                run_sample(op, sample, dtype)


def run_sample(op, sample, dtype):
    def moved(a):
        if not isinstance(a, np.ndarray):
            return a
        floating = a.dtype.kind == "f"
        a = a.astype(dtype) if floating else a
        return Tensor(a).to("cuda").requires_grad_(floating)

    named = {k: moved(v) for k, v in sample.kwargs.items()}
    for t in (t for t in named.values() if isinstance(t, Tensor)):
        t.requires_grad_(False)  # running statistics
    outputs = op.apply(*map(moved, sample.args), **named)
    for y in outputs if isinstance(outputs, tuple) else (outputs,):
        if y.requires_grad:
            y.backward(mc.ones_like(y), retain_graph=True)


def take_steps(model, batch, dtype, make_optimizer, device="cuda", steps=2):
    """Trains a new model for some steps on made-up images; returns it."""
    mc.manual_seed(0)
    model = make(model).to(dtype).to(device)
    optimizer, loss = make_optimizer(model.parameters()), mc.nn.CrossEntropyLoss()
    images = mc.rand(batch, *model.input_shape).to(dtype).to(device)
    labels = mc.arange(batch).to(device) % 10
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    return model


def train_with_graph():
    """An epoch as `Trainer` does it on a GPU: batches gathered there, steps in a CUDA graph."""
    train = Subset(mc.datasets.MNIST(), range(70))
    Trainer(make("lenet").to("cuda"), train, epochs=1, batch_size=16).fit()


def run_large(dtype):
    """What the samples are too small for, by as little as makes the host code choose it."""
    cupy = arrays.import_cupy()

    def ones(*shape):
        return cupy.ones(shape, dtype)

    kernels.call("add_at", ones(5), (cupy.asarray([3, 0, 3]),), ones(3))
    product(ones(513, 1), ones(1, 511))  # large tiles
    product(ones(3, 2049), ones(2049, 5))  # few, along a sum that several blocks share
    channel_sums(ones(3, 2, 4001), ones(3, 2, 4001))  # several blocks to a channel
    cross_entropy(ones(2049, 10), cupy.ones(2049, np.int64), None, -100, "mean", 0.0)
    x, weight = ones(2, 2, 6, 5), ones(4, 1, 3, 2)
    w = window("conv2d", (6, 5), (3, 2), (1, 2), (1, 1), (1, 1))
    y = columns_forward(x, weight, ones(4), IDENTITY, w, 2)
    columns_backward(y, x, weight, w, 2, (True, True, True))


def run_captured(dtype):
    """The kernels beside a captured step, which `train_with_graph` has in float32."""
    cupy = arrays.import_cupy()
    x, y, words = cupy.ones((7, 3), dtype), cupy.zeros(7, np.int64), cupy.zeros(500, np.int64)
    step.write_words(words, np.arange(500))
    step.take_batch(x, y, cupy.arange(6), words[1:2], 3)
    loss, records, halt = cupy.zeros((), dtype), cupy.zeros((2, 2)), cupy.zeros(1, np.int32)
    step.record(x, y, loss, halt, words[1:2], records)


def launch_all():
    """Launches what there is; returns the kernels that were not launched."""
    with launches() as found:
        for dtype in DTYPES:
            run_samples(dtype, OPS.values())
            run_large(dtype)
            run_captured(dtype)
            for make_optimizer in OPTIMIZERS.values():
                take_steps("lenet", 5, dtype, make_optimizer)
            for model, batch in MODELS.items():
                take_steps(model, batch, dtype, OPTIMIZERS["sgd"])
        train_with_graph()
    mc.cuda.synchronize()
    return defined() - found


def main():
    arrays.import_cupy().cuda.set_allocator(None)
    if sys.argv[1:] == ["--small"]:  # to see that it works
        run_samples(DTYPES[0], [OPS["ReLU"]])
        return 0
    missing = launch_all()
    for file, kernel, dtype in sorted(missing, key=str):
        print(f"never launched: {kernel} of {file}.cu, {dtype}")
    print(f"{len(defined()) - len(missing)} of {len(defined())} kernels launched")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

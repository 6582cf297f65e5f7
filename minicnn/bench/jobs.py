"""What is timed: models, batch sizes, the images they get, and the arithmetic of a step."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets import MNIST
from ..errors import ArgumentError
from ..models import make
from ..summary_table import summary

IMAGE_BYTES = 16 << 20  # a model's images: more than one core's cache holds
DIGIT = 28  # pixels of a side of MNIST's images


Cell = tuple[str, int]  # training, inference, memory or sgemm; and the batch size


class Job(NamedTuple):
    """A model, and the batch sizes that each kind of work is measured with."""

    model: str
    training: tuple[int, ...]
    inference: tuple[int, ...] = ()
    memory: tuple[int, ...] = ()

    def timed(self) -> tuple[Cell, ...]:
        """What one process times."""
        training = [("training", batch) for batch in self.training]
        return (*training, *(("inference", batch) for batch in self.inference))


JOBS = {
    job.model: job
    for job in (
        Job("lenet-sigmoid", (1, 32, 64, 256, 1024), (1, 1024), (64,)),
        Job("lenet-colour", (1, 32, 64, 256, 1024), (1, 1024), (64,)),
        Job("lenet", (64,)),
        Job("alexnet", (16,)),
    )
}
DEFAULT = ("lenet-sigmoid", "lenet-colour", "lenet")  # a step of AlexNet takes about a second

GPU_JOBS = {
    job.model: job
    for job in (
        Job("lenet-sigmoid", (1, 64, 256, 1024), (1, 1024)),
        Job("lenet-colour", (64, 256), (1, 1024)),
        Job("alexnet", (128,)),
    )
}


def chosen(
    models: Sequence[str],
    batches: Sequence[int],
    known: dict[str, Job] = JOBS,
    default: Sequence[str] = DEFAULT,
    numbers: Sequence[int] = (),
) -> list[Job]:
    """The jobs of these models; with batches, every kind of work with these instead.

    Batches must be from 1 up, and so must the other numbers.
    """
    if any(n < 1 for n in (*numbers, *batches)):
        raise ArgumentError("bench: threads and batch sizes must be whole numbers from 1 up")
    for name in models:
        if name not in known:
            raise ArgumentError(f"bench: model {name!r} is not one of {', '.join(known)}")
    sizes = tuple(dict.fromkeys(batches))
    jobs = [known[name] for name in dict.fromkeys(models or default)]
    return [Job(job.model, sizes, sizes, sizes) if sizes else job for job in jobs]


def flop_per_example(model: str) -> dict[str, float]:
    """Floating-point operations for one image: what a share of the sgemm peak is counted from.

    Two for each multiply-add of convolutions and linear layers, `summary`'s count.  Inference is
    the forward pass; training adds the gradients of all weights, and of all layers' inputs but the
    first's, each as much again.  Biases, activations, pooling, loss and optimiser count nothing.
    """
    net = make(model)
    with contextlib.redirect_stdout(io.StringIO()):  # summary prints its table
        counts = [row.mult_adds or 0 for row in summary(net, net.input_shape).rows]
    forward = sum(counts)
    first = next(n for n in counts if n)
    return {"training": 2.0 * (3 * forward - first), "inference": 2.0 * forward}


def write_data(job: Job, folder: Path) -> str:
    """Writes the images and labels that every worker of a job gets; returns their path.

    They are MNIST's test images, each pixel repeated as often as it fits into the model's size
    (8 x 8 times for AlexNet), background around, and the same in all channels.
    """
    digits = MNIST(train=False)
    channels, height, width = make(job.model).input_shape
    largest = max(job.training + job.inference + job.memory)
    count = max(largest, IMAGE_BYTES // (4 * channels * height * width))
    if largest > len(digits):
        raise ArgumentError(f"bench: a batch holds 1 to {len(digits):,} images, not {largest:,}")
    pixels = digits.data.numpy()[:count, None].astype(np.float32) / 255  # (N, 1, 28, 28)
    scale = height // DIGIT
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    more = height - pixels.shape[2], width - pixels.shape[3]
    around = [(n // 2, n - n // 2) for n in more]
    images = np.pad(pixels, [(0, 0), (0, 0), *around]).repeat(channels, 1)
    path = folder / f"{job.model}.npz"
    np.savez(path, images=images, labels=digits.targets.numpy()[:count])
    return str(path)

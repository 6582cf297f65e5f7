"""The kernels around a captured training step: numbers for a replay, its batch, its result."""

import numpy as np

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, empty, launch

PER_LAUNCH = 480  # as Words in step.cu
_WORDS = np.dtype([("word", np.int64, PER_LAUNCH)])
_FLOAT = np.dtype(np.float32)  # write_words uses no `real`, so either type will do


def write_words(words: Array, values: np.ndarray) -> None:
    """words[: len(values)] = values, int64; nobody waits, for the values travel as arguments."""
    for first in range(0, len(values), PER_LAUNCH):
        part = values[first : first + PER_LAUNCH]
        struct = np.zeros(1, _WORDS)
        struct["word"][0, : len(part)] = part
        launch("step", "write_words", _FLOAT, 1, THREADS, struct, words[first:], len(part))


def take_batch(
    images: Array, labels: Array, order: Array, step: Array, batch: int
) -> tuple[Array, Array]:
    """(images, labels) number order[step * batch : (step + 1) * batch]; step is one int64."""
    x, y = empty((batch, *images.shape[1:]), images), empty((batch,), labels)
    launch(
        "step", "take_batch", images.dtype, batch, THREADS,
        images, labels, order, step, x, y, images[0].size,
    )  # fmt: skip
    return x, y


def record(
    logits: Array, labels: Array, loss: Array, halt: Array, step: Array, records: Array
) -> None:
    """records[step] = (loss, right answers); -1 right answers where halt is not 0."""
    launch(
        "step", "record", logits.dtype, 1, THREADS,
        logits, labels, loss, halt, step, records, *logits.shape,
    )  # fmt: skip

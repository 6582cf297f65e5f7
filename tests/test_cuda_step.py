"""The kernels around a captured step, step.cu, beside NumPy: its numbers, its batch, its result."""

import numpy as np
import pytest

from minicnn.kernels.cuda import step

nan, inf = np.nan, np.inf
FLOATS = [np.float32, np.float64]


# ---- the batch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (257,), (3, 5), (1,)])  # blocks have 256 threads
@pytest.mark.parametrize("batch", [1, 4])
def test_the_images_and_labels_of_a_batch(gpu, rng, dtype, shape, batch):
    """Of the last batch too, which ends with the order."""
    n = 3 * batch
    images, labels = rng.random((n, *shape)).astype(dtype), rng.integers(0, 10, n)
    order = rng.permutation(n)
    arrays = [gpu.asarray(a) for a in (images, labels, order)]
    for number in range(3):
        x, y = step.take_batch(*arrays, gpu.asarray([number]), batch)
        some = order[number * batch : (number + 1) * batch]
        np.testing.assert_array_equal(x.get(), images[some], strict=True)
        np.testing.assert_array_equal(y.get(), labels[some], strict=True)


def test_the_last_image_and_one_that_comes_twice(gpu):
    images, labels = np.arange(12.0).reshape(4, 3), np.array([5, 6, 7, 8])
    arrays = [gpu.asarray(a) for a in (images, labels, np.array([0, 3, 3, 1]))]
    x, y = step.take_batch(*arrays, gpu.asarray([0]), 3)
    assert x.get().tolist() == [[0, 1, 2], [9, 10, 11], [9, 10, 11]]
    assert y.get().tolist() == [5, 8, 8]


# ---- the result ----------------------------------------------------------------------------------


def recorded(gpu, logits, labels, loss=0.5, halt=0):
    """(loss, right answers) of a step, the only one."""
    records = gpu.full((1, 2), 9.0)
    arrays = (gpu.asarray(a) for a in (logits, labels, np.asarray(loss, logits.dtype)))
    step.record(*arrays, gpu.asarray(np.array([halt], np.int32)), gpu.asarray([0]), records)
    return records.get()[0].tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [1, 10])
@pytest.mark.parametrize("batch", [1, 5, 256, 257, 1000])
def test_right_answers_are_counted(gpu, rng, dtype, classes, batch):
    logits = rng.choice([-inf, -1, 0, 2, inf, nan], (batch, classes)).astype(dtype)
    labels = rng.integers(0, classes, batch)
    assert recorded(gpu, logits, labels) == [0.5, (logits.argmax(1) == labels).sum()]
    assert recorded(gpu, logits, logits.argmax(1)) == [0.5, batch]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ([1, 3, 3], 1), ([2, 2, 2], 0), ([-inf, -inf, -inf], 0), ([-0.0, 0.0, -1], 0),
        ([0, nan, 5], 1), ([inf, 0, nan], 2), ([nan, nan, 1], 0), ([1, 2, inf], 2),
    ],
)  # fmt: skip
def test_the_answer_is_the_first_of_the_largest(gpu, dtype, row, answer):
    """NaN counts as the largest."""
    logits = np.array([row], dtype)
    assert logits.argmax(1) == [answer]
    rights = [recorded(gpu, logits, np.array([label]))[1] for label in range(3)]
    assert rights == [label == answer for label in range(3)]


@pytest.mark.parametrize("halt", [1, 7, -1])
def test_after_a_halt_there_are_no_right_answers(gpu, halt):
    logits, labels = np.zeros((3, 2)), np.zeros(3, np.int64)
    assert recorded(gpu, logits, labels, 0.5, 0) == [0.5, 3]
    assert recorded(gpu, logits, labels, inf, halt) == [inf, -1]


@pytest.mark.parametrize("dtype", FLOATS)
def test_each_step_has_its_place(gpu, dtype):
    records, halt = gpu.full((4, 2), 9.0), gpu.zeros(1, np.int32)
    logits = gpu.asarray(np.eye(3, dtype=dtype))
    for number, labels in ((3, [0, 1, 2]), (0, [0, 1, 0]), (2, [1, 2, 0])):
        loss = gpu.asarray(np.asarray(number / 4, dtype))
        step.record(
            logits, gpu.asarray(np.array(labels)), loss, halt, gpu.asarray([number]), records
        )
    assert records.get().tolist() == [[0, 2], [9, 9], [0.5, 0], [0.75, 3]]


# ---- its numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 256, 480, 481, 1000])  # a launch takes 480
def test_words_are_written_and_none_behind_them(gpu, rng, n):
    info = np.iinfo(np.int64)
    values = rng.integers(info.min, info.max, n, endpoint=True)
    values[0], values[-1] = info.min, info.max
    words = gpu.full(n + 3, 7, np.int64)
    step.write_words(words, values)
    assert words.get().tolist() == [*values.tolist(), 7, 7, 7]

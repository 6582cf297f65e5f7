"""The loss on class indices in one kernel, beside PyTorch's in float64."""

import itertools

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels.cuda import loss as kernel
from minicnn.nn import functional as F


def both(gpu, logits, labels, dtype=np.float64, **options):
    """(value, gradient) of the loss on the GPU, and PyTorch's in float64."""
    weight = options.pop("weight", None)
    x = mc.Tensor(gpu.asarray(logits.astype(dtype)), requires_grad=True)
    w = None if weight is None else mc.Tensor(gpu.asarray(weight.astype(dtype)))
    y = F.cross_entropy(x, mc.Tensor(gpu.asarray(labels)), w, **options)
    assert y.dtype == dtype
    t = torch.tensor(logits.astype(dtype).astype(np.float64), requires_grad=True)
    v = None if weight is None else torch.tensor(weight)
    expected = torch.nn.functional.cross_entropy(t, torch.tensor(labels).long(), v, **options)
    g = np.random.default_rng(7).standard_normal(expected.shape)
    y.backward(mc.Tensor(gpu.asarray(np.asarray(g, dtype))))
    expected.backward(torch.tensor(g))
    assert str(y.grad_fn) == "<CrossEntropy>"
    return (y.array.get(), x.grad.array.get()), (expected.detach().numpy(), t.grad.numpy())


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (7, 10), (33, 40), (3, 700)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_every_option_is_pytorch_s(gpu, shape, reduction):
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
    weight = rng.uniform(0.5, 2, shape[1])
    labels[0] = -100
    ignored = int(labels[-1])
    for w, smoothing, ignore in itertools.product((None, weight), (0.0, 0.2), (-100, ignored)):
        kept = np.where(labels == -100, ignored, labels) if ignore >= 0 else labels
        if w is None and reduction == "mean" and (kept == ignore).all():
            continue  # 0 / 0, below
        found, expected = both(
            gpu, logits, kept, weight=w, label_smoothing=smoothing, ignore_index=ignore,
            reduction=reduction,
        )  # fmt: skip
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_labels_of_any_integer_type(gpu, kind):
    logits = np.random.default_rng(0).standard_normal((5, 4))
    found, expected = both(gpu, logits, np.array([3, 0, 1, 1, 2], kind), np.float32)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [4096, 6000])
def test_many_rows_are_summed_by_several_blocks(gpu, rows):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((rows, 10)), rng.integers(0, 10, rows)
    labels[5000:5002] = -100
    found, expected = both(gpu, logits, labels, weight=rng.uniform(0.5, 2, 10))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-13)
    again, _ = both(gpu, logits, labels, weight=np.ones(10))
    once_more, _ = both(gpu, logits, labels, weight=np.ones(10))
    assert again[0].tobytes() == once_more[0].tobytes()


def test_large_logits_and_minus_infinity(gpu):
    logits = np.array([[1e4, -1e4, 3.0], [-np.inf, 0.0, 1.0], [700.0, 800.0, -np.inf]])
    found, expected = both(gpu, logits, np.array([0, 2, 1]))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("labels", [[], [-100, -100]])
def test_the_mean_over_nothing(gpu, labels):
    logits = np.ones((len(labels), 3))
    found, expected = both(gpu, logits, np.array(labels, np.int64))
    assert np.isnan(found[0])
    assert np.isnan(expected[0])
    np.testing.assert_array_equal(found[1], np.zeros_like(logits))  # as on the CPU here


@pytest.mark.parametrize("place", [0, 5998])
def test_a_label_that_is_no_class_is_named(gpu, place):
    labels = np.zeros(6000, np.int64)
    labels[place] = 3
    with pytest.raises(
        ArgumentError, match=r"cross_entropy: target 3 is no class: there are 3, counted from 0"
    ):
        F.cross_entropy(mc.Tensor(gpu.zeros((6000, 3))), mc.Tensor(gpu.asarray(labels)))
    labels[place] = -1
    with pytest.raises(ArgumentError, match=r"target -1 .*ignore_index is -100"):
        F.cross_entropy(mc.Tensor(gpu.zeros((6000, 3))), mc.Tensor(gpu.asarray(labels)))


def test_what_it_does_not_take_goes_the_long_way_and_what_is_wrong_is_refused(gpu):
    x = mc.Tensor(gpu.asarray(np.random.default_rng(0).standard_normal((2, 3, 4))))
    labels = mc.Tensor(gpu.asarray(np.array([[0, 1, 2, 0], [2, 1, 0, 1]])))
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(x.array.get()), torch.tensor(labels.array.get())
    )
    assert F.cross_entropy(x, labels).item() == pytest.approx(expected.item())
    flat = mc.Tensor(x.array[:, :, 0])
    with pytest.raises(ShapeError, match=r"indices must be \(2,\)"):
        F.cross_entropy(flat, labels)
    with pytest.raises(DtypeError, match="must be integers"):
        F.cross_entropy(flat, mc.Tensor(gpu.zeros(2)))
    with pytest.raises(ArgumentError, match="reduction must be"):
        F.cross_entropy(flat, mc.Tensor(gpu.zeros(2, np.int64)), reduction="average")
    with pytest.raises(ArgumentError, match=r"label_smoothing 2 not in \[0, 1\]"):
        F.cross_entropy(flat, mc.Tensor(gpu.zeros(2, np.int64)), label_smoothing=2)


def test_forward_and_backward_are_a_launch_each(gpu, monkeypatch):
    names, launch = [], kernel.launch

    def noted(file, name, *args, **kwargs):
        names.append(name)
        launch(file, name, *args, **kwargs)

    monkeypatch.setattr(kernel, "launch", noted)
    x = mc.Tensor(gpu.zeros((64, 10), np.float32), requires_grad=True)
    F.cross_entropy(x, mc.Tensor(gpu.zeros(64, np.int64))).backward()
    assert names == ["cross_entropy", "cross_entropy_backward"]

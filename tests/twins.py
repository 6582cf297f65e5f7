"""minicnn's and PyTorch's layer side by side, with the same weights: helpers of two test files."""

import warnings

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import nn

both = pytest.mark.parametrize("lib", [nn, torch.nn], ids=["minicnn", "torch"])
"""Runs a test on PyTorch too: what it expects is what PyTorch does."""


def tensor_of(lib, array):
    """An array as a tensor of the library that `lib`, nn or torch.nn, belongs to."""
    return mc.tensor(array) if lib is nn else torch.tensor(array)


def agree(a, b, what=""):
    """max|a - b| / max(1e-3, max|b|) is at most 1e-9; NaNs, shapes and types are the same."""
    a, b = (t.detach().numpy() for t in (a, b))
    assert a.shape == b.shape, f"{what}: {a.shape} is not {b.shape}"
    assert a.dtype == b.dtype, f"{what}: {a.dtype} is not {b.dtype}"
    assert (np.isnan(a) == np.isnan(b)).all(), f"{what}: {a} is not {b}"
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if a.size:
        error = np.abs(a - b).max() / max(1e-3, np.abs(b).max())
        assert error <= 1e-9, f"{what}: {error:.2e}"


def as_arrays(state):
    return {k: v.numpy().copy() for k, v in state.items()}


def twins(name, *args, **kwargs):
    """minicnn's and PyTorch's layer of a name, in float64 and with the same random weights."""
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(generator=generator)
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict(as_arrays(theirs.state_dict()))
    return ours, theirs


def compare(ours, theirs, x, *more):
    """One forward and backward of both: outputs, all gradients and buffers agree."""
    a, b = mc.tensor(x), torch.tensor(x)
    if x.dtype.kind == "f":
        a.requires_grad_()
        b.requires_grad_()
    y = ours(a, *map(mc.tensor, more))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel")
        z = theirs(b, *map(torch.tensor, more))
    agree(y, z, "output")
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(mc.tensor(g))
    z.backward(torch.tensor(g))
    if x.size:
        agree(a.grad, b.grad, "gradient of the input")
    same_tensors(ours, theirs)


def same_tensors(ours, theirs):
    """Both modules have the same parameters, gradients and buffers."""
    pairs = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    for (name, p), (other, q) in pairs:
        assert name == other
        agree(p, q, name)
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            agree(p.grad, q.grad, f"gradient of {name}")
    for (name, p), (other, q) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert name == other
        agree(p, q, name)

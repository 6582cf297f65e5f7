"""Views, writes and gradients in random programs: as in PyTorch, or refused with a clear error."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minicnn as mc
from minicnn import nn
from minicnn.errors import InPlaceError

# ---- random programs ---------------------------------------------------------------------------

PROGRAMS = 150

# Each takes a tensor of either library, and a number that decides what is left open.
VIEWS = {
    "t[i]": lambda t, n: t[n % len(t)],
    "t[-1]": lambda t, n: t[-1],
    "an element": lambda t, n: t[tuple(n % size for size in t.shape)],
    "an element by tensors": lambda t, n: t[(*(n % size for size in t.shape[:-1]), -1)],
    "t[a:b]": lambda t, n: t[n % len(t) :],
    "t[::2]": lambda t, n: t[::2],
    "t[..., i]": lambda t, n: t[..., n % t.shape[-1]],
    "t[None]": lambda t, n: t[None],
    "t.T": lambda t, n: t.t(),
    "transpose": lambda t, n: t.transpose(0, -1),
    "permute": lambda t, n: t.permute(*range(1, t.ndim), 0),
    "view": lambda t, n: t.view(-1),
    "view_as": lambda t, n: t.view_as(t),
    "reshape": lambda t, n: t.reshape(-1, t.shape[0]),
    "flatten": lambda t, n: t.flatten(n % t.ndim),
    "contiguous": lambda t, n: t.contiguous(),
    "unsqueeze": lambda t, n: t.unsqueeze(n % 2),
    "squeeze": lambda t, n: t.squeeze(),
    "expand": lambda t, n: t.expand(2, *t.shape),
    "unbind": lambda t, n: t.unbind(n % t.ndim)[-1],
    "iteration": lambda t, n: list(t)[n % len(t)],
    "split": lambda t, n: t.split(1)[n % len(t)],
    "chunk": lambda t, n: t.chunk(2, -1)[-1],
    "detach": lambda t, n: t.detach(),
    "data": lambda t, n: t.data,
}  # fmt: skip


def scale(t, n, other):
    t *= n


def add(t, n, other):
    t += other


def subtract_from_element(t, n, other):
    t[n % len(t)] -= 2.0


def scale_element_of_row(t, n, other):
    t[0][n % t.shape[1]] *= 3.0


def unpack(t, n, other):
    first, *_ = t
    first += 7.0


def through_numpy(t, n, other):
    array = t.detach().numpy()
    if not array.flags.writeable:
        raise InPlaceError("NumPy says that this memory is read-only")
    array[...] = n


WRITES = {
    "t *= n": scale,
    "t += other": add,
    "t[i] -= 2": subtract_from_element,
    "t[0][i] *= 3": scale_element_of_row,
    "a, *_ = t; a += 7": unpack,
    "numpy": through_numpy,
    "fill_": lambda t, n, other: t.fill_(n),
    "zero_": lambda t, n, other: t.zero_(),
    "neg_": lambda t, n, other: t.neg_(),
    "clamp_": lambda t, n, other: t.clamp_(-1.0, 1.0),
    "copy_": lambda t, n, other: t.copy_(other),
    "mul_": lambda t, n, other: t.mul_(other),
    "t[i] = other": lambda t, n, other: t.__setitem__(n % len(t), other),
    "t[a:b] = n": lambda t, n, other: t.__setitem__(slice(n % len(t), None), 0.5),
    "t[mask] = n": lambda t, n, other: t.__setitem__(t.detach() > 0, 0.5),
}
RESULTS = {
    "t * other": lambda t, n, other: t * other,
    "t + n": lambda t, n, other: t + n,
    "tanh": lambda t, n, other: t.tanh(),
    "sum(0)": lambda t, n, other: t.sum(0),
}
LIBRARIES = (torch, mc)
REFUSED = {
    torch: (RuntimeError, IndexError, TypeError, ZeroDivisionError, UserWarning), mc: InPlaceError,
}  # fmt: skip


def beginning(library, rng):
    """Two leaves, results of them (images may have the batch last in memory), and a constant."""
    w = library.tensor(rng.standard_normal((2, 3)), requires_grad=True)
    x = library.tensor(rng.standard_normal((2, 1, 4, 4)), requires_grad=True)
    image = library.nn.functional.avg_pool2d(x, 2)
    return [w, x, w * 2.0, image, library.tensor(rng.standard_normal((2, 3)))]


def run(library, tensors, step):
    """One step of a program, which may add a tensor; False if the library refuses it."""
    name, i, j, n, recorded = step
    t, other = tensors[i % len(tensors)], tensors[j % len(tensors)]
    try:
        with library.set_grad_enabled(recorded):
            if name in WRITES:
                WRITES[name](t, n, other)
            else:
                tensors.append(VIEWS[name](t, n) if name in VIEWS else RESULTS[name](t, n, other))
    except REFUSED[library]:
        return False
    return True


def gradients(library, tensors):
    """Those of the leaves, of a sum that every tensor is part of; None if it is refused."""
    try:
        sum((t * (k + 1.0)).sum() for k, t in enumerate(tensors)).backward()
    except REFUSED[library]:
        return None
    return [t.grad.numpy() for t in tensors[:2]]


def outcome(steps, seed):
    """Runs a program in both libraries: "equal", or by whom it was refused."""
    theirs, ours = (beginning(library, np.random.default_rng(seed)) for library in LIBRARIES)
    for step in steps:
        if not run(torch, theirs, step):
            continue
        if not run(mc, ours, step):
            return "refused"
        for a, b in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(b.array, a.detach().numpy(), rtol=1e-9, atol=1e-12)
    theirs, ours = gradients(torch, theirs), gradients(mc, ours)
    if theirs is None or ours is None:
        return "refused" if theirs else "refused by PyTorch"
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
    return "equal"


OUTCOMES = Counter()
steps = st.tuples(
    st.sampled_from([*VIEWS, *WRITES, *WRITES, *RESULTS]),
    st.integers(0, 20), st.integers(0, 20), st.integers(0, 3), st.sampled_from([True, True, False]),
)  # fmt: skip


@settings(
    max_examples=PROGRAMS, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(steps, min_size=4, max_size=14), st.integers(0, 2**32 - 1))
def random_programs(program, seed):
    OUTCOMES[outcome(program, seed)] += 1


def test_random_programs_of_views_and_writes_are_equal_or_refused(capsys):
    OUTCOMES.clear()
    random_programs()
    with capsys.disabled():
        print("\nPrograms of views, writes and gradients:", dict(OUTCOMES))
    assert OUTCOMES.total() >= PROGRAMS
    assert OUTCOMES["equal"] >= PROGRAMS / 2


# ---- the kinds that were wrong ---------------------------------------------------------------


def test_an_element_is_a_view():
    b, model = mc.zeros(3), nn.Linear(2, 2)
    b[2].add_(3.0)
    for v in b:
        v += 1.0
    first, second, _ = b
    first += 7.0
    second.copy_(mc.tensor(5.0))
    assert b.tolist() == [8.0, 5.0, 4.0]
    assert b[0].numpy().base is not None
    nn.init.constant_(b[0], 9.0)
    b.unbind()[1].mul_(2.0)
    assert b.tolist() == [9.0, 10.0, 4.0]
    with mc.no_grad():
        model.bias[0].fill_(1.0)
    model.bias.data[1].fill_(5.0)
    assert model.bias.tolist() == [1.0, 5.0]
    with pytest.raises(InPlaceError, match="a view of a leaf that requires grad"):
        model.bias[0].fill_(2.0)


def test_an_element_that_is_changed_has_the_right_gradient():
    w = mc.ones(3, requires_grad=True)
    y = w * 2
    y[0].mul_(10)
    y[1] *= w.detach()[0] * 5
    y.sum().backward()
    assert w.grad.tolist() == [20.0, 10.0, 2.0]


def image():
    """Kernels put the batch last: all of it as one row is a copy, a row for each image is not."""
    return nn.functional.avg_pool2d(mc.ones(3, 1, 4, 4, requires_grad=True), 2)


TIES = {
    "view": lambda p: p.view(-1),
    "reshape": lambda p: p.reshape(6, 2),
    "flatten": lambda p: p.flatten(),
    "flatten of a part": lambda p: p[1:].flatten(),
    "contiguous": lambda p: p.contiguous(),
    "view of the mean": lambda p: p.expand(3, 4, 2, 2).mean((2, 3)).view(-1),
}


@pytest.mark.parametrize("name", TIES)
def test_a_copy_that_stands_for_a_view_cannot_be_written(name):
    y = TIES[name](image())
    (y * 2).sum().backward()
    for change in (lambda: y.detach().zero_(), lambda: y.detach()[0].fill_(1), lambda: y.mul_(2)):
        with pytest.raises(InPlaceError, match=r"read-only.*view\(\) or flatten\(\) had to copy"):
            change()
    with pytest.raises(ValueError, match="read-only"):
        y.data.numpy()[:] = 0


@pytest.mark.parametrize("name", ["view", "flatten", "contiguous"])
def test_what_was_copied_cannot_be_written_while_the_copy_lives(name):
    p = image()
    before, data = p[0], p.data
    copy = TIES[name](p)
    for change in (lambda: p.mul_(2), lambda: before.mul_(2), lambda: data.zero_(),
                   lambda: p.detach()[0, 0, 0, 0].fill_(1)):  # fmt: skip
        with pytest.raises(InPlaceError, match=r"view\(\), flatten\(\) or .* had to copy"):
            change()
    with pytest.raises(ValueError, match="read-only"):
        p.detach().numpy()[:] = 0
    del copy
    p.mul_(2)
    assert p.sum().item() == 24.0


def test_rows_of_a_pooled_image_are_a_view_and_other_copies_are_ones_own():
    p = image()
    p.view(p.size(0), -1).mul_(3)
    assert p.sum().item() == 36.0
    batch_last = p.permute(1, 2, 3, 0)
    for own in (batch_last.reshape(-1), batch_last.contiguous(), p[:, :, 1:].flatten()):
        own.mul_(2)
    assert p.sum().item() == 36.0


def test_a_change_of_rows_that_wait_is_seen_in_the_image_that_is_held():
    class Model(nn.Module):
        def forward(self, x, held):
            x = nn.functional.avg_pool2d(x, 2)
            image = x if held else None
            rows = nn.functional.relu(x.view(x.size(0), -1), inplace=True)
            return rows if image is None else image

    x = -mc.ones(2, 1, 4, 4)
    assert Model()(x, held=True).sum().item() == 0.0
    assert Model()(x, held=False).sum().item() == 0.0


@pytest.mark.parametrize("f", [
    lambda t: t.prod(), lambda t: t.prod(0), lambda t: t.sort().values, lambda t: t.sum(),
    lambda t: t.max(), lambda t: t.reshape(1).cumsum(0), lambda t: t.reshape(1).diag(),
    lambda t: t * 1, lambda t: t.abs(), lambda t: t.topk(1).values, lambda t: t.repeat(1),
])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_result_is_no_view(f, shape):
    for library in LIBRARIES:
        t = library.ones(shape)
        f(t).mul_(2)
        assert t.item() == 1.0

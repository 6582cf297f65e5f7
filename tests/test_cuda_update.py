"""The optimisers' updates of many tensors in one launch, and the numbers that a replay changes."""

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import kernels
from minicnn.errors import GradientError
from minicnn.kernels import recording
from minicnn.kernels.cuda import update
from minicnn.nn import functional as F

SIZES = [(3, 4), (0,), (1,), (1000,), (2, 3, 1)]


def arrays(gpu, rng, shapes, dtype=np.float64):
    return [gpu.asarray(rng.standard_normal(shape).astype(dtype)) for shape in shapes]


def parameters(gpu, shapes=SIZES, dtype=np.float64):
    """The same numbers as tensors on the GPU and as torch's on the CPU."""
    rng = np.random.default_rng(3)
    ours = [mc.Tensor(a, requires_grad=True) for a in arrays(gpu, rng, shapes, dtype)]
    return ours, [torch.tensor(p.array.get(), requires_grad=True) for p in ours]


OPTIMIZERS = {
    "sgd": lambda lib, p: lib.SGD(p, lr=0.1),
    "momentum": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "nesterov": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda lib, p: lib.Adam(p, lr=0.1, betas=(0.8, 0.95), weight_decay=0.02),
    "adamw": lambda lib, p: lib.AdamW(p, lr=0.1, eps=1e-3),
}


def set_gradients(gpu, ours, theirs, seed, leave_out=None):
    rng = np.random.default_rng(seed)
    for i, (p, t) in enumerate(zip(ours, theirs, strict=True)):
        g = rng.standard_normal(p.shape).astype(p.dtype)
        p.grad = None if i == leave_out else mc.Tensor(gpu.asarray(g))
        t.grad = None if i == leave_out else torch.tensor(g)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_several_steps_are_pytorch_s(gpu, name):
    """Some without a gradient for one parameter, so that counts of steps differ."""
    ours, theirs = parameters(gpu)
    optimizer, other = OPTIMIZERS[name](mc.optim, ours), OPTIMIZERS[name](torch.optim, theirs)
    for step in range(5):
        set_gradients(gpu, ours, theirs, step, leave_out=3 if step == 2 else None)
        optimizer.step()
        other.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array.get(), t.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_and_state_in_any_order(gpu, name):
    """A matrix that lies by columns, then by rows with its state still by columns."""
    ours, theirs = parameters(gpu)
    ours[0] = mc.Tensor(gpu.asarray(np.asfortranarray(ours[0].array.get())), requires_grad=True)
    assert not ours[0].array.flags.c_contiguous
    optimizer, other = OPTIMIZERS[name](mc.optim, ours), OPTIMIZERS[name](torch.optim, theirs)
    for step in range(4):
        if step == 2:
            ours[0].data = mc.Tensor(gpu.ascontiguousarray(ours[0].array))
        set_gradients(gpu, ours, theirs, step)
        optimizer.step()
        other.step()
    assert ours[0].array.flags.c_contiguous
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array.get(), t.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_an_update_of_ones_own_is_used(gpu):
    class Half(mc.optim.SGD):
        def _update(self, p, g, group):
            p.array -= group["lr"] * 0.5 * g

    p = mc.ones(2, device="cuda", requires_grad=True)
    optimizer = Half([p], lr=1)
    p.grad = mc.ones(2, device="cuda")
    optimizer.step()
    assert p.tolist() == [0.5, 0.5]
    g = mc.cuda.CUDAGraph()
    with pytest.raises(GradientError, match="SGD and Adam as they are can"), mc.cuda.graph(g):
        optimizer.step()


def test_a_replay_asks_for_options_that_were_loaded(gpu):
    p = mc.ones(2, device="cuda", requires_grad=True)
    p.grad = mc.ones(2, device="cuda")
    optimizer, g = mc.optim.SGD([p], lr=1), mc.cuda.CUDAGraph()
    with g.warm_up():
        optimizer.step()
    with mc.cuda.graph(g):
        optimizer.step()
    optimizer.load_state_dict(mc.optim.SGD([mc.ones(2)], lr=0.25).state_dict())
    g.replay()
    assert p.tolist() == [-0.25, -0.25]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_gives_the_reference_s_numbers(gpu, name):
    ours, twins = parameters(gpu, dtype=np.float32)[0], parameters(gpu, dtype=np.float32)[0]
    one, other = OPTIMIZERS[name](mc.optim, ours), OPTIMIZERS[name](mc.optim, twins)
    for step in range(3):
        set_gradients(gpu, ours, ours, step)
        for p, t in zip(ours, twins, strict=True):
            g = np.random.default_rng(step).standard_normal(p.shape).astype(np.float32)
            p.grad, t.grad = mc.Tensor(gpu.asarray(g)), mc.Tensor(gpu.asarray(g))
        one.step()
        kernels.use("reference")
        other.step()
        kernels.use("numba")
    for p, t in zip(ours, twins, strict=True):
        np.testing.assert_allclose(p.array.get(), t.array.get(), rtol=2e-6, atol=1e-6)


def launches(monkeypatch):
    """The names of the kernels that update.py launches from now on."""
    names, launch = [], update.launch

    def noted(file, kernel, *args, **kwargs):
        names.append(kernel)
        launch(file, kernel, *args, **kwargs)

    monkeypatch.setattr(update, "launch", noted)
    return names


def test_one_launch_for_all_parameters(gpu, monkeypatch):
    names = launches(monkeypatch)
    ours, theirs = parameters(gpu)
    optimizer = mc.optim.Adam(ours)
    set_gradients(gpu, ours, theirs, 0)
    optimizer.step()
    assert names == ["adam"]


def test_more_tensors_than_a_launch_takes(gpu, monkeypatch):
    names = launches(monkeypatch)
    ours, theirs = parameters(gpu, [(n % 5,) for n in range(200)])
    optimizer, other = (lib.SGD(p, lr=0.5) for lib, p in ((mc.optim, ours), (torch.optim, theirs)))
    set_gradients(gpu, ours, theirs, 0)
    optimizer.step()
    other.step()
    assert names == ["sgd"] * 3
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array.get(), t.detach().numpy(), rtol=1e-13)


def test_plain_sgd_keeps_no_state(gpu):
    ours, theirs = parameters(gpu)
    optimizer = mc.optim.SGD(ours, lr=0.1)
    set_gradients(gpu, ours, theirs, 0)
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


# ---- what a replay is told -----------------------------------------------------------------------


@pytest.fixture
def being_recorded(gpu, monkeypatch):
    """A Recording that is active, without a capture: launches run at once."""
    kept = recording.Recording(gpu.zeros(64, np.int64), lambda words, values: None)
    monkeypatch.setattr(recording, "active", kept)
    return kept


def fill(being_recorded):
    being_recorded.refresh()
    being_recorded.words.set(being_recorded._values)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_options_in_a_slot(gpu, being_recorded, monkeypatch, name):
    """They are read when the kernel runs: here nothing, as the slot is still all zeros."""
    ours, theirs = parameters(gpu)
    optimizer, other = OPTIMIZERS[name](mc.optim, ours), OPTIMIZERS[name](torch.optim, theirs)
    set_gradients(gpu, ours, theirs, 0)
    with monkeypatch.context() as outside:
        outside.setattr(recording, "active", None)
        optimizer.step()
    other.step()
    set_gradients(gpu, ours, theirs, 1)
    arrays_of = [optimizer._arrays(p, p.grad.array, optimizer.param_groups[0]) for p in ours]
    optimizer.step()  # one slot; counts no step
    other.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] = 0.03
    for k, (p, t) in enumerate(zip(ours, theirs, strict=True)):  # undo what the zeros did
        p.array[...] = gpu.asarray(t.detach().numpy())
        for a, key in zip(arrays_of[k][2:], ("exp_avg", "exp_avg_sq"), strict=False):
            state = other.state[t]
            a[...] = gpu.asarray(state.get(key, state.get("momentum_buffer")).numpy())
    fill(being_recorded)
    kind = update.SGD if name == "momentum" else update.ADAM
    launch = update.sgd_all if name == "momentum" else update.adam_all
    words = being_recorded.words[: kind.itemsize // 8]
    launch(*(list(column) for column in zip(*arrays_of, strict=True)), words)
    other.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array.get(), t.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_a_capture_before_the_first_step_is_refused(gpu, being_recorded):
    ours, theirs = parameters(gpu)
    set_gradients(gpu, ours, theirs, 0)
    with pytest.raises(GradientError, match=r"Adam.step: run a step before you capture one"):
        mc.optim.Adam(ours).step()


def test_optimisers_without_a_kernel_are_refused_in_a_capture(gpu, being_recorded):
    ours, theirs = parameters(gpu)
    set_gradients(gpu, ours, theirs, 0)
    with pytest.raises(GradientError, match=r"RMSprop.step: cannot be captured"):
        mc.optim.RMSprop(ours).step()


def test_nothing_is_updated_after_a_halt(gpu, being_recorded):
    being_recorded.halt = gpu.zeros(1, np.int32)
    p, g = gpu.ones(5), gpu.ones(5)
    options = update.sgd_options(False, 1.0, 0.0, 0.0, 0.0, False)
    update.sgd_all([p], [g], None, options)
    being_recorded.halt[...] = 7
    update.sgd_all([p], [g], None, options)
    update.adam_all([p], [g], [g.copy()], [g.copy()], update.adam_options(1, 1, 0.9, 0.9, 0, 0, 0))
    assert p.get().tolist() == [0] * 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_check_finite_tells_the_step(gpu, bad):
    tensors = arrays(gpu, np.random.default_rng(0), [(5,)] * 100 + [(300, 7)], np.float32)
    halt = gpu.zeros(1, np.int32)
    update.check_finite(tensors, halt, 4)
    assert halt.get().tolist() == [0]
    tensors[98][2] = bad
    update.check_finite(tensors, halt, gpu.asarray(np.array([9])))
    assert halt.get().tolist() == [9]
    update.check_finite(tensors, halt, 10)  # the first stays
    assert halt.get().tolist() == [9]


def test_dropout_counters_in_a_slot(gpu):
    x = gpu.ones((3, 50))
    expected, _ = kernels.forward("dropout", x, 0.4, 2**63 + 5, 17)
    slot = gpu.asarray(np.array([2**63 + 5, 17], np.uint64).view(np.int64))
    found, saved = kernels.forward("dropout", x, 0.4, slot, 0)
    np.testing.assert_array_equal(found.get(), expected.get())
    (dx,) = kernels.backward("dropout", x, saved, (True,))
    np.testing.assert_array_equal(dx.get(), expected.get())


def test_a_loss_does_not_read_the_host_while_recording(gpu, being_recorded):
    logits = mc.Tensor(gpu.zeros((2, 3)))
    loss = F.cross_entropy(logits, mc.Tensor(gpu.asarray(np.array([0, 3]))))
    assert np.isnan(loss.array.get())

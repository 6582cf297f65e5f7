"""CUDA graphs: what is captured, replayed with the numbers of now, equals the work done at once."""

import gc

import numpy as np
import pytest
from cuda_on_cpu import driver, memory

import minicnn as mc
from minicnn import nn
from minicnn.errors import DeviceError
from minicnn.kernels import recording
from minicnn.kernels.cuda import graphs
from minicnn.nn import functional as F
from minicnn.optim.lr_scheduler import OneCycleLR


def net():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(12, 5),
    )  # fmt: skip


OPTIMIZERS = {
    "adam": lambda p: mc.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "momentum": lambda p: mc.optim.SGD(p, lr=0.01, momentum=0.9),
}


class Training:
    """A net that takes steps on arrays of its own."""

    def __init__(self, optimizer):
        mc.manual_seed(5)
        self.net = net().cuda()
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        self.schedule = OneCycleLR(self.optimizer, max_lr=0.05, total_steps=20)
        self.x, self.y = mc.zeros(4, 1, 7, 7, device="cuda"), mc.zeros(4, device="cuda").long()
        self.losses = []

    def step(self):
        self.optimizer.zero_grad()
        self.loss = F.cross_entropy(self.net(self.x), self.y)
        self.loss.backward()
        self.optimizer.step()

    def run(self, steps, replay=None):
        """Steps on new images; losses are written down."""
        for _ in range(steps):
            rng = np.random.default_rng(len(self.losses))
            self.x.copy_(mc.tensor(rng.random((4, 1, 7, 7), np.float32)))
            self.y.copy_(mc.tensor(rng.integers(0, 5, 4)))
            (replay or self.step)()
            self.schedule.step()
            self.losses.append(self.loss.item())

    def state(self):
        tensors = [*self.net.parameters(), *self.net.buffers()]
        entries = self.optimizer.state_dict()["state"]
        arrays = [t.array.get() for t in tensors]
        arrays += [np.asarray(t.cpu().array) for e in entries.values() for t in e.values()]
        return arrays, self.losses, mc.default_generator.get_state()["offset"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replays_equal_steps(gpu, optimizer):
    eager = Training(optimizer)
    eager.run(8)
    expected = eager.state()
    captured = Training(optimizer)
    captured.run(1)
    g = mc.cuda.CUDAGraph()
    with g.warm_up():
        captured.run(1)
    with mc.cuda.graph(g):
        captured.step()
    captured.run(4, g.replay)
    captured.run(1)  # a step by itself in between
    with mc.cuda.graph(g):  # once more, for the loss of the step in between has gone
        captured.step()
    captured.run(1, g.replay)
    found = captured.state()
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[1:] == expected[1:]


def test_a_capture_runs_nothing_and_draws_nothing(gpu):
    training = Training("adam")
    training.run(1)
    g = mc.cuda.CUDAGraph()
    with g.warm_up():
        training.run(1)
    before = training.state()
    with mc.cuda.graph(g):
        training.step()
    after = training.state()
    for a, b in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert before[2] == after[2]
    assert recording.active is None


def test_an_error_inside_ends_the_capture(gpu):
    g = mc.cuda.CUDAGraph()
    x = mc.ones(3, device="cuda")
    with g.warm_up():
        (x * 2).sum()
    with pytest.raises(ZeroDivisionError), mc.cuda.graph(g):
        (x * 2).sum().__class__(1 // 0)
    assert recording.active is None
    with pytest.raises(Exception, match="captur"), mc.cuda.graph(g):
        (x * 2).sum().item()  # the host would have to wait
    assert recording.active is None
    assert (x * 2).tolist() == [2, 2, 2]  # work goes on
    with pytest.raises(DeviceError, match="replay: nothing was captured"):
        g.replay()
    with mc.cuda.graph(g):
        y = x * 2
    x.fill_(4)
    g.replay()
    assert y.tolist() == [8, 8, 8]


def test_only_one_capture_at_a_time(gpu):
    g, other = mc.cuda.CUDAGraph(), mc.cuda.CUDAGraph()
    with pytest.raises(DeviceError, match="a capture is going on already"), mc.cuda.graph(g):
        other.capture_begin()
    with pytest.raises(DeviceError, match="there is no capture of this graph"):
        g.capture_end()


def test_reset_waits_for_the_end_of_a_capture(gpu):
    g = mc.cuda.CUDAGraph()
    with pytest.raises(DeviceError, match="reset: a capture of this"), mc.cuda.graph(g):
        g.reset()
    assert recording.active is None
    g.reset()


def test_what_the_graph_writes_is_nobody_elses_memory(gpu):
    g = mc.cuda.CUDAGraph()
    x = mc.ones(1000, device="cuda")
    with g.warm_up():
        y = ((x * 2) + 1) * 3
    del y
    with mc.cuda.graph(g):
        y = ((x * 2) + 1) * 3
    others = [mc.full((1000,), float(i), device="cuda") for i in range(20)]
    g.replay()
    for i, other in enumerate(others):
        assert other.eq(i).all()
    assert y.eq(9).all()


def test_the_memory_of_a_graph_that_is_gone_serves_the_next(gpu):
    gc.collect()  # what other tests have left
    before, lanes = mc.cuda.memory_allocated(), set()
    for _ in range(4):
        g = mc.cuda.CUDAGraph()
        with g.warm_up():
            mc.ones(1000, device="cuda")
        with mc.cuda.graph(g):
            y = mc.ones(1000, device="cuda")
        g.replay()
        assert mc.cuda.memory_allocated() >= before + 4000  # y's, in the memory of the graph
        lanes.add(g.pool()._lane)
        del y
        del g
        gc.collect()
    (lane,) = lanes
    assert mc.cuda.memory_allocated() == before
    assert lane.memory.total_bytes() == 0  # given back to the GPU
    g, other = mc.cuda.CUDAGraph(), mc.cuda.CUDAGraph()
    assert g.pool().stream != other.pool().stream


def test_a_full_gpu_never_takes_memory_from_under_a_graph(standin, monkeypatch):
    """What is free in a graph's pool stays there, for the graph writes to it."""
    g, x = mc.cuda.CUDAGraph(), mc.ones(1000, device="cuda")
    with g.warm_up():
        y = (x + 1) * 3
    del y
    with mc.cuda.graph(g):
        y = (x + 1) * 3
    message = r"8192 bytes more for a CUDA graph: .*out of memory"
    with monkeypatch.context() as patched:
        patched.setattr(memory, "Buffer", no_memory)
        with pytest.raises(MemoryError, match=message), g.warm_up():
            mc.ones(2000, device="cuda")
    g.replay()
    assert y.eq(6).all()


def no_memory(size):
    """In place of what the driver gives."""
    raise driver.CUDARuntimeError("cudaErrorMemoryAllocation")


def test_a_new_graph_gets_what_others_have_left(standin, monkeypatch):
    """Where the GPU is full of the default pool's free blocks."""
    mc.ones(5000, device="cuda")
    pool = standin.get_default_memory_pool()
    assert pool.free_bytes() > 0
    g = mc.cuda.CUDAGraph()
    with g.warm_up():
        assert pool.free_bytes() == 0


def test_numbers_that_did_not_change_are_not_written_again(gpu, monkeypatch):
    written = []

    def noted(words, values):
        written.append(values.view(np.float64)[1])  # SGD's lr
        write_words(words, values)

    write_words = graphs.write_words
    monkeypatch.setattr(graphs, "write_words", noted)
    p = mc.zeros(3, device="cuda", requires_grad=True)
    p.grad = mc.ones(3, device="cuda")
    optimizer, g = mc.optim.SGD([p], lr=0.5), mc.cuda.CUDAGraph()
    with g.warm_up():
        optimizer.step()
    with mc.cuda.graph(g):
        optimizer.step()
    for lr in (0.5, 0.5, 0.25, 0.25, 0.5):
        optimizer.param_groups[0]["lr"] = lr
        g.replay()
    assert written == [0.5, 0.25, 0.5]
    assert p.tolist() == [-2.5] * 3


def test_many_slots_are_written_in_several_launches(gpu):
    g = mc.cuda.CUDAGraph()
    x = mc.ones(50, device="cuda")
    with g.warm_up():
        found = [F.dropout(x, 0.5) for _ in range(300)]
    del found
    with mc.cuda.graph(g):
        found = [F.dropout(x, 0.5) for _ in range(300)]  # 600 words, 480 in a launch
    mc.manual_seed(3)
    g.replay()
    replayed = [y.tolist() for y in found]
    mc.manual_seed(3)
    assert replayed == [F.dropout(x, 0.5).tolist() for _ in range(300)]


def test_cublas_is_not_captured(gpu, monkeypatch):
    """CuPy refuses it; such products are a reason to go step by step."""
    from minicnn.kernels.cuda import gemm

    monkeypatch.setattr(gemm, "CUBLAS", 0)
    a = mc.ones(3, 3, device="cuda")
    g = mc.cuda.CUDAGraph()
    with g.warm_up():
        F.linear(a, a)
    with pytest.raises(NotImplementedError, match="cuBLAS"), mc.cuda.graph(g):
        F.linear(a, a)


def test_events_and_devices(gpu):
    start, end = mc.cuda.Event(enable_timing=True), mc.cuda.Event(enable_timing=True)
    start.record()
    mc.ones(3, device="cuda") * 2
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) >= 0
    free, total = mc.cuda.mem_get_info()
    assert 0 < free <= total


def test_the_current_device(standin):
    with mc.cuda.device(1):
        assert mc.cuda.current_device() == 1
        assert str(mc.ones(2, device="cuda").relu().device) == "cuda:1"
    mc.cuda.set_device(1)
    assert mc.cuda.current_device() == 1
    mc.cuda.set_device("cuda:0")
    assert mc.cuda.current_device() == 0
    for wrong in (2, "cuda:2"):
        for ask in (mc.cuda.set_device, mc.cuda.get_device_name, mc.cuda.memory_allocated):
            with pytest.raises(
                DeviceError, match=r"^device 'cuda:2' cannot be used: there are 2 GPU"
            ):
                ask(wrong)
    with pytest.raises(DeviceError, match="device 'cpu' is no GPU"):
        mc.cuda.synchronize("cpu")
    assert {"graph", "CUDAGraph", "Event"} <= set(dir(mc.cuda))

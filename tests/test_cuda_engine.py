"""What users write, with tensors on a GPU: moving, indexing, mixing devices, losses, optimisers."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import nn
from minicnn.errors import AnomalyError, ArgumentError, DeviceError, DtypeError
from minicnn.kernels.cuda import launch
from minicnn.nn import functional as F


@pytest.fixture
def x(gpu):
    return mc.arange(24.0, device="cuda").reshape(2, 3, 4)


def test_what_cuda_tells(gpu, x):
    assert mc.cuda.is_available()
    assert mc.cuda.device_count() >= 1
    assert mc.cuda.memory_allocated() >= 24 * 4
    assert (x.is_cuda, x.device, str(x.cpu().device)) == (True, mc.device("cuda:0"), "cpu")
    assert repr(mc.arange(2.0, device="cuda")) == "tensor([0., 1.], device='cuda:0')"
    mc.cuda.synchronize()
    del x
    mc.cuda.empty_cache()


def test_a_device_by_its_number(gpu):
    layer = nn.Linear(1, 1).cuda(0)
    for t in (mc.ones(2).cuda(0), mc.ones(2).to(0), mc.ones(2).to(device=0), mc.ones(2, device=0),
              layer.weight, mc.zeros(1).to(0, mc.float64)):  # fmt: skip
        assert t.device == "cuda:0"
    for wrong in (-1, True, 1.5):
        with pytest.raises((ArgumentError, DtypeError, TypeError)):
            mc.ones(2).to(wrong)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **where: nn.Linear(3, 2, **where), (5, 3)),
        (lambda **where: nn.Conv2d(3, 2, 2, **where), (5, 3, 4, 4)),
        (lambda **where: nn.ConvTranspose2d(3, 2, 2, **where), (5, 3, 4, 4)),
        (lambda **where: nn.Subsample2d(3, 2, **where), (5, 3, 4, 4)),
        (lambda **where: nn.BatchNorm2d(3, **where), (5, 3, 4, 4)),
        (lambda **where: nn.LazyLinear(2, **where), (5, 3)),
        (lambda **where: nn.LazyConv2d(2, 2, **where), (5, 3, 4, 4)),
    ],
)
def test_layers_made_on_a_device(gpu, make, shape):
    """With the weights that the seed gives anywhere."""
    x, results = mc.rand(*shape, dtype=mc.float64), []
    for device in ("cuda", "cpu"):
        mc.manual_seed(3)
        layer = make(device=device, dtype=mc.float64)
        results.append(layer(x.to(device)).detach().cpu().numpy())
        assert {t.device.type for t in (*layer.parameters(), *layer.buffers())} == {device}
    np.testing.assert_allclose(*results, rtol=1e-12)


def test_there_and_back(gpu):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).cuda()
    assert {str(t.device) for t in (*model.parameters(), *model.buffers())} == {"cuda:0"}
    assert {str(p.device) for p in model.cpu().parameters()} == {"cpu"}
    t = mc.ones(2, requires_grad=True)
    (t.to("cuda") * 3).sum().backward()  # the gradient comes back over the move
    assert t.grad.tolist() == [3, 3]
    assert str(t.grad.device) == "cpu"
    with pytest.raises(DeviceError, match=r"on cuda:0; use tensor.cpu\(\).numpy\(\)"):
        t.detach().cuda().numpy()


def test_mixed_devices_name_both_tensors_and_the_layer(gpu, x):
    with pytest.raises(
        DeviceError, match=r"Mul: input \(2, 3, 4\) on cuda:0, other \(4,\) on cpu: bring them"
    ):
        x * mc.ones(4)
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU())
    found = (
        r"Conv2d: input \(1, 3, 4, 4\) on cuda:0, weight \(4, 3, 2, 2\) on cpu, .*\[Sequential.0\]"
    )
    with pytest.raises(DeviceError, match=found):
        model(mc.ones(1, 3, 4, 4, device="cuda"))
    with pytest.raises(DeviceError, match=r"Cat: tensors \(2,\) on cuda:0, tensors \(2,\) on cpu"):
        mc.cat([mc.ones(2, device="cuda"), mc.ones(2)])


def test_without_a_toolkit_one_line_says_how_to_get_it(standin, monkeypatch):
    def get_function(self, name):
        raise RuntimeError("Failed to find CUDA headers.\nPlease ...")

    monkeypatch.setattr(standin.RawModule, "get_function", get_function)
    for cached in (launch._function, launch._module):
        cached.cache_clear()
    with pytest.raises(DeviceError, match=r"CuPy has no CUDA toolkit .*cupy-cuda13x\[ctk\]"):
        mc.ones(2, device="cuda").relu()


def test_a_second_gpu(standin):
    there = mc.ones(2, device="cuda:1")
    with pytest.raises(DeviceError, match=r"input \(2,\) on cuda:1, other \(2,\) on cuda:0"):
        there + mc.ones(2, device="cuda")
    with pytest.raises(DeviceError, match=r"on cuda:1, .*minicnn.cuda.set_device\(1\) first"):
        there.relu()
    with pytest.raises(DeviceError, match=r"device 'cuda:7' cannot be used: there are 2 GPUs"):
        there.to("cuda:7")


def test_indices_and_values_may_be_on_the_cpu(gpu, x):
    """As in PyTorch; they are moved."""
    expected = x.cpu().numpy()
    where = np.array([1, 0, 1])
    for index in (where, mc.tensor(where), [1, 0, 1], mc.tensor(where, device="cuda")):
        np.testing.assert_array_equal(x[index].cpu().numpy(), expected[where])
    np.testing.assert_array_equal(x[x > 5].cpu().numpy(), expected[expected > 5])
    x[0, 1] = mc.zeros(4)
    x[:, 2] = np.ones(4, np.float32)
    assert x[0].tolist() == [[0, 1, 2, 3], [0] * 4, [1] * 4]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ((np.array([0, 3]), 1), r"index: index 3 is out of bounds for axis 0 with size 2 \(the"),
        ((0, None, [[-4], [0]]), "index -4 is out of bounds for axis 0 with size 3"),  # of x[0]
        ((..., np.array([1, 9, 4])), "index 9 is out of bounds for axis 2 with size 4"),
        ((np.array([True, False]), np.array([3])), "3 is out of bounds for axis 1 with size 3"),
        ((np.ones((2, 3), bool), np.array([4], np.uint8)), "4 is out of bounds for axis 2 with"),
        ((slice(1), 5), "index 5 is out of bounds for axis 1 with size 3"),
    ],
)
def test_integers_out_of_range_do_not_wrap_around(gpu, x, index, message):
    with pytest.raises(IndexError, match=message):
        x[index]
    with pytest.raises(IndexError, match=message):
        x[index] = 1


def test_too_many_index_arrays(gpu, x):
    with pytest.raises(IndexError, match="too many indices"):
        x[[0], [0], [0], [0]]


def test_values_with_dimensions_of_one_in_front(gpu, x):
    x[[1, 0]] = mc.arange(12.0).reshape(1, 1, 3, 4)
    assert x[0].tolist() == x[1].tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_integers_that_are_in_range(gpu, x):
    a = x.cpu().numpy()
    mask = a[:, :, 0] > 0
    for index in (
        mask.tolist(), (mask.tolist(), [3] * mask.sum()), ([], 1), mask,
        (..., np.array([-4, 3])), (np.array([], np.int64), 1), (None, [1, -2]),
        (np.array([[0], [1]], np.int8), slice(None), np.array([[3, 0]])),
        (slice(None), np.array([True, False, True]), np.array([3, 1])),
    ):  # fmt: skip
        np.testing.assert_array_equal(x[index].cpu().numpy(), a[index])


@pytest.mark.parametrize("dtype", [mc.float32, mc.float64, mc.float16, mc.int64, mc.bool])
@pytest.mark.parametrize(
    "index", [([0, 1, 0, 0, 1],), (..., [3, 1, 3], slice(None)), ([[1], [-1]], [0, 2, 0])]
)
def test_of_values_for_one_element_the_last_stays(gpu, index, dtype):
    """As on the CPU, where a loop writes one after another."""
    results = []
    for device in ("cuda", "cpu"):
        x = mc.zeros(2, 4, 3, dtype=dtype).to(device)
        values = mc.arange(1, 1 + x[index].numel(), dtype=dtype).reshape(x[index].shape).to(device)
        x[index] = values
        results.append(x.cpu().numpy())
    np.testing.assert_array_equal(*results)


def test_the_gradient_of_a_write_goes_to_the_value_that_stayed(gpu):
    found = []
    for device in ("cuda", "cpu"):
        x = mc.ones(4, device=device, requires_grad=True)
        values = mc.arange(5.0, device=device).requires_grad_()
        y = x * 1
        y[[2, 0, 2, 2, 0]] = values
        (y * mc.arange(1.0, 5, device=device)).sum().backward()
        found.append((y.tolist(), x.grad.tolist(), values.grad.tolist()))
    assert found[0] == found[1]
    assert found[0][2] == [0, 0, 0, 3, 1]


def test_weights_are_counted_in_order(gpu):
    where = mc.tensor([3, 0, 3, 3], device="cuda")
    assert mc.bincount(where, minlength=5).tolist() == [1, 0, 0, 3, 0]
    assert mc.bincount(where, mc.tensor([0.5, 2, 1, 4], device="cuda")).tolist() == [2, 0, 0, 5.5]


def test_a_state_dict_from_the_cpu(gpu):
    here, there = nn.Linear(3, 2), nn.Linear(3, 2).cuda()
    there.load_state_dict(here.state_dict())
    assert str(there.weight.device) == "cuda:0"
    assert there.weight.tolist() == here.weight.tolist()


LOSSES = {
    "mse_loss": lambda a, t: F.mse_loss(a, t), "l1_loss": lambda a, t: F.l1_loss(a, t),
    "binary_cross_entropy": lambda a, t: F.binary_cross_entropy(a, t),
    "nll_loss": lambda a, t: F.nll_loss(a.log_softmax(1), t.argmax(1)),
    "soft": lambda a, t: F.cross_entropy(a, t.softmax(1)),
    "dimensions": lambda a, t: F.cross_entropy(a[..., None], t.argmax(1)[..., None]),
    "one_hot": lambda a, t: (a * F.one_hot(t.argmax(1), 3)).sum(),
    "layers": lambda a, t: F.local_response_norm(F.pad(a[None, None], (1, 1, 1, 1), "reflect"), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_functions_give_what_they_give_on_the_cpu(gpu, name):
    rng = np.random.default_rng(0)
    a, t = rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(0.1, 0.9, (4, 3))
    found = []
    for device in "cpu", "cuda":
        leaf = mc.tensor(a, device=device, requires_grad=True)
        loss = LOSSES[name](leaf, mc.tensor(t, device=device)).sum()
        loss.backward()
        found.append((loss.item(), leaf.grad.cpu().numpy()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-12)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_optimisers_and_clipping(gpu, name):
    results = []
    for device in "cpu", "cuda":
        mc.manual_seed(1)
        model = nn.Linear(4, 3).to(device)
        optimizer = getattr(mc.optim, name)(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(mc.ones(2, 4, device=device)).square().sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        results.append(model.weight.detach().cpu().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)


def test_anomaly_detection(gpu):
    a = mc.zeros(2, device="cuda", requires_grad=True)
    with (
        mc.autograd.set_detect_anomaly(True),
        pytest.raises(AnomalyError, match="Log: forward gave 2 values"),
    ):
        a.log()


def test_gradients_are_checked_on_the_cpu(gpu, x):
    with pytest.raises(DeviceError, match=r"gradcheck: compares numbers on the CPU"):
        mc.gradcheck.gradcheck(lambda a: a * a, x.double().requires_grad_())

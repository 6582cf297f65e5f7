"""Initial weights: the layers' own and nn.init's, measured against what PyTorch draws."""

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn import nn
from minicnn.errors import ArgumentError, ShapeError
from minicnn.nn import init


@pytest.fixture(autouse=True)
def _torch_seeded():
    torch.manual_seed(0)


def numbers(tensor):
    return tensor.detach().numpy().ravel().astype(np.float64)


def ks_distance(a, b):
    """The largest difference between the two samples' cumulative distributions."""
    both = np.sort(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return np.abs(below[0] - below[1]).max()


def same_distribution(ours, theirs):
    """Two samples that a Kolmogorov-Smirnov test of level 1e-4, mean and deviation cannot tell."""
    a, b = numbers(ours), numbers(theirs)
    n = len(a)
    assert ours.shape == tuple(theirs.shape)
    assert n >= 20_000
    assert ks_distance(a, b) < np.sqrt(-np.log(1e-4 / 2) / 2) * np.sqrt(2 / n)
    deviation = b.std()
    assert abs(a.mean() - b.mean()) < 4 * deviation * np.sqrt(2 / n)
    assert abs(a.std() / deviation - 1) < 4 / np.sqrt(n)
    assert (a[: n // 2] != a[n // 2 : n // 2 * 2]).mean() > 0.99  # they are all drawn anew


def same_bounds(ours, theirs):
    """Uniform samples that end at the same bounds: the sample's ends are within 20 gaps of them."""
    a, b = numbers(ours), numbers(theirs)
    gap = 20 * (b.max() - b.min()) / len(b)
    assert abs(a.max() - b.max()) < gap
    assert abs(a.min() - b.min()) < gap


def test_the_distance_between_distributions():
    """The measure itself: it sees a scale, a shift and another shape."""
    rng = np.random.default_rng(0)
    a, limit = rng.uniform(-1, 1, 20_000), 2.2 * np.sqrt(2 / 20_000)
    assert ks_distance(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert ks_distance(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 0.5
    assert ks_distance(a, rng.uniform(-1, 1, 20_000)) < limit
    for other in (1.1 * a, a + 0.05, rng.normal(0, a.std(), 20_000)):
        assert ks_distance(a, other) > limit


# ---- the layers' own -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.Linear(30, 20_000),
        lambda lib: lib.Linear(7, 30_000),
        lambda lib: lib.Conv2d(6, 20_000, (5, 3)),
        lambda lib: lib.Conv2d(8, 20_000, (2, 3), groups=4),
    ],
    ids=["Linear", "small fan", "Conv2d", "groups"],
)
def test_a_layer_starts_as_pytorchs(make):
    ours, theirs = make(nn), make(torch.nn)
    for name in ("weight", "bias"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.dtype == np.float32
        same_distribution(a, b)
        same_bounds(a, b)


@pytest.mark.parametrize("make", [lambda lib: lib.BatchNorm2d(5), lambda lib: lib.BatchNorm1d(5)])
def test_batch_norm_starts_as_pytorchs(make):
    theirs = make(torch.nn).state_dict()
    assert {k: v.tolist() for k, v in make(nn).state_dict().items()} == {
        k: v.tolist() for k, v in theirs.items()
    }


def test_weights_and_biases_are_drawn_independently():
    layer, other = nn.Linear(100, 100), nn.Linear(100, 100)
    assert layer.weight.tolist() != other.weight.tolist()
    assert layer.weight[0].tolist() != layer.bias.tolist()
    assert abs(np.corrcoef(numbers(layer.weight), numbers(other.weight))[0, 1]) < 0.05


@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 4), lambda: nn.Conv2d(2, 3, 3)])
def test_a_seed_gives_the_same_layer_again(make):
    mc.manual_seed(5)
    first = make().weight.tolist()
    mc.manual_seed(5)
    layer = make()
    assert layer.weight.tolist() == first
    layer.reset_parameters()
    assert layer.weight.tolist() != first
    assert make().weight.tolist() != first


def test_a_layer_in_another_type():
    """The numbers do not depend on the type, but are as fine as it allows."""
    for make in (lambda **how: nn.Linear(3, 4, **how), lambda **how: nn.Conv2d(2, 3, 3, **how)):
        mc.manual_seed(5)
        wide = make(dtype=mc.float64).weight
        mc.manual_seed(5)
        narrow = make().weight
        assert wide.dtype == np.float64
        np.testing.assert_allclose(narrow.detach(), wide.detach(), rtol=1e-6)
        assert (wide.detach().numpy() != narrow.detach().numpy()).any()
    assert nn.BatchNorm2d(2, dtype=mc.float64).running_var.dtype == np.float64
    assert nn.Subsample2d(2, 2, dtype=mc.float64).coefficient.dtype == np.float64


def test_a_layer_without_inputs_can_be_made():
    layer = nn.Linear(0, 3)
    assert layer.weight.shape == (3, 0)
    assert layer.bias.tolist() == [0.0] * 3


# ---- nn.init ---------------------------------------------------------------------------------

SHAPES = [(300, 200), (60, 40, 5, 3), (40, 60, 3, 4)]

DRAWN = [
    ("uniform_", {}),
    ("uniform_", {"a": -2.0, "b": 0.5}),
    ("normal_", {}),
    ("normal_", {"mean": 3.0, "std": 0.2}),
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 2.5}),
    ("xavier_normal_", {}),
    ("xavier_normal_", {"gain": 0.3}),
    *(
        (name, options)
        for name in ("kaiming_uniform_", "kaiming_normal_")
        for options in (
            {},
            {"a": 1.5},
            {"mode": "fan_out"},
            {"nonlinearity": "relu"},
            {"a": 5**0.5, "mode": "fan_in", "nonlinearity": "leaky_relu"},
            {"a": 0.2, "mode": "fan_out", "nonlinearity": "tanh"},
            {"nonlinearity": "linear"},
        )
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), DRAWN)
def test_a_function_draws_as_pytorchs(name, options, shape):
    ours = mc.zeros(shape)
    assert getattr(init, name)(ours, **options) is ours
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), **options)
    same_distribution(ours, theirs)
    if "uniform" in name:
        same_bounds(ours, theirs)


def test_filling_with_one_number():
    for name, more, value in ("zeros_", (), 0), ("ones_", (), 1), ("constant_", (2.5,), 2.5):
        x = mc.full((2, 3), 7.0, dtype=mc.float64)
        assert getattr(init, name)(x, *more) is x
        assert x.tolist() == [[value] * 3] * 2
        assert x.dtype == np.float64


@pytest.mark.parametrize(
    "name",
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d sigmoid tanh "
    "relu leaky_relu selu".split(),
)
def test_the_gain_is_pytorchs(name):
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in (0, 0.3, 1, 5**0.5):
        ours = init.calculate_gain(name, slope)
        assert ours == torch.nn.init.calculate_gain(name, slope)


@pytest.mark.parametrize("name", ["gelu", "conv", "conv4d", "ReLU", ""])
def test_a_gain_that_is_not_known(name):
    with pytest.raises(ArgumentError, match=f"calculate_gain: no gain is known for '{name}'"):
        init.calculate_gain(name)
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("shape", [(3, 5), (6, 4, 5, 3), (2, 3, 4), (7, 1, 1, 1)], ids=str)
def test_fans_are_pytorchs(shape):
    assert init.fans(mc.zeros(shape)) == torch.nn.init._calculate_fan_in_and_fan_out(
        torch.zeros(shape)
    )


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Linear(400, 120), 400),
        (lambda: nn.Conv2d(6, 400, 5), 150),  # the paper's C3 units that see all maps of S2
        (lambda: nn.Conv2d(1, 2000, 5), 25),
        (lambda: nn.Conv2d(8, 800, (3, 5), groups=2), 60),
    ],
)
def test_lecun_1998_is_uniform_within_2_4_over_the_fan_in(layer, fan_in):
    weight = layer().weight
    n = weight.numel()
    assert init.lecun_1998_(weight) is weight
    w, bound = numbers(weight), 2.4 / fan_in
    gap = 20 * 2 * bound / n
    assert bound - gap < w.max() < bound * (1 + 1e-6)
    assert -bound * (1 + 1e-6) < w.min() < -bound + gap
    even = np.linspace(-bound, bound, n)
    assert ks_distance(w, even) < np.sqrt(-np.log(1e-4 / 2) / 2 / n) + 1 / n


def test_lecun_1998_of_units_that_see_a_part_of_their_inputs():
    w = numbers(init.lecun_1998_(mc.zeros(1000, 6, 5, 5), fan_in=75))
    assert 0.999 * 2.4 / 75 < w.max() <= np.float32(2.4 / 75)
    b = numbers(init.lecun_1998_(mc.zeros(10_000), fan_in=10))  # a bias has no fan of its own
    assert 0.999 * 0.24 < b.max() <= np.float32(0.24)
    assert -0.999 * 0.24 > b.min() >= -np.float32(0.24)


@pytest.mark.parametrize(
    "f", [init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_]
)
def test_a_vector_has_no_fans(f):
    with pytest.raises(
        ShapeError, match=r"init: fan_in needs a weight of 2 dimensions or more, not \(3,\)"
    ):
        f(mc.zeros(3))
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        getattr(torch.nn.init, f.__name__)(torch.zeros(3))


@pytest.mark.parametrize("f", [init.kaiming_uniform_, init.kaiming_normal_])
def test_kaiming_refuses_other_modes(f):
    with pytest.raises(ArgumentError, match="mode must be 'fan_in' or 'fan_out', not 'fan_avg'"):
        f(mc.zeros(3, 3), mode="fan_avg")
    with pytest.raises(ArgumentError, match="no gain is known for 'gelu'"):
        f(mc.zeros(3, 3), nonlinearity="gelu")


# ---- leaves and generators -------------------------------------------------------------------

RANDOM = [
    init.uniform_,
    init.normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    init.lecun_1998_,
]


@pytest.mark.parametrize("f", [*RANDOM, init.zeros_, init.ones_])
def test_a_parameter_stays_a_leaf(f):
    p = nn.Parameter(mc.full((3, 4), 9.0))
    assert f(p) is p
    assert p.is_leaf
    assert p.requires_grad
    assert not (p == 9).any()
    p.sum().backward()
    assert p.grad.tolist() == [[1.0] * 4] * 3


@pytest.mark.parametrize("f", RANDOM)
def test_the_default_seed_decides(f):
    mc.manual_seed(3)
    first, second = f(mc.zeros(3, 4)).tolist(), f(mc.zeros(3, 4)).tolist()
    assert first != second
    mc.manual_seed(3)
    assert f(mc.zeros(3, 4)).tolist() == first


@pytest.mark.parametrize("f", RANDOM)
def test_a_generator_of_ones_own(f):
    state = mc.default_generator.get_state()
    first, again = (f(mc.zeros(3, 4), generator=mc.Generator(3)).tolist() for _ in range(2))
    assert first == again
    assert f(mc.zeros(3, 4), generator=mc.Generator(4)).tolist() != first
    assert mc.default_generator.get_state() == state

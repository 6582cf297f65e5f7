"""Every layer against PyTorch's: outputs, gradients, running statistics, refusals."""

import numpy as np
import oracles
import pytest
import torch
from twins import agree, as_arrays, both, compare, tensor_of, twins

import minicnn as mc
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, InPlaceError, ShapeError
from minicnn.nn import functional as F

# ---- the layers ------------------------------------------------------------------------------

IMAGE = (2, 4, 7, 6)  # N, C, H, W
Case = tuple[str, tuple, dict, tuple[int, ...]]  # layer, arguments, keywords, input shape

CONVOLUTIONS: list[Case] = [
    ("Conv2d", (4, 6, (3, 2)), {}, IMAGE),
    ("Conv2d", (4, 6, 3), {"bias": False}, IMAGE),
    ("Conv2d", (4, 6, (3, 2), (2, 3), (1, 0)), {}, IMAGE),
    ("Conv2d", (4, 6, (3, 2)), {"dilation": (2, 3), "padding": (0, 2)}, IMAGE),
    ("Conv2d", (4, 6, 3), {"groups": 2, "stride": (1, 2)}, IMAGE),
    ("Conv2d", (4, 8, (2, 3)), {"groups": 4, "padding": 1, "bias": False}, IMAGE),
    ("Conv2d", (4, 6, (4, 3)), {"padding": "same", "dilation": (1, 2)}, IMAGE),
    ("Conv2d", (4, 6, (3, 4)), {"padding": "valid"}, IMAGE),
    ("Conv2d", (4, 6, (3, 2)), {"padding": (1, 2)}, IMAGE[1:]),
    ("Conv2d", (3, 3, 3), {}, (3, 3, 3, 3)),
]
for mode in ("reflect", "replicate", "circular"):
    how = {"padding_mode": mode}
    CONVOLUTIONS += [
        ("Conv2d", (4, 6, (3, 2), (2, 1)), {"padding": (2, 1)} | how, IMAGE),
        ("Conv2d", (4, 6, 3), {"padding": 1, "groups": 2} | how, IMAGE[1:]),
        ("Conv2d", (4, 6, (4, 3)), {"padding": "same", "dilation": (1, 2)} | how, IMAGE),
        ("Conv2d", (4, 6, (2, 4)), {"padding": "same", "bias": False} | how, IMAGE[1:]),
        ("Conv2d", (4, 6, (3, 2), 2), {"padding": "valid"} | how, IMAGE),
    ]

POOLS: list[Case] = [
    *(
        (name, args, kwargs, shape)
        for name in ("AvgPool2d", "MaxPool2d")
        for args, kwargs, shape in (
            ((2,), {}, IMAGE),
            (((3, 2),), {"stride": (2, 1), "padding": (1, 0)}, IMAGE),
            (((2, 3), 2, (1, 1)), {"ceil_mode": True}, IMAGE),
            ((3, (1, 2)), {}, IMAGE[1:]),
        )
    ),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False, "ceil_mode": True}, IMAGE),
    ("AvgPool2d", ((2, 3), None, 0, False, True, 5), {}, IMAGE),
    ("MaxPool2d", ((3, 2), 1, (1, 0), (2, 3)), {}, IMAGE),
    ("AdaptiveAvgPool2d", ((3, 4),), {}, IMAGE),
    ("AdaptiveAvgPool2d", (2,), {}, IMAGE[1:]),
    ("AdaptiveAvgPool2d", ((None, 4),), {}, IMAGE),
]

TRANSPOSED: list[Case] = [
    ("ConvTranspose2d", (4, 6, (3, 2)), {}, IMAGE),
    ("ConvTranspose2d", (4, 5, 3), {"bias": False, "stride": 2, "output_padding": 1}, IMAGE),
    ("ConvTranspose2d", (4, 1, (3, 2), (2, 3), (1, 0), (0, 2)), {}, IMAGE),
    ("ConvTranspose2d", (4, 6, (2, 3)), {"dilation": (3, 2), "padding": (0, 2)}, IMAGE[1:]),
    ("ConvTranspose2d", (4, 4, 2, 1, 0, 1), {"dilation": 2}, (1, 4, 1, 3)),
]

WINDOWS: list[Case] = [
    ("Unfold", ((3, 2),), {}, IMAGE),
    ("Unfold", ((3, 2), (2, 1), (1, 0), (1, 2)), {}, IMAGE),
    ("Unfold", (2,), {"stride": 2}, IMAGE[1:]),
    ("Fold", ((7, 6), (3, 2)), {}, (2, 12, 25)),
    ("Fold", ((7, 6), (3, 2), (2, 1), (1, 0), (1, 2)), {}, (2, 12, 15)),
    ("Fold", (6, 2), {"stride": 2}, (8, 9)),
]

OTHERS: list[Case] = [
    ("Identity", (), {}, IMAGE),
    ("Identity", (5,), {"unused": 1}, (3,)),
    ("Linear", (6, 5), {}, (3, 6)),
    ("Linear", (6, 5), {"bias": False}, (3, 6)),
    ("Linear", (6, 5), {}, (6,)),
    ("Linear", (6, 5), {}, (2, 4, 3, 6)),
    ("Sigmoid", (), {}, IMAGE),
    ("Tanh", (), {}, IMAGE),
    ("ReLU", (), {}, IMAGE),
    ("LeakyReLU", (), {}, IMAGE),
    ("LeakyReLU", (0.3,), {}, IMAGE),
    ("ELU", (), {}, IMAGE),
    ("ELU", (0.3,), {}, IMAGE),
    ("SiLU", (), {}, IMAGE),
    ("Hardtanh", (), {}, IMAGE),
    ("Hardtanh", (-0.3, 0.6), {}, IMAGE),
    ("ReLU6", (), {}, IMAGE),
    ("Unflatten", (1, (2, 2)), {}, IMAGE),
    ("Unflatten", (-1, (3, -1)), {}, IMAGE),
    ("ZeroPad2d", (2,), {}, IMAGE),
    ("ZeroPad2d", ((0, 1, 2, 3),), {}, IMAGE),
    ("Upsample", (), {"scale_factor": 2}, IMAGE),
    ("Upsample", (None, (1.5, 0.6)), {}, IMAGE),
    ("Upsample", ((5, 13),), {}, IMAGE),
    ("Dropout2d", (0.0,), {}, IMAGE),
    ("Dropout2d", (1.0,), {}, IMAGE),
    ("Softmax", (1,), {}, IMAGE),
    ("Softmax", (), {"dim": -1}, (5,)),
    ("LogSoftmax", (-1,), {}, IMAGE),
    ("LogSoftmax", (), {"dim": 0}, (3, 4)),
    ("Flatten", (), {}, IMAGE),
    ("Flatten", (0,), {}, IMAGE),
    ("Flatten", (1, 2), {}, IMAGE),
    ("Flatten", (-3, -2), {}, IMAGE),
    ("LocalResponseNorm", (3,), {}, IMAGE),
    ("LocalResponseNorm", (2, 0.5, 0.6, 2.0), {}, IMAGE),
    ("LocalResponseNorm", (5,), {"alpha": 1.0, "beta": 0.3, "k": 0.5}, (2, 6, 5)),
    ("Dropout", (0.0,), {}, IMAGE),
    ("Dropout", (1.0,), {}, IMAGE),
]
OTHERS += [
    (name, (), {}, IMAGE)
    for name in set(nn.activations.__all__) - {case[0] for case in OTHERS}
    if hasattr(torch.nn, name)
]

NORMS: list[Case] = [
    (name, (4, *args), kwargs, shape)
    for name, shape in (("BatchNorm2d", IMAGE), ("BatchNorm1d", (5, 4)), ("BatchNorm1d", (3, 4, 5)))
    for args, kwargs in (
        ((), {}),
        ((0.1, 0.3), {}),
        ((), {"momentum": None}),
        ((), {"affine": False}),
        ((), {"bias": False}),
        ((), {"track_running_stats": False}),
        ((1e-5, None, False, False), {}),
    )
]

LAYERS = CONVOLUTIONS + TRANSPOSED + POOLS + WINDOWS + OTHERS


def name_of(case):
    return case[0] if isinstance(case, tuple) else None


@pytest.mark.parametrize("case", LAYERS, ids=name_of)
def test_a_layer_is_pytorchs(case, rng):
    name, args, kwargs, shape = case
    compare(*twins(name, *args, **kwargs), rng.standard_normal(shape))


@pytest.mark.parametrize("case", NORMS, ids=name_of)
def test_batch_norm_through_steps_and_modes(case, rng):
    """Running statistics after several batches, used in between and afterwards."""
    name, args, kwargs, shape = case
    ours, theirs = twins(name, *args, **kwargs)
    for training in (True, True, False, True, True, False, False):
        ours.train(training)
        theirs.train(training)
        compare(ours, theirs, rng.normal(3, 2, shape))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_whose_tracking_is_switched_off_or_on_later(momentum, rng):
    ours, theirs = twins("BatchNorm2d", 4, momentum=momentum)
    for tracking in (True, False, True):
        ours.track_running_stats = theirs.track_running_stats = tracking
        for training in (True, False):
            ours.train(training)
            theirs.train(training)
            compare(ours, theirs, rng.normal(3, 2, IMAGE))


def test_every_layer_has_a_case():
    tested = {case[0] for case in LAYERS + NORMS + LOSSES} | {"MSELoss"} | set(BINARY)
    containers = {"Module", "Sequential", "ModuleList", "ModuleDict"}
    there = {n for n, v in vars(nn).items() if isinstance(v, type) and issubclass(v, nn.Module)}
    lazy = {"LazyBatchNorm2d", "LazyConv2d", "LazyLinear"}  # see test_module.py
    assert there - containers - tested == lazy | {"ScaledTanh", "Subsample2d"}  # not PyTorch's


def test_scaled_tanh(rng):
    compare(nn.ScaledTanh(), oracle(oracles.scaled_tanh), rng.standard_normal(IMAGE))
    other = oracle(lambda x: oracles.scaled_tanh(x, 1.5, 0.4))
    compare(nn.ScaledTanh(1.5, 0.4), other, rng.standard_normal(IMAGE))


@pytest.mark.parametrize("shape", [IMAGE, IMAGE[1:]], ids=["batch", "one"])
@pytest.mark.parametrize(
    "args", [(2,), ((3, 2), (2, 1), (1, 0)), ((2, 3), None, 0, True)], ids=["2", "all", "ceil"]
)
def test_subsample(args, shape, rng):
    layer = nn.Subsample2d(4, *args).double()
    with mc.no_grad():
        layer.coefficient.copy_(rng.standard_normal(4))
        layer.bias.copy_(rng.standard_normal(4))

    def f(x, coefficient, bias):
        one = x.ndim == 3
        y = oracles.subsample2d(x[None] if one else x, coefficient, bias, *args)
        return y[0] if one else y

    theirs = oracle(f, layer)
    compare(layer, theirs, rng.standard_normal(shape))


def test_subsample_starts_as_an_average_pool(rng):
    x = mc.tensor(rng.standard_normal(IMAGE))
    layer = nn.Subsample2d(4, (3, 2), 2).double()
    np.testing.assert_allclose(layer(x).detach(), nn.AvgPool2d((3, 2), 2)(x), rtol=1e-6)
    layer.coefficient.data.fill_(5)
    layer.bias.data.fill_(5)
    layer.reset_parameters()
    assert layer.coefficient.tolist() == [1 / 6] * 4
    assert layer.bias.tolist() == [0.0] * 4


def oracle(f, layer=None):
    """A torch module that calls f with the input and copies of a minicnn layer's parameters."""

    class Oracle(torch.nn.Module):
        def forward(self, x):
            return f(x, *self.parameters())

    module = Oracle()
    for name, p in layer.named_parameters() if layer else ():
        module.register_parameter(name, torch.nn.Parameter(torch.tensor(p.detach().numpy())))
    return module


def test_max_pool_indices(rng):
    x = rng.standard_normal(IMAGE)
    for image in (x, x[0]):
        ours = nn.MaxPool2d((3, 2), 2, return_indices=True)(mc.tensor(image))
        theirs = torch.nn.MaxPool2d((3, 2), 2, return_indices=True)(torch.tensor(image))
        for a, b in zip(ours, theirs, strict=True):
            agree(a, b)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 4, 2), (2, 3, 4, 2)])
def test_softmax_without_dim_warns_and_chooses_as_pytorch(name, shape, rng):
    x = rng.standard_normal(shape)
    with pytest.warns(UserWarning, match="dim is left out; say which dimension"):
        ours = getattr(nn, name)()(mc.tensor(x))
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        theirs = getattr(torch.nn, name)()(torch.tensor(x))
    agree(ours, theirs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda lib: lib.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3 and"),
        (lambda lib: lib.Conv2d(4, 3, 3, groups=2), "must divide .* out_channels=3"),
        (lambda lib: lib.Conv2d(4, 4, 3, groups=0), "groups=0 must divide"),
        (lambda lib: lib.Conv2d(4, 4, 3, padding_mode="mirror"), "padding_mode 'mirror'"),
        (lambda lib: lib.Conv2d(4, 4, 3, padding="full"), "numbers, 'same' or 'valid': 'full'"),
        (lambda lib: lib.Conv2d(4, 4, 3, (1, 2), "same"), r"'same' needs stride 1, not \(1, 2\)"),
        (lambda lib: lib.Dropout(1.5), "p must be between 0 and 1, not 1.5"),
        (lambda lib: lib.Dropout(-0.1), "p must be between 0 and 1, not -0.1"),
        (lambda lib: lib.ReLU().train(1), "mode must be True or False, not 1"),
    ],
)
def test_arguments_that_pytorch_refuses(make, message):
    with pytest.raises(ValueError):  # noqa: PT011
        make(torch.nn)
    with pytest.raises(ArgumentError, match=message):
        make(nn)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        ("BatchNorm1d", (2, 4, 3, 5), r"BatchNorm1d: input must have 2 or 3 dimensions"),
        ("BatchNorm1d", (4,), r"2 or 3 dimensions, not \(4,\)"),
        ("BatchNorm2d", (2, 4, 3), r"BatchNorm2d: input must have 4 dimensions, not \(2, 4, 3\)"),
        ("BatchNorm2d", (2, 3, 5, 5), r"running_mean must be \(3,\), not \(4,\)"),
        ("BatchNorm2d", (1, 4, 1, 1), r"training needs 2 values a channel"),
    ],
)
def test_batch_norm_refuses_other_inputs(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        getattr(nn, layer)(4)(mc.zeros(*shape))
    with pytest.raises((ValueError, RuntimeError)):
        getattr(torch.nn, layer)(4)(torch.zeros(*shape))


# ---- dropout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_drops_a_fraction_p_and_scales_the_rest(p):
    n = 100_000
    x = mc.ones(n, dtype=mc.float64, requires_grad=True)
    y = nn.Dropout(p)(x)
    kept = y.detach().numpy() != 0
    assert abs((~kept).mean() - p) < 4 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / (1 - p), rtol=1e-12)
    y.backward(mc.full((n,), 3.0, dtype=mc.float64))
    np.testing.assert_allclose(x.grad, np.where(kept, 3 / (1 - p), 0), rtol=1e-12)


def test_dropout_decides_for_each_element_by_itself():
    """Neighbours and rows are independent: a pair is dropped with probability p squared."""
    p, n = 0.3, 400
    dropped = nn.Dropout(p)(mc.ones(n, n)).numpy() == 0
    spread = 4 * np.sqrt(p * p * (1 - p * p) / n**2)
    assert abs((dropped[1:] & dropped[:-1]).mean() - p * p) < spread
    assert abs((dropped[:, 1:] & dropped[:, :-1]).mean() - p * p) < spread
    assert abs((dropped[:, ::2] & dropped[:, 1::2]).mean() - p * p) < 2 * spread


def test_dropout_is_reproducible_and_never_repeats():
    layer, x = nn.Dropout(0.5), mc.ones(1000)
    mc.manual_seed(3)
    first, second = layer(x).tolist(), layer(x).tolist()
    assert first != second
    mc.manual_seed(3)
    assert [layer(x).tolist(), layer(x).tolist()] == [first, second]
    mc.manual_seed(4)
    assert layer(x).tolist() != first


def test_dropout_with_its_own_generator():
    x = mc.ones(1000)
    a, b = (F.dropout(x, 0.5, generator=mc.Generator(7)).tolist() for _ in range(2))
    assert a == b
    state = mc.default_generator.get_state()
    F.dropout(x, 0.5, generator=mc.Generator(8))
    assert mc.default_generator.get_state() == state


def test_dropout_that_drops_nothing_is_the_input_itself():
    x = mc.ones(10, requires_grad=True)
    state = mc.default_generator.get_state()
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert F.dropout(x, 0.5, training=False) is x
    assert mc.default_generator.get_state() == state
    t = torch.ones(10)
    assert torch.nn.Dropout(0.5).eval()(t) is t


@pytest.mark.parametrize("training", [True, False])
def test_functional_dropout_checks_p_in_either_mode(training):
    with pytest.raises(ArgumentError, match="between 0 and 1, not 2"):
        F.dropout(mc.ones(3), 2, training)
    with pytest.raises(ValueError, match="between 0 and 1"):
        torch.nn.functional.dropout(torch.ones(3), 2, training)


def test_a_list_option_changed_in_place_is_noticed():
    x, conv, pool = mc.ones(1, 1, 9, 9), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)
    model = nn.Sequential(conv, nn.ReLU(), pool)
    conv.stride, pool.stride = [1, 1], [1, 1]
    assert (conv(x).shape, pool(x).shape) == ((1, 1, 7, 7), (1, 1, 8, 8))
    assert model(x).shape == (1, 1, 6, 6)
    conv.stride[0] = pool.stride[0] = 2
    assert (conv(x).shape, pool(x).shape) == ((1, 1, 4, 7), (1, 1, 4, 8))
    assert model(x).shape == (1, 1, 2, 6)


# ---- in place --------------------------------------------------------------------------------


def conv_then(lib, activation):
    return lib.Sequential(lib.Conv2d(4, 5, 3, padding=1), activation, lib.Conv2d(5, 2, 3))


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU"])
def test_an_activation_in_place_after_a_convolution(name, rng):
    ours = conv_then(nn, getattr(nn, name)(inplace=True)).double()
    theirs = conv_then(torch.nn, getattr(torch.nn, name)(inplace=True)).double()
    ours.load_state_dict(as_arrays(theirs.state_dict()))
    compare(ours, theirs, rng.standard_normal(IMAGE))


def test_what_works_in_place_returns_its_input():
    x = mc.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0.0, 2.0]
    x = mc.tensor([-1.0, 2.0])
    assert nn.LeakyReLU(0.5, inplace=True)(x) is x
    assert x.tolist() == [-0.5, 2.0]
    x = mc.ones(1000)
    y = nn.Dropout(0.5, inplace=True)(x)
    assert y is x
    assert set(x.tolist()) == {0.0, 2.0}
    x = mc.ones(3)
    nn.ReLU()(x)
    assert x.tolist() == [1.0] * 3


def test_dropout_in_place_has_the_gradient_of_its_mask():
    x = mc.ones(50, requires_grad=True)
    y = nn.Dropout(0.5, inplace=True)(x * 1.0)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_in_place_on_what_backward_needs_is_refused():
    x = mc.ones(3, requires_grad=True)
    with pytest.raises(InPlaceError, match="a leaf that requires grad cannot be changed in place"):
        nn.ReLU(inplace=True)(x)
    y = x.exp()  # saves its own result
    nn.ReLU(inplace=True)(y)
    with pytest.raises(InPlaceError, match="Exp: an array that it saved"):
        y.sum().backward()


# ---- losses ----------------------------------------------------------------------------------

WEIGHT = np.array([0.5, 1.5, 1.0, 2.0])
CLASSES = np.array([1, 3, 0, 1, 2])

LOSSES = [
    (name, kwargs)
    for name, more in (("CrossEntropyLoss", ({}, {"label_smoothing": 0.2})), ("NLLLoss", ({},)))
    for reduction in ("mean", "sum", "none")
    for extra in (
        {},
        {"weight": WEIGHT},
        {"ignore_index": 3},
        {"weight": WEIGHT, "ignore_index": 1},
    )
    for smoothing in more
    for kwargs in [{"reduction": reduction} | extra | smoothing]
]


def loss_twins(name, kwargs):
    """minicnn's and PyTorch's loss; the arrays among the arguments as tensors of each."""
    return tuple(
        getattr(lib, name)(
            **{k: tensor_of(lib, v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        )
        for lib in (nn, torch.nn)
    )


@pytest.mark.parametrize(("name", "kwargs"), LOSSES)
def test_a_loss_of_class_indices_is_pytorchs(name, kwargs, rng):
    ours, theirs = loss_twins(name, kwargs)
    x = rng.standard_normal((5, 4))
    compare(ours, theirs, x, CLASSES)
    compare(ours, theirs, x[0], CLASSES[0])
    compare(ours, theirs, rng.standard_normal((5, 4, 2, 3)), rng.integers(0, 4, (5, 2, 3)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_probabilities_is_pytorchs(reduction, rng):
    for more in ({}, {"weight": WEIGHT}, {"weight": WEIGHT, "label_smoothing": 0.3}):
        ours, theirs = loss_twins("CrossEntropyLoss", {"reduction": reduction} | more)
        compare(ours, theirs, rng.standard_normal((5, 4)), rng.dirichlet(np.ones(4), 5))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mean_squared_error_is_pytorchs(reduction, rng):
    ours, theirs = loss_twins("MSELoss", {"reduction": reduction})
    compare(ours, theirs, rng.standard_normal((5, 4)), rng.standard_normal((5, 4)))


def test_mean_squared_error_warns_of_shapes_that_broadcast(rng):
    x, t = rng.standard_normal((5, 1)), rng.standard_normal(5)
    with pytest.warns(UserWarning, match=r"target has shape \(5,\), but input \(5, 1\)"):
        ours = nn.MSELoss()(mc.tensor(x), mc.tensor(t))
    with pytest.warns(UserWarning, match="different to the input size"):
        theirs = torch.nn.MSELoss()(torch.tensor(x), torch.tensor(t))
    agree(ours, theirs)


@both
def test_class_weights_move_and_are_saved_with_the_loss(lib):
    loss = lib.CrossEntropyLoss(weight=tensor_of(lib, np.ones(3, np.float32)))
    assert list(loss.state_dict()) == ["weight"]
    assert loss.double().weight.dtype == tensor_of(lib, np.ones(1)).dtype
    assert list(loss.parameters()) == []
    assert list(lib.CrossEntropyLoss().state_dict()) == []


def test_a_loss_refuses_an_unknown_reduction():
    x, t = mc.zeros(2, 3), mc.tensor([0, 1])
    for loss in (nn.CrossEntropyLoss(reduction="average"), nn.NLLLoss(reduction="average")):
        with pytest.raises(ArgumentError, match="must be 'mean', 'sum' or 'none', not 'average'"):
            loss(x, t)
    with pytest.raises(ArgumentError, match="must be 'mean', 'sum' or 'none', not 'average'"):
        nn.MSELoss(reduction="average")(x, x)


BINARY = ["BCELoss", "L1Loss", "SmoothL1Loss", "BCEWithLogitsLoss"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "extra"),
    [
        *((name, ()) for name in BINARY),
        ("BCELoss", ("weight",)),
        ("BCEWithLogitsLoss", ("weight",)),
        ("BCEWithLogitsLoss", ("weight", "pos_weight")),
    ],
)
def test_losses_of_pairs_are_pytorchs(name, reduction, extra, rng):
    x, t = rng.random((5, 3)), rng.random((5, 3))
    x[0], t[0], t[1] = t[0], [0.0, 1.0, 0.5], [1.0, 1.0, 0.0]
    if name == "BCEWithLogitsLoss":
        x = 20 * x - 10
        x[2] = [0.0, 1000.0, -1000.0]
    if name == "BCELoss":
        x = x.clip(0.01, 0.99)
    tables = {"weight": rng.random((5, 1)) + 0.5, "pos_weight": rng.random(3) + 0.5}
    ours, theirs = (
        getattr(lib, name)(reduction=reduction, **{k: tensor_of(lib, tables[k]) for k in extra})
        for lib in (nn, torch.nn)
    )
    compare(ours, theirs, x, t)
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_cross_entropy_at_0_and_1(dtype):
    """Logarithms are cut at -100, and slopes at 1e12."""
    p, t = np.array([0, 1, 0, 1, 1e-40, 1], dtype), np.array([0, 1, 1, 0, 1, 0.5], dtype)
    found = []
    for lib in (mc, torch):
        x, y = (lib.tensor(a, requires_grad=True) for a in (p, t))
        losses = lib.nn.functional.binary_cross_entropy(x, y, reduction="none")
        losses.sum().backward()
        y_grad = y.grad.clamp(-100, 100)  # PyTorch does not cut the logarithms in this one
        found.append([a.detach().numpy() for a in (losses, x.grad, y_grad)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("wrong", [2.0, -0.1, np.nan])
def test_a_target_that_is_no_probability_is_refused(wrong):
    for lib in (mc, torch):
        with pytest.raises((ArgumentError, RuntimeError), match="target"):
            lib.nn.BCELoss()(lib.tensor([0.5, 0.5]), lib.tensor([wrong, 0.0]))


def test_losses_of_pairs_refuse_what_does_not_fit():
    two, three = mc.zeros(2), mc.zeros(3)
    for f in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        with pytest.raises(ShapeError, match=r"target has shape \(3,\), but input \(2,\)"):
            f(two, three)
        with pytest.raises(ArgumentError, match="reduction"):
            f(two, two, reduction="average")
    with pytest.raises(ArgumentError, match="must be probabilities, from 0 to 1"):
        F.binary_cross_entropy(two - 0.1, two)
    with pytest.raises(ArgumentError, match="must be probabilities"):
        F.binary_cross_entropy(two / 0, two)
    with pytest.warns(UserWarning, match="l1_loss: target has shape .* they broadcast"):
        F.l1_loss(mc.zeros(2, 1), two)


def test_the_slopes_of_activations_at_their_kinks():
    for name, args in (("ELU", (0.5,)), ("ReLU6", ()), ("Hardtanh", ()), ("Hardtanh", (0.0, 2.0))):
        kinks = np.array([-1.0, 0.0, 1.0, 2.0, 6.0, 1e8, -1e8])
        compare(*twins(name, *args), kinks)
        assert str(getattr(nn, name)(*args)) == str(getattr(torch.nn, name)(*args))


def test_log_sigmoid_is_precise_far_out():
    x = np.array([-1000.0, -30.0, 0.0, 30.0, 1000.0])
    compare(oracle_free(F.logsigmoid), torch.nn.LogSigmoid(), x)


def oracle_free(function):
    """A function as a minicnn module."""
    module = nn.Module()
    module.forward = function
    return module


def test_dropout2d_drops_whole_channels():
    y = nn.Dropout2d(0.3)(mc.ones(200, 50, 2, 3)).numpy()
    assert (y == y[:, :, :1, :1]).all()
    dropped = (y[:, :, 0, 0] == 0).mean()
    assert abs(dropped - 0.3) < 4 * np.sqrt(0.21 / 10_000)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)
    x = mc.ones(3, 4, 5, 5, requires_grad=True)
    z = nn.Dropout2d(0.5)(x)
    z.sum().backward()
    assert x.grad.equal(z.detach())
    with pytest.raises(ShapeError, match=r"dropout2d: takes \(N, C, H, W\) or \(C, H, W\)"):
        F.dropout2d(mc.ones(3, 4))


@pytest.mark.parametrize(
    "f",
    [
        lambda f, x: f.normalize(x),
        lambda f, x: f.normalize(x * 0, dim=0, eps=0.5) + f.normalize(x, p=1, dim=-1),
        lambda f, x: f.smooth_l1_loss(x, x.detach() * 0 + 0.3),
        lambda f, x: f.smooth_l1_loss(x, x.detach() * 0, reduction="none", beta=0.5),
        lambda f, x: f.smooth_l1_loss(x, x.detach() * 0 + 1, reduction="sum", beta=0),
        lambda f, x: f.interpolate(x, (7, 3), mode="bilinear"),
        lambda f, x: f.interpolate(x, scale_factor=2.5, mode="bilinear"),
        lambda f, x: f.interpolate(x, scale_factor=(2, 0.5), mode="bilinear", align_corners=True),
        lambda f, x: f.interpolate(x, (1, 9), mode="bilinear", align_corners=True),
    ],
)
def test_a_function_made_of_others_is_pytorchs_with_its_gradient(f, rng):
    x = rng.standard_normal((2, 3, 5, 4))
    found = []
    for lib in (mc, torch):
        a = lib.tensor(x, requires_grad=True)
        y = f(lib.nn.functional, a)
        (y * y + y).sum().backward()
        found.append((y.detach().numpy(), a.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_smooth_l1_and_upsample_as_layers():
    x = np.array([[[[0.0, 2.0], [-3.0, 0.5]]]])
    for make in (
        lambda n: n.SmoothL1Loss(beta=0.7, reduction="sum"),
        lambda n: lambda a, b: n.Upsample(scale_factor=2, mode="bilinear")(a) * b.sum(),
    ):
        ours, theirs = (make(lib.nn)(lib.tensor(x), lib.tensor(x * 0.25)) for lib in (mc, torch))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    assert nn.parameter.Parameter is nn.Parameter


def test_one_hot_is_pytorchs():
    for labels in ([0, 2, 1], [[1, 0], [3, 3]]):
        for classes in (-1, 5):
            ours = F.one_hot(mc.tensor(labels), classes)
            theirs = torch.nn.functional.one_hot(torch.tensor(labels), classes)
            agree(ours, theirs)
    assert F.one_hot(mc.tensor([], dtype=mc.int64), 3).shape == (0, 3)
    with pytest.raises(ArgumentError, match="labels must be from 0 to 2, found 0 to 3"):
        F.one_hot(mc.tensor([0, 3]), 3)
    with pytest.raises(ArgumentError, match="found -1 to 1"):
        F.one_hot(mc.tensor([-1, 1]))
    with pytest.raises(DtypeError, match="takes integers, not float32"):
        F.one_hot(mc.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.ConvTranspose2d(2, 2, 3, groups=2)(mc.ones(1, 2, 4, 4)), ArgumentError,
         "groups must be 1, not 2"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, output_padding=2)(mc.ones(1, 2, 4, 4)),
         ArgumentError, r"output_padding \(2, 2\) must be below stride or dilation"),
        (lambda: nn.ConvTranspose2d(2, 2, 3)(mc.ones(1, 3, 4, 4)), ShapeError,
         r"input \(1, 3, 4, 4\) does not fit weight \(2, 2, 3, 3\)"),
        (lambda: nn.Upsample(scale_factor=2, mode="bicubic")(mc.ones(1, 1, 2, 2)), ArgumentError,
         "mode must be 'nearest' or 'bilinear', not 'bicubic'"),
        (lambda: F.interpolate(mc.ones(1, 1, 2, 2), 3, align_corners=True), ArgumentError,
         "align_corners belongs to mode='bilinear'"),
        (lambda: F.smooth_l1_loss(mc.ones(2), mc.ones(2), beta=-1), ArgumentError,
         "beta must be at least 0, not -1"),
        (lambda: F.interpolate(mc.ones(1, 1, 2, 2)), ArgumentError, "either size or scale_factor"),
    ],
)  # fmt: skip
def test_refusals_of_layers_made_of_others(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "args"),
    [("ConvTranspose2d", (4, 6, 3, 2, 1, 1)),
     ("ConvTranspose2d", (4, 6, (3, 2), 1, 0, 0, 1, False)),
     ("Upsample", (None, 2)), ("Upsample", ((3, 4),)), ("ZeroPad2d", (1,)), ("Dropout2d", (0.3,)),
     ("Unflatten", (1, (2, 3))), ("SiLU", ()), ("ReLU6", (True,)), ("ELU", (0.5, True))],
)  # fmt: skip
def test_layers_print_as_pytorchs(name, args):
    assert repr(getattr(nn, name)(*args)) == repr(getattr(torch.nn, name)(*args))


def test_a_window_that_was_seen_before_is_checked_again():
    """Windows are remembered by their numbers, and 2.0 == 2."""
    x, w = mc.ones(1, 1, 4, 4), mc.ones(1, 1, 2, 2)
    assert F.max_pool2d(x, (2, 2)).shape == F.conv2d(x, w, stride=(2, 2)).shape == (1, 1, 2, 2)
    for wrong in (2.0, (2.0, 2), [2, 2.0], "2", (2, 2, 2), ()):
        with pytest.raises(ArgumentError, match="kernel_size must be an int or a pair"):
            F.max_pool2d(x, wrong)
        with pytest.raises(ArgumentError, match="stride must be an int or a pair"):
            F.conv2d(x, w, stride=wrong)
    for right in (2, [2], [2, 2], (2,), np.int64(2), (np.int64(2), 2)):
        assert F.max_pool2d(x, right).shape == F.conv2d(x, w, stride=right).shape == (1, 1, 2, 2)

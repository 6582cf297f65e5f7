"""summary: its counts against the 1998 paper, PyTorch and hand, and that it leaves no trace."""

import sys
import types

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import minicnn as mc
from minicnn import nn
from minicnn.errors import ArgumentError, ShapeError
from minicnn.models import MODELS, AlexNet, LeNet, LeNet5, make
from minicnn.summary_table import Summary, summary


@pytest.fixture
def quiet(capsys):
    """summary without its output."""

    def run(*args, **kwargs):
        result = summary(*args, **kwargs)
        capsys.readouterr()
        return result

    return run


# ---- counts ------------------------------------------------------------------------------------


def test_lenet5_has_the_connections_of_the_1998_paper(quiet):
    rows = {row.name: row for row in quiet(LeNet5()).rows}
    published = {"c1": 122_304, "s2": 5_880, "s4": 2_000, "c5": 48_120, "f6": 10_164}
    assert {name: rows[name].connections for name in published} == published
    parameters = {"c1": 156, "s2": 12, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: rows[name].parameters for name in parameters} == parameters


def test_c3_with_the_partial_table_has_151600_connections(quiet):
    """C3 as the paper wires it: 6 maps of 3 inputs, 9 of 4 and 1 of 6, each its own convolution."""

    class PartialC3(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.ModuleList(nn.Conv2d(n, 1, 5) for n in [3] * 6 + [4] * 9 + [6])

        def forward(self, x):
            return mc.cat([conv(x[:, : conv.in_channels]) for conv in self.maps], 1)

    found = quiet(PartialC3(), (6, 14, 14))
    assert found.total_connections == 151_600  # the paper's figure
    assert found.total_params == 1_516


CONVOLUTIONS = [
    {"kernel_size": 5},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "bias": False},
    {"kernel_size": (2, 3), "dilation": (2, 1), "groups": 2},
    {"kernel_size": 1, "stride": 3},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_multiply_adds_are_half_of_pytorchs_flops(quiet, options):
    ours = nn.Sequential(nn.Conv2d(4, 6, **options), nn.Flatten(), nn.Linear(6, 3, bias=False))
    theirs = torch.nn.Conv2d(4, 6, **options)
    x = torch.zeros(1, 4, 9, 8)
    with FlopCounterMode(display=False) as counter:
        y = theirs(x)
    ours[2] = nn.Linear(y.numel(), 3, bias=False)
    convolution, _, linear = quiet(ours, (4, 9, 8)).rows
    assert convolution.mult_adds == counter.get_total_flops() // 2
    assert linear.mult_adds == y.numel() * 3


def test_a_transposed_convolution_is_counted_as_pytorch_does(quiet):
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
    x = torch.zeros(1, 4, 5, 6)
    with FlopCounterMode(display=False) as counter:
        y = torch.nn.ConvTranspose2d(4, 6, **options)(x)
    (row,) = quiet(nn.ConvTranspose2d(4, 6, **options), (4, 5, 6)).rows
    assert row.output_shape == tuple(y.shape)
    assert row.mult_adds == counter.get_total_flops() // 2
    assert row.connections == row.mult_adds + y.numel()  # and a bias each


def test_hand_computed_counts(quiet):
    """Each number worked out on paper: (inputs of a unit + bias) x units."""
    net = nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), padding=(1, 0)),  # (2, 5, 6) -> (3, 5, 5): 75 units of 12 inputs
        nn.BatchNorm2d(3),
        nn.AvgPool2d(2, ceil_mode=True),  # (3, 3, 3): 27 units of 4
        nn.ReLU(),
        nn.MaxPool2d((3, 1)),  # (3, 1, 3): 9 units of 3
        nn.Subsample2d(3, (1, 3)),  # (3, 1, 1): 3 units of 3
        nn.Flatten(),
        nn.Linear(3, 4),
    )
    rows = quiet(net, (2, 5, 6)).rows
    connections = [75 * 13, 75 * 2, 27 * 4, 0, 9 * 3, 3 * 4, 0, 4 * 4]
    assert [row.connections for row in rows] == connections
    assert [row.mult_adds for row in rows] == [75 * 12, 75, 0, 0, 0, 3, 0, 12]
    assert [row.parameters for row in rows] == [39, 6, 0, 0, 0, 6, 0, 16]
    assert [row.output_bytes for row in rows] == [300, 300, 108, 108, 36, 12, 12, 16]
    assert not any(row.shared for row in rows)


@pytest.mark.parametrize("out", [(3, 2), 1, (5, 4)])
def test_adaptive_pooling_has_a_connection_for_each_input_that_a_unit_depends_on(quiet, out):
    net = nn.AdaptiveAvgPool2d(out)
    pool = torch.nn.AdaptiveAvgPool2d(out)
    jacobian = torch.autograd.functional.jacobian(pool, torch.rand(1, 2, 7, 5))
    assert quiet(net, (2, 7, 5)).total_connections == int((jacobian != 0).sum())


def test_alexnet_is_counted_without_blowing_up(quiet):
    found = quiet(AlexNet(), (1, 227, 227))
    assert found.total_params == 58_299_082
    convolved = [r.output_shape[1:] for r in found.rows if r.type in ("Conv2d", "MaxPool2d")]
    sizes = [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)]
    assert convolved == [(c, n, n) for c, n in sizes]


def test_figures_are_of_one_input_and_memory_of_the_batch(quiet):
    one, many = quiet(LeNet(), (1, 28, 28)), quiet(LeNet(), (1, 28, 28), batch_size=7)
    assert many.total_connections == one.total_connections == 429_342
    assert many.total_mult_adds == one.total_mult_adds == 416_520
    assert many.rows[0].output_shape == (7, 6, 28, 28)
    assert (one.input_bytes, many.input_bytes) == (4 * 784, 4 * 784 * 7)
    assert many.output_bytes == 7 * one.output_bytes
    assert many.param_bytes == one.param_bytes == 4 * 61_706


def test_frozen_parameters_are_told_apart(quiet):
    net = LeNet()
    net.features.requires_grad_(False)
    found = quiet(net)
    assert found.total_params - found.trainable_params == 156 + 2_416
    assert "Non-trainable params: 2,572" in str(found.table)


# ---- which rows there are ----------------------------------------------------------------------


class Odd(nn.Module):
    """Shares a layer and a weight, holds a parameter itself, and never calls `spare`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(mc.ones(5))
        self.twice = nn.Linear(5, 5)
        self.tied = nn.Linear(5, 5, bias=False)
        self.tied.weight = self.twice.weight
        self.spare = nn.Linear(3, 2)

    def forward(self, x):
        return self.tied(self.twice(self.twice(x))) * self.scale


def test_calls_shared_and_own_parameters(quiet):
    found = quiet(Odd(), (5,))
    names = [(row.name, row.type, row.parameters, row.shared) for row in found.rows]
    assert names == [
        ("", "Odd", 5, False),
        ("twice", "Linear", 30, False),
        ("twice", "Linear", 0, True),
        ("tied", "Linear", 0, True),
    ]
    assert found.total_params == 5 + 30 + 8
    assert [row.connections for row in found.rows] == [None, 30, 30, 25]
    assert found.not_called == ["spare"]
    table = str(found.table)
    assert "Not called: spare" in table
    assert "(one input; without ?)" in table
    assert table.splitlines()[4].split() == "twice Linear 1x5 shared 30 25 20 B".split()


def test_layers_called_through_forward_and_with_keywords_are_seen(quiet):
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return self.fc.forward(input=x)

    (row,) = quiet(Direct(), (4,)).rows
    assert (row.name, row.input_shape, row.output_shape) == ("fc", (1, 4), (1, 3))


def test_a_layer_with_two_outputs_and_a_model_that_is_one_layer(quiet):
    (row,) = quiet(nn.MaxPool2d(2, return_indices=True), (3, 4, 6)).rows
    assert (row.name, row.type, row.output_shape) == ("", "MaxPool2d", (1, 3, 2, 3))
    assert row.output_bytes == 18 * (4 + 8)  # float32 values, int64 indices


# ---- shapes that do not fit --------------------------------------------------------------------


def wrong_head():
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10))


def test_the_table_ends_with_the_layer_that_failed(capsys):
    net = wrong_head()
    with pytest.raises(ShapeError) as caught:
        summary(net, (1, 28, 20))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[2:6]] == [
        ["0", "Conv2d", "1x6x24x16"],
        ["1", "ReLU", "1x6x24x16"],
        ["2", "Flatten", "1x2304"],
        ["3", "Linear", "failed"],
    ]
    assert lines[-1] == f"Stopped at 3 (Linear), which got (1, 2304): {caught.value}"
    with pytest.raises(ShapeError) as plain:
        net(mc.zeros(1, 1, 28, 20))
    assert str(caught.value) == str(plain.value)  # as it was


def test_a_failure_between_layers_is_the_models(capsys):
    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            return self.fc(x).view(-1, 3)

    with pytest.raises(ShapeError):
        summary(nn.Sequential(Between()), (6,))
    out = capsys.readouterr().out
    assert "Stopped at 0 (Between), which got (1, 6): reshape" in out
    assert out.index("0.fc Linear") < out.index("0 Between  ")


# ---- nothing is left behind --------------------------------------------------------------------


def model_state(net):
    arrays = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    return arrays, [(m.training, vars(m).keys() - {"training"}) for m in net.modules()]


@pytest.mark.parametrize("size", [(1, 8, 8), (1, 9, 9)], ids=["fits", "fails"])
def test_the_model_is_left_as_it_was(capsys, size):
    class Drops(nn.Module):
        def forward(self, x):
            assert not mc.is_grad_enabled()
            return nn.functional.dropout(x, 0.5)  # draws in evaluation mode too

    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), Drops(), nn.Dropout(), nn.Flatten(), nn.Linear(72, 2)
    )
    net[3].eval()  # the only one: each module's own mode must come back
    net[0].forward = types.MethodType(nn.Conv2d.forward, net[0])  # a user's own
    before, (arrays, modules) = mc.default_generator.get_state(), model_state(net)
    if size == (1, 8, 8):
        summary(net, size)
    else:
        with pytest.raises(ShapeError):
            summary(net, size)
    after, layout = model_state(net)
    assert layout == modules
    assert all(np.array_equal(after[k], arrays[k]) for k in arrays)
    assert mc.default_generator.get_state() == before
    assert all(p.grad is None for p in net.parameters())
    assert mc.is_grad_enabled()


# ---- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "batch", "expected"),
    [
        ((1, 28, 28), None, (1, 1, 28, 28)),
        ((5, 1, 28, 28), None, (5, 1, 28, 28)),
        ([1, 28, 28], 3, (3, 1, 28, 28)),
        (None, None, (1, 1, 28, 28)),
        (None, 4, (4, 1, 28, 28)),
    ],
)
def test_input_size_is_one_inputs_or_a_batchs(quiet, size, batch, expected):
    found = quiet(LeNet(), size, batch_size=batch)
    assert (found.input_shape, found.rows[0].input_shape) == (expected, expected)


def test_rows_of_features(quiet):
    assert quiet(nn.Linear(6, 2), 6).input_shape == (1, 6)
    assert quiet(nn.Linear(6, 2), (3, 6)).input_shape == (3, 6)
    assert quiet(nn.Linear(6, 2), (3, 6), batch_size=2).input_shape == (2, 3, 6)
    assert quiet(nn.Linear(6, 2).double(), 6).input_bytes == 6 * 8  # the parameters' type
    assert quiet(nn.ReLU(), (6,), dtype=mc.float64).rows[0].output_bytes == 6 * 8


def test_arguments_that_are_refused():
    with pytest.raises(ArgumentError, match=r"input_size is missing; give an input's shape"):
        summary(nn.ReLU())
    for wrong in ((1, 0, 28), (1, "x"), 2.5, ()):
        with pytest.raises(ArgumentError, match="must be a shape of whole numbers"):
            summary(LeNet(), wrong)
    with pytest.raises(ArgumentError, match="batch_size must be a whole number from 1 up, not -1"):
        summary(LeNet(), (1, 28, 28), batch_size=-1)
    with pytest.raises(TypeError, match="expected a Module, not a type"):
        summary(LeNet, (1, 28, 28))


# ---- how it looks ------------------------------------------------------------------------------


def test_it_prints_the_table_once(capsys):
    print(summary(LeNet(), (1, 28, 28)))
    out = capsys.readouterr().out
    assert out.count("features.0 Conv2d     1x6x28x28      156      122,304    117,600") == 1
    assert out.splitlines()[-1] == (
        "LeNet: 61,706 parameters, 416,520 multiply-adds for an input (1, 28, 28)"
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_table_fits_a_terminal(quiet, name):
    found = quiet(make(name))
    assert max(map(len, str(found.table).splitlines())) <= 80


def test_memory_has_units(quiet):
    footer = str(quiet(LeNet(), batch_size=1000).table).splitlines()[-1]
    assert footer == "Memory: input 3.0 MiB, outputs 57.2 MiB (batch of 1000), params 241 KiB"


def test_in_a_notebook_the_table_is_displayed_as_html(capsys, monkeypatch):
    shown = []
    display = types.ModuleType("IPython.display")
    display.display = shown.append
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)

    class Layer(nn.Linear):
        pass

    Layer.__name__ = "A<b>"
    found = summary(nn.Sequential(Layer(3, 2)), (3,))
    assert isinstance(found, Summary)
    assert capsys.readouterr().out == ""
    (table,) = shown
    page = table._repr_html_()
    assert page.count("<tr>") == 2
    assert ">0 A&lt;b&gt;</td>" in page
    assert "Total params: 8<br>" in page
    with pytest.raises(ShapeError):
        summary(nn.Sequential(Layer(3, 2), Layer(3, 2)), (3,))
    assert "Stopped at 1 (A&lt;b&gt;), which got (1, 2)" in shown[1]._repr_html_()


# ---- functions ---------------------------------------------------------------------------------


def test_functions_count_in_the_row_of_their_module(quiet):
    """A layer of a user's own costs what minicnn's does: what runs is counted, not its class."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(mc.zeros(4, 2, 3, 3))
            self.offset = nn.Parameter(mc.zeros(4))

        def forward(self, x):
            return nn.functional.max_pool2d(nn.functional.conv2d(x, self.weight, self.offset), 2)

    (row,) = quiet(Own(), (2, 6, 8), batch_size=5).rows
    convolved, pooled = 4 * 4 * 6, 4 * 2 * 3
    assert row.mult_adds == convolved * 18
    assert row.connections == convolved * 19 + pooled * 4


def test_an_error_that_forward_catches_is_no_failure(quiet):
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(3, 2), nn.Linear(4, 2)

        def forward(self, x):
            try:
                return self.wrong(x)
            except ShapeError:
                return self.right(x)

    rows = {row.name: row for row in quiet(Tries(), (4,)).rows}
    assert not rows["wrong"].failed
    assert rows["right"].mult_adds == 8

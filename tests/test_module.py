"""What Module does with parameters, names, assignments, hooks, state and printing."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from twins import as_arrays, both, compare, tensor_of

import minicnn as mc
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, InPlaceError, ShapeError, StateDictError
from minicnn.nn import functional as F

# ---- printing --------------------------------------------------------------------------------


def small_net(lib):
    """A model with everything that printing and naming must get right."""

    class Block(lib.Module):
        def __init__(self, n):
            super().__init__()
            self.conv = lib.Conv2d(n, n, 3, padding=1)
            self.norm = lib.BatchNorm2d(n)

        def forward(self, x):
            return self.norm(self.conv(x))

        def extra_repr(self):
            return "two layers"

    class Net(lib.Module):
        def __init__(self):
            super().__init__()
            self.stem = lib.Sequential(OrderedDict(conv=lib.Conv2d(1, 3, 3), act=lib.ReLU()))
            self.blocks = lib.ModuleList([Block(3), Block(3), lib.Identity()])
            self.scale = lib.Parameter(tensor_of(lib, np.ones(3, np.float32)))
            self.again = self.stem  # one module under two names
            self.register_buffer("steps", tensor_of(lib, np.zeros(2, np.int64)))
            self.register_buffer("cache", tensor_of(lib, np.ones(4, np.float32)), persistent=False)
            self.register_buffer("nothing", None)
            self.head = lib.Sequential(lib.Flatten(), lib.Linear(3, 2, bias=False))
            self.tied = self.head[1].weight

        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    return Net()


PRINTED = [
    lambda lib: lib.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), 2, bias=False),
    lambda lib: lib.Conv2d(4, 4, 3, padding="same", groups=2, padding_mode="reflect"),
    lambda lib: lib.Conv2d(4, 4, 3, padding="valid"),
    lambda lib: lib.Conv2d(4, 4, 3, dilation=(1, 2)),
    lambda lib: lib.Linear(3, 4),
    lambda lib: lib.Linear(3, 4, bias=False),
    lambda lib: lib.Unfold((3, 2), 1, (1, 0), 2),
    lambda lib: lib.Fold((7, 6), 3, padding=1),
    lambda lib: lib.AvgPool2d((3, 2), 2, padding=1),
    lambda lib: lib.AvgPool2d(2),
    lambda lib: lib.MaxPool2d((3, 2), ceil_mode=True),
    lambda lib: lib.MaxPool2d(2, (1, 2), 1, 2),
    lambda lib: lib.AdaptiveAvgPool2d((3, None)),
    lambda lib: lib.BatchNorm1d(3, eps=0.1),
    lambda lib: lib.BatchNorm2d(3, momentum=None, affine=False, track_running_stats=False),
    lambda lib: lib.BatchNorm2d(3, bias=False),
    lambda lib: lib.LocalResponseNorm(5, 1e-3, 0.5, 2),
    lambda lib: lib.ReLU(),
    lambda lib: lib.ReLU(inplace=True),
    lambda lib: lib.LeakyReLU(0.2, inplace=True),
    lambda lib: lib.LeakyReLU(),
    lambda lib: lib.Sigmoid(),
    lambda lib: lib.Tanh(),
    lambda lib: lib.Softmax(1),
    lambda lib: lib.LogSoftmax(),
    lambda lib: lib.Flatten(0, 1),
    lambda lib: lib.Dropout(0.3),
    lambda lib: lib.Dropout(inplace=True),
    lambda lib: lib.Identity(1, x=2),
    lambda lib: lib.CrossEntropyLoss(label_smoothing=0.1),
    lambda lib: lib.NLLLoss(),
    lambda lib: lib.MSELoss(reduction="sum"),
    lambda lib: lib.Sequential(),
    lambda lib: lib.ModuleList(),
    lambda lib: lib.Sequential(lib.Sequential(lib.ReLU(), lib.Sequential()), lib.ReLU()),
    lambda lib: lib.ModuleList([lib.ReLU(), lib.ReLU(), lib.Tanh(), lib.ReLU()]),
    lambda lib: lib.ModuleList([lib.Sequential(lib.ReLU())] * 3),
    small_net,
]


@pytest.mark.parametrize("make", PRINTED)
def test_repr_is_pytorchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


@both
def test_an_extra_repr_of_several_lines(lib):
    class Wordy(lib.Module):
        def extra_repr(self):
            return "one,\ntwo"

    assert repr(Wordy()) == "Wordy(\n  one,\n  two\n)"
    net = Wordy()
    net.inner = lib.ReLU()
    assert repr(net) == "Wordy(\n  one,\n  two\n  (inner): ReLU()\n)"


def test_repr_of_the_layers_that_pytorch_lacks():
    assert repr(nn.ScaledTanh()) == "ScaledTanh(amplitude=1.7159, slope=0.6667)"
    assert repr(nn.Subsample2d(6, 2)) == "Subsample2d(6, kernel_size=(2, 2), stride=(2, 2))"
    assert repr(nn.Parameter([1.0])) == ("Parameter containing:\ntensor([1.], requires_grad=True)")


# ---- what is inside --------------------------------------------------------------------------


def names(pairs):
    return [name for name, _ in pairs]


def kinds(modules):
    return [type(m).__name__ for m in modules]


LISTINGS = {
    "parameters": lambda net: names(net.named_parameters()),
    "own parameters": lambda net: names(net.named_parameters(recurse=False)),
    "parameters with a prefix": lambda net: names(net.named_parameters("model")),
    "shapes": lambda net: [tuple(p.shape) for p in net.parameters()],
    "own shapes": lambda net: [tuple(p.shape) for p in net.parameters(recurse=False)],
    "buffers": lambda net: names(net.named_buffers()),
    "buffer shapes": lambda net: [tuple(b.shape) for b in net.buffers()],
    "own buffers": lambda net: names(net.named_buffers(recurse=False)),
    "children": lambda net: names(net.named_children()),
    "kinds of children": lambda net: kinds(net.children()),
    "modules": lambda net: names(net.named_modules()),
    "modules with a prefix": lambda net: names(net.named_modules(prefix="model")),
    "modules with duplicates": lambda net: names(net.named_modules(remove_duplicate=False)),
    "kinds of modules": lambda net: kinds(net.modules()),
    "state": lambda net: list(net.state_dict()),
    "state's shapes": lambda net: [tuple(t.shape) for t in net.state_dict().values()],
}


def reassigned(lib):
    """Attributes that change what they are, which decides their place in the order."""
    net = lib.Module()
    net.late = None
    net.first = lib.Linear(1, 2)
    net.plain = 3
    net.w = lib.Parameter(tensor_of(lib, np.zeros(1, np.float32)))
    net.late = lib.Linear(3, 4)
    net.plain = lib.Parameter(tensor_of(lib, np.zeros(2, np.float32)))
    net.first = lib.Linear(5, 6)
    net.register_buffer("a", tensor_of(lib, np.zeros(3)), persistent=False)
    net.register_buffer("b", tensor_of(lib, np.zeros(4)))
    net.register_buffer("c", tensor_of(lib, np.zeros(5)))
    net.register_buffer("a", tensor_of(lib, np.zeros(6)))  # now it is saved
    net.b = tensor_of(lib, np.zeros(7))
    net.c = None
    net.w2 = net.w
    return net


def shared_children(lib):
    act = lib.ReLU()
    return lib.Sequential(lib.Linear(2, 3), act, lib.Linear(3, 2), act)


def deleted(lib):
    net = small_net(lib)
    del net.scale, net.steps, net.again
    net.blocks[0].norm = None
    return net


NETS = [small_net, reassigned, shared_children, deleted]


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("listing", LISTINGS)
def test_order_and_names_are_pytorchs(make, listing):
    look = LISTINGS[listing]
    assert look(make(nn)) == look(make(torch.nn))


@both
def test_a_sequential_with_names(lib):
    net = lib.Sequential(OrderedDict(conv=lib.Conv2d(1, 2, 3), act=lib.ReLU(), out=lib.Tanh()))
    assert net[0] is net.conv
    assert net[-1] is net.out
    assert len(net) == 3
    assert list(net) == [net.conv, net.act, net.out]
    part = net[1:]
    assert type(part) is lib.Sequential
    assert names(part.named_children()) == ["act", "out"]
    assert part[0] is net.act
    net[1] = lib.Sigmoid()
    assert kinds(net) == ["Conv2d", "Sigmoid", "Tanh"]
    assert net.append(lib.Identity()) is net
    assert names(net.named_children()) == ["conv", "act", "out", "3"]
    assert len(lib.Sequential(OrderedDict())) == 0
    assert len(net[4:]) == 0


@both
def test_a_numbered_sequential(lib):
    net = lib.Sequential(*(lib.Linear(i, i + 1) for i in range(1, 5)))
    assert [layer.in_features for layer in net[::2]] == [1, 3]
    assert names(net[1:3].named_children()) == ["1", "2"]
    net[-1] = lib.ReLU()
    net[0] = lib.Tanh()
    assert names(net.named_children()) == ["0", "1", "2", "3"]
    assert kinds(net) == ["Tanh", "Linear", "Linear", "ReLU"]
    for index in (4, -5):
        with pytest.raises(IndexError):
            net[index]
        with pytest.raises(IndexError):
            net[index] = lib.ReLU()
    for wrong in (3, "ReLU", lib.ReLU):
        with pytest.raises(TypeError):
            net[1] = wrong
        with pytest.raises(TypeError):
            net.append(wrong)
        with pytest.raises(TypeError):
            lib.Sequential(lib.ReLU(), wrong)
    assert kinds(net) == ["Tanh", "Linear", "Linear", "ReLU"]


@both
def test_one_module_twice_in_a_sequential(lib):
    net = shared_children(lib)
    assert len(net) == 4
    assert kinds(net) == ["Linear", "ReLU", "Linear", "ReLU"]
    assert net[3] is net[1]
    net[3] = lib.Tanh()
    assert kinds(net) == ["Linear", "ReLU", "Linear", "Tanh"]
    assert repr(shared_children(lib)).count("ReLU()") == 2


def test_appending_to_a_slice_loses_no_module():
    """PyTorch names the new one by the length, and so replaces the last."""
    part = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())[1:]
    part.append(nn.Identity())
    assert kinds(part) == ["Tanh", "Sigmoid", "Identity"]


def test_a_container_says_what_is_no_module():
    with pytest.raises(TypeError, match="Sequential: 1 is a function, no Module"):
        nn.Sequential(nn.ReLU(), F.relu)
    with pytest.raises(TypeError, match="Sequential: 0 is None, no Module"):
        nn.Sequential(None)
    with pytest.raises(TypeError, match="ModuleList: 0 is a type, no Module"):
        nn.ModuleList([nn.ReLU])


@both
def test_a_slice_of_a_subclass_of_sequential_is_one_too(lib):
    class Chain(lib.Sequential):
        pass

    assert type(Chain(lib.ReLU(), lib.Tanh())[1:]) is Chain


@both
def test_a_module_list(lib):
    items = lib.ModuleList(lib.Linear(i, 2) for i in (1, 2, 3))
    assert items.append(lib.Linear(4, 2)) is items
    assert items.extend([lib.Linear(5, 2)]) is items
    assert len(items) == 5
    assert [m.in_features for m in items] == [1, 2, 3, 4, 5]
    assert items[-1].in_features == 5
    part = items[1:3]
    assert type(part) is lib.ModuleList
    assert names(part.named_children()) == ["0", "1"]
    assert part[0] is items[1]
    items[-2] = lib.ReLU()
    assert kinds(items) == ["Linear"] * 3 + ["ReLU", "Linear"]
    assert names(items.named_parameters())[::2] == ["0.weight", "1.weight", "2.weight", "4.weight"]
    with pytest.raises(TypeError):
        items[0] = 3
    with pytest.raises(TypeError):
        items.append(3)


@both
def test_get_submodule(lib):
    net = small_net(lib)
    assert net.get_submodule("") is net
    assert net.get_submodule("blocks.1.norm") is net.blocks[1].norm
    assert net.get_submodule("again.conv") is net.stem.conv  # by its second name too
    for path in ("blocks.5", "scale", "stem.conv.weight", "nothing", "blocks..norm"):
        with pytest.raises(AttributeError):
            net.get_submodule(path)


def test_get_submodule_says_what_is_missing():
    with pytest.raises(AttributeError, match=r"Net has no submodule 'blocks\.5'"):
        small_net(nn).get_submodule("blocks.5")


# ---- assigning -------------------------------------------------------------------------------


@both
def test_what_may_not_be_assigned(lib):
    net = small_net(lib)
    array = np.zeros(3, np.float32)
    for value in (tensor_of(lib, array), array, 3.0):
        with pytest.raises(TypeError):
            net.scale = value
    for value in (tensor_of(lib, array), 3, "relu"):
        with pytest.raises(TypeError):
            net.stem = value
    for value in (array, 3.0, "x"):
        with pytest.raises(TypeError):
            net.steps = value
    assert names(net.named_parameters(recurse=False)) == ["scale", "tied"]
    net.scale = net.stem = net.steps = None
    assert "scale" not in net.state_dict()
    assert "steps" not in net.state_dict()
    assert names(net.named_children()) == ["blocks", "again", "head"]


def test_a_refused_assignment_says_what_to_do():
    net = small_net(nn)
    with pytest.raises(TypeError, match=r"a Tensor to the parameter 'scale': assign an nn\.P"):
        net.scale = mc.zeros(3)
    with pytest.raises(TypeError, match=r"with no_grad\(\): scale.copy_"):
        net.scale = np.zeros(3)
    with pytest.raises(TypeError, match="a function to the module 'stem': assign a Module, or N"):
        net.stem = F.relu
    with pytest.raises(TypeError, match="a list to the buffer 'steps': assign a Tensor, or None"):
        net.steps = [1, 2]


@both
def test_names_that_cannot_be_registered(lib):
    net = small_net(lib)
    tensor = tensor_of(lib, np.zeros(1, np.float32))
    for name in ("forward", "training", "stem", "scale", "a.b", ""):
        with pytest.raises(KeyError):
            net.register_buffer(name, tensor)
    for name in ("forward", "training", "scale", "steps", "a.b", ""):
        with pytest.raises(KeyError):
            net.add_module(name, lib.ReLU())
    for name in ("forward", "training", "stem", "steps", "a.b", ""):
        with pytest.raises(KeyError):
            net.register_parameter(name, lib.Parameter(tensor))
    with pytest.raises(KeyError):
        lib.Sequential(OrderedDict(forward=lib.ReLU()))
    with pytest.raises(TypeError):
        net.register_parameter("new", tensor)
    with pytest.raises(TypeError):
        net.register_buffer("new", [1.0])
    assert list(net.state_dict()) == list(small_net(lib).state_dict())


def test_a_refused_name_is_explained():
    net = small_net(nn)
    with pytest.raises(KeyError, match="attribute 'forward' exists already"):
        net.add_module("forward", nn.ReLU())
    with pytest.raises(KeyError, match=r"must not be empty or contain a dot: 'a\.b'"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match="register_parameter: new is a Tensor, no Parameter"):
        net.register_parameter("new", mc.zeros(1))


@both
def test_registering_by_name(lib):
    net = lib.Module()
    net.register_parameter("b", None)
    net.register_parameter("b", lib.Parameter(tensor_of(lib, np.zeros(1, np.float32))))
    net.add_module("1", lib.Linear(1, 2))
    net.add_module("1", lib.Linear(1, 3))
    assert list(net.state_dict()) == ["b", "1.weight", "1.bias"]
    bare = lib.Linear(1, 2, bias=False)
    bare.register_parameter("bias", lib.Parameter(tensor_of(lib, np.zeros(2, np.float32))))
    assert list(bare.state_dict()) == ["weight", "bias"]


@both
def test_a_buffer_that_becomes_a_parameter(lib):
    net = small_net(lib)
    net.cache = lib.Parameter(tensor_of(lib, np.zeros(3, np.float32)))
    assert "cache" in names(net.named_parameters())
    assert "cache" not in names(net.named_buffers())


# ---- changing all of it ----------------------------------------------------------------------


@both
def test_apply_visits_children_first_and_once_per_parent(lib):
    visited = []
    net = small_net(lib)
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    block = ["Conv2d", "BatchNorm2d", "Block"]
    assert visited == (
        ["Conv2d", "ReLU", "Sequential"] + block * 2 + ["Identity", "ModuleList"]
        + ["Flatten", "Linear", "Sequential", "Net"]
    )  # fmt: skip
    visited.clear()
    shared_children(lib).apply(lambda m: visited.append(type(m).__name__))
    assert visited == ["Linear", "ReLU", "Linear", "Sequential"]


@both
def test_train_and_eval_reach_every_module(lib):
    net = small_net(lib)
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.blocks[0].train() is net.blocks[0]
    assert [m.training for m in net.blocks] == [True, False, False]
    assert net.blocks[0].norm.training
    assert all(m.training for m in net.train().modules())


@both
def test_a_module_may_define_its_own_train(lib):
    """The usual way to freeze batch norm: a child's train() is called, wherever it stands."""

    class Frozen(lib.BatchNorm2d):
        def train(self, mode=True):
            return super().train(False)

    net = lib.Sequential(lib.Sequential(Frozen(3)), lib.ReLU()).train()
    assert not net[0][0].training
    assert net[0].training


@both
def test_requires_grad_of_all_parameters(lib):
    net = small_net(lib)
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    net.head.requires_grad_()
    assert [p.requires_grad for p in net.head.parameters()] == [True]
    assert not net.scale.requires_grad
    assert not net.steps.requires_grad


@both
def test_zero_grad_forgets_or_makes_zero(lib):
    net = lib.Sequential(lib.Linear(2, 3), lib.Linear(3, 1))
    x = tensor_of(lib, np.ones((4, 2), np.float32))
    net(x).sum().backward()
    net[1].bias.grad = None
    held = net[0].weight.grad
    net.zero_grad(set_to_none=False)
    assert net[0].weight.grad is held
    assert held.tolist() == [[0.0, 0.0]] * 3
    assert net[1].bias.grad is None
    net(x).sum().backward()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def dtypes(net):
    return {k: str(v.dtype).removeprefix("torch.") for k, v in net.state_dict().items()}


@both
def test_conversion_takes_floating_tensors_and_gradients_along(lib):
    net = small_net(lib)
    parameters = list(net.parameters())
    net(tensor_of(lib, np.ones((2, 1, 3, 3), np.float32))).sum().backward()
    before = net.head[1].weight.detach().tolist()
    gradient = net.head[1].weight.grad.tolist()
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    found = dtypes(net)
    counts = [k for k in found if k.endswith(("num_batches_tracked", "steps"))]
    assert len(counts) == 3
    assert all(found[k] == ("int64" if k in counts else "float64") for k in found)
    assert str(net.cache.dtype).endswith("float64")  # not saved, but converted
    assert str(net.head[1].weight.grad.dtype).endswith("float64")
    assert net.head[1].weight.tolist() == before
    assert net.head[1].weight.grad.tolist() == gradient
    assert net.scale.grad is None
    assert net.head[1].weight is net.tied
    assert set(dtypes(net.float()).values()) == {"float32", "int64"}
    wide = mc.float64 if lib is nn else torch.float64
    assert dtypes(net.to(wide)) == found
    assert dtypes(net.to("cpu")) == found
    assert dtypes(net.to(dtype=wide, device="cpu")) == found
    assert dtypes(net.cpu()) == found


@both
def test_a_converted_model_trains_on(lib):
    net = lib.Linear(2, 1).double()
    net(tensor_of(lib, np.ones((3, 2)))).sum().backward()
    assert net.weight.grad.tolist() == [[3.0, 3.0]]
    assert net.weight.is_leaf
    assert net.weight.requires_grad


def test_conversion_to_an_integer_type_is_refused():
    with pytest.raises(DtypeError, match=r"Module\.to: needs a floating dtype, not int64"):
        nn.Linear(1, 2).to(mc.int64)
    with pytest.raises(TypeError, match="floating point"):
        torch.nn.Linear(1, 2).to(torch.int64)


# ---- saving and loading ----------------------------------------------------------------------


def test_a_state_goes_to_pytorch_and_back(rng):
    ours, theirs = small_net(nn), small_net(torch.nn)
    result = ours.load_state_dict(as_arrays(theirs.state_dict()))
    assert result == ([], [])
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
    compare(ours.double(), theirs.double(), rng.standard_normal((3, 1, 3, 3)))
    state = {k: torch.tensor(v) for k, v in as_arrays(ours.state_dict()).items()}
    assert theirs.load_state_dict(state).missing_keys == []


@both
def test_a_state_shares_the_models_memory(lib):
    net = lib.Linear(2, 1)
    state = net.state_dict()
    assert not any(v.requires_grad for v in state.values())
    state["bias"][0] = 7.0
    assert net.bias.tolist() == [7.0]
    other = lib.Linear(2, 1)
    other.load_state_dict(state)
    state["bias"][0] = 8.0
    assert other.bias.tolist() == [7.0]  # loading copies
    assert other.bias.requires_grad


def test_loading_keeps_the_tensors_and_their_types():
    net = nn.BatchNorm2d(2).double()
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    state = {k: np.full(v.shape, 3, np.float32) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    for key, tensor in {**dict(net.named_parameters()), **dict(net.named_buffers())}.items():
        assert tensor is held[key]
        assert tensor.dtype == (np.int64 if key == "num_batches_tracked" else np.float64)
        assert (tensor.numpy() if key not in ("weight", "bias") else tensor.detach() == 3).all()


def test_loading_is_a_change_that_backward_notices():
    net = nn.Linear(2, 2)
    y = net(mc.ones(1, 2, requires_grad=True))
    net.load_state_dict(net.state_dict())
    with pytest.raises(InPlaceError, match="Linear: an array that it saved"):
        y.sum().backward()


def test_a_state_that_does_not_fit_is_refused_and_nothing_copied():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.Linear(3, 1)))
    before = as_arrays({k: v.clone() for k, v in net.state_dict().items()})
    state = {k: v + 1 for k, v in before.items()}
    state["extra.weight"] = state.pop("a.bias")
    state["b.weight"] = np.zeros((1, 4))
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: does not fit Sequential:"
        "\n  missing keys: a.bias"
        "\n  unexpected keys: extra.weight"
        "\n  other shapes: b.weight: the model has (1, 3), the saved one (1, 4)"
    )
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state, strict=False)
    assert str(caught.value) == (
        "load_state_dict: does not fit Sequential:"
        "\n  other shapes: b.weight: the model has (1, 3), the saved one (1, 4)"
    )
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


@both
def test_loading_what_fits(lib):
    net = lib.Linear(2, 2)
    state = {"bias": tensor_of(lib, np.array([1.0, 2.0])), "other": tensor_of(lib, np.zeros(1))}
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["weight"]
    assert result.unexpected_keys == ["other"]
    assert net.bias.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError):
        net.load_state_dict(state)


def test_several_wrong_keys_are_all_listed():
    with pytest.raises(StateDictError) as caught:
        nn.Linear(2, 2).load_state_dict({"w": np.zeros(1), "b": np.zeros(1)})
    assert "missing keys: weight, bias" in str(caught.value)
    assert "unexpected keys: w, b" in str(caught.value)


@both
def test_a_copy_is_independent_and_trains(lib):
    net = small_net(lib)
    x = tensor_of(lib, np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype("f4"))
    net(x).sum().backward()
    twin = copy.deepcopy(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.stem is twin.again
    assert twin.tied is twin.head[1].weight
    assert type(twin.scale) is lib.Parameter
    pairs = zip(twin.state_dict().values(), net.state_dict().values(), strict=True)
    for a, b in pairs:
        assert a.tolist() == b.tolist()
        assert not np.shares_memory(a.numpy(), b.numpy())
    before = net.tied.detach().tolist()
    twin.zero_grad()
    (twin(x) ** 2).sum().backward()
    with mc.no_grad(), torch.no_grad():
        twin.tied -= 0.1 * twin.tied.grad
        twin.steps += 1
    assert twin.tied.tolist() != before
    assert net.tied.tolist() == before
    assert net.steps.tolist() == [0, 0]


# ---- forward, hooks, and where an error happened ---------------------------------------------


@both
def test_forward_hooks_see_and_replace_the_output(lib):
    net = lib.Sequential(lib.Flatten(0), lib.Identity())
    x = tensor_of(lib, np.array([[1.0, 2.0]]))
    seen = []
    first = net[1].register_forward_hook(lambda m, args, out: seen.append((m, args, out)))
    double = net[1].register_forward_hook(lambda m, args, out: out * 2)
    last = net[1].register_forward_hook(lambda m, args, out: seen.append(out.tolist()))
    assert net(x).tolist() == [2.0, 4.0]
    (module, args, out), after = seen
    assert module is net[1]
    assert len(args) == 1
    assert args[0].tolist() == out.tolist() == [1.0, 2.0]
    assert after == [2.0, 4.0]  # in the order of registration
    double.remove()
    double.remove()
    assert net(x).tolist() == [1.0, 2.0]
    first.remove()
    last.remove()
    net(x)
    assert len(seen) == 4
    assert not lib.Identity()._forward_hooks  # another module has none of them


@both
def test_a_hook_that_removes_itself(lib):
    net, calls = lib.Identity(), []

    def once(module, args, output):
        calls.append("once")
        handle.remove()

    handle = net.register_forward_hook(once)
    net.register_forward_hook(lambda *_: calls.append("always"))
    net(tensor_of(lib, np.ones(1)))
    net(tensor_of(lib, np.ones(1)))
    assert calls == ["once", "always", "always"]


def test_a_module_without_forward():
    with pytest.raises(TypeError, match=r"Bare defines no forward\(\)"):
        type("Bare", (nn.Module,), {})()(1)
    with pytest.raises(TypeError, match="ModuleList defines no forward"):
        nn.ModuleList()(1)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(6, 2, 3), nn.ReLU())

    def forward(self, x):
        return self.features(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.deep = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Identity(), nn.Linear(5, 2)))
        self.unattached = [nn.Linear(5, 2)]

    def forward(self, x, way):
        if way == "whole":
            return self.inner(x)
        if way == "past the child":
            return self.inner.features[0](x)
        if way == "deep":
            return self.deep(x)
        return self.unattached[0](x)


def test_an_error_says_which_module_it_happened_in():
    x = mc.zeros(2, 1, 5, 4)
    with pytest.raises(ShapeError, match=r"weight expects C_in=6 .*\[Inner\.features\.0\]$"):
        Inner()(x)
    net = Outer()
    for way, path in {
        "whole": "Outer.inner.features.0",
        "past the child": "Outer.inner.features.0",
        "deep": "Outer.deep.1.1",
        "unattached": "Outer.Linear",
    }.items():
        with pytest.raises(ShapeError) as caught:
            net(x, way)
        assert str(caught.value).endswith(f"  [{path}]")


def test_an_error_outside_or_after_a_module_names_none():
    with pytest.raises(ShapeError):
        nn.Linear(5, 2)(mc.zeros(2, 3))
    with pytest.raises(ShapeError) as caught:
        F.linear(mc.zeros(2, 3), mc.zeros(2, 5))
    assert "[" not in str(caught.value)
    with pytest.raises(ShapeError, match=r"\[Linear\]$"):
        nn.Linear(5, 2)(mc.zeros(2, 3))


def test_an_error_in_a_hook_names_the_module_too():
    net = nn.Sequential(nn.Identity(), nn.ReLU())
    net[1].register_forward_hook(lambda m, args, out: F.linear(out, mc.zeros(2, 5)))
    with pytest.raises(ShapeError, match=r"\[Sequential\.1\]$"):
        net(mc.zeros(2, 3))


# ---- changing containers, pre-hooks, backward hooks --------------------------------------------


@both
def test_insert_and_del(lib):
    for net in (
        lib.Sequential(*map(lib.Flatten, range(4))),
        lib.ModuleList(map(lib.Flatten, range(4))),
    ):
        del net[1]
        net.insert(1, lib.Tanh())
        net.insert(3, lib.Sigmoid())
        net.extend([lib.ReLU()])
        kinds = "Flatten Tanh Flatten Sigmoid Flatten ReLU".split()
        assert [type(m).__name__ for m in net] == kinds
        assert [name for name, _ in net.named_children()] == list("012345")
        del net[1:4]
        assert [m.start_dim for m in net if isinstance(m, lib.Flatten)] == [0, 3]
        assert [name for name, _ in net.named_children()] == list("012")
        with pytest.raises(IndexError):
            del net[7]


@both
def test_module_dict(lib):
    d = lib.ModuleDict({"a": lib.Linear(2, 3), "b": lib.ReLU()})
    d["c"] = lib.Linear(3, 1, bias=False)
    d.update({"a": lib.Linear(4, 3)})
    assert list(d) == list(d.keys()) == ["a", "b", "c"]
    assert [type(m).__name__ for m in d.values()] == ["Linear", "ReLU", "Linear"]
    assert dict(d.items())["b"] is d["b"]
    assert ("b" in d, "x" in d, len(d)) == (True, False, 3)
    del d["b"]
    assert [name for name, _ in d.named_parameters()] == ["a.weight", "a.bias", "c.weight"]
    assert repr(d).splitlines()[1].startswith("  (a): Linear(in_features=4")
    for f in (lambda: d["b"], lambda: d.__delitem__("b")):
        with pytest.raises(KeyError):
            f()
    with pytest.raises(TypeError):
        d["x"] = 3


@both
def test_modules_can_be_put_in_by_name(lib):
    net = lib.Module()
    net._modules["first"] = lib.Linear(2, 3)
    assert net.first is net._modules["first"]
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias"]


@both
def test_pre_hooks_see_and_replace_the_arguments(lib):
    net, seen = lib.Flatten(0), []
    first = net.register_forward_pre_hook(lambda m, args: seen.append((m, args)))
    net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    net.register_forward_pre_hook(lambda m, args: args[0] + 1)  # one value stands for a tuple
    x = tensor_of(lib, np.array([[1.0, 2.0]]))
    assert net(x).tolist() == [3.0, 5.0]
    assert seen[0][0] is net
    assert seen[0][1][0] is x
    first.remove()
    net(x)
    assert len(seen) == 1


class Branches(torch.nn.Module):
    """Two inputs, two outputs, something that is no tensor among them."""

    def forward(self, a, factor, b):
        return a * factor + b, b * b


class OurBranches(nn.Module):
    forward = Branches.forward


def run_hooked(lib, needs, used, change):
    """What a backward hook sees of Branches, and the gradients that arrive behind it."""
    net = (OurBranches if lib is nn else Branches)()
    seen = []

    def hook(module, grad_input, grad_output):
        assert module is net
        rows = [[None if g is None else g.tolist() for g in gs] for gs in (grad_input, grad_output)]
        seen.append(rows)
        if change:
            return tuple(None if g is None else g * 10 for g in grad_input)

    net.register_full_backward_hook(hook)
    a, b = (tensor_of(lib, np.array(v)) for v in ([1.0, 2.0], [3.0, 5.0]))
    for t, needed in zip((a, b), needs, strict=True):
        t.requires_grad_(needed)
    outputs = net(a * 1 if needs[0] else a, 3, b)
    sum((outputs[i] * (i + 2)).sum() for i in used).backward()
    return seen, [None if t.grad is None else t.grad.tolist() for t in (a, b)]


@pytest.mark.parametrize("needs", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("change", [False, True])
def test_backward_hooks_are_pytorchs(needs, change):
    used = (0, 1) if needs[1] else (0,)
    ours, theirs = (run_hooked(lib, needs, used, change) for lib in (nn, torch.nn))
    assert ours[1] == theirs[1]
    [(grad_input, grad_output)], [(their_input, their_output)] = ours[0], theirs[0]
    for place, needed in ((0, needs[0]), (2, needs[1])):  # PyTorch: zeros; here: None
        assert grad_input[place] == (their_input[place] if needed else None)
    assert len(grad_input) == len(their_input) == 3
    assert grad_input[1] is their_input[1] is None
    assert grad_output == [g or [0.0, 0.0] for g in their_output[: len(grad_output)]]


@both
def test_backward_hooks_of_a_layer_in_a_net(lib):
    net = lib.Sequential(lib.Linear(3, 4), lib.Tanh(), lib.Linear(4, 2)).double()
    x = tensor_of(lib, np.random.default_rng(5).standard_normal((5, 3)))
    calls = []

    def gradients():
        net.zero_grad()
        net(x).sum().backward()
        return [p.grad.tolist() for p in net.parameters()]

    without = gradients()
    handle = net[2].register_full_backward_hook(
        lambda m, gi, go: calls.append((tuple(gi[0].shape), tuple(go[0].shape)))
    )
    assert gradients() == without  # a hook that only looks changes nothing
    with (mc if lib is nn else torch).no_grad():
        net(x)
    assert calls == [((5, 4), (5, 2))]
    handle.remove()
    assert gradients() == without
    assert len(calls) == 1


@both
@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_a_backward_hook_where_no_input_needs_a_gradient(lib):
    layer, calls = lib.Linear(3, 2).double(), []
    layer.register_full_backward_hook(lambda m, gi, go: calls.append((gi, go[0].tolist())))
    layer(tensor_of(lib, np.ones((1, 3)))).sum().backward()
    assert calls == [((None,), [[1.0, 1.0]])]
    assert layer.bias.grad.tolist() == [1.0, 1.0]


# ---- lazy layers -----------------------------------------------------------------------------


def lazy_net(lib):
    return lib.Sequential(
        lib.LazyConv2d(6, kernel_size=5, padding=2), lib.LazyBatchNorm2d(momentum=0.2),
        lib.Sigmoid(), lib.Flatten(), lib.LazyLinear(10, bias=False), lib.LazyLinear(4),
        lib.LazyBatchNorm2d(affine=False),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_become_what_they_stand_for(rng):
    ours, theirs = lazy_net(nn), lazy_net(torch.nn)
    assert repr(ours) == repr(theirs)
    calls = []
    ours[0].register_forward_hook(lambda *given: calls.append(type(given[0])))
    ours.eval()
    x = rng.standard_normal((2, 3, 5, 4), np.float32)
    ours[:6](mc.tensor(x))
    theirs[:6](torch.tensor(x))
    assert repr(ours) == repr(theirs)
    assert (type(ours[0]), type(ours[1]), type(ours[4])) == (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    assert not any(m.training for m in ours.modules())
    assert calls == [nn.Conv2d]
    ours, theirs = ours[:6], theirs[:6].eval()
    ours.apply(lambda m: nn.init.xavier_uniform_(m.weight) if type(m) is nn.Linear else None)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    x = rng.standard_normal((3, 3, 5, 4), np.float32)
    found, expected = ours(mc.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-4)


@pytest.mark.parametrize("ask", [
    lambda net: list(net.parameters()), lambda net: net.state_dict(), lambda net: net[0].weight,
    lambda net: net.double(), lambda net: mc.optim.SGD(net.parameters(), 0.1),
])  # fmt: skip
def test_a_lazy_layer_has_no_parameters_before_its_input(ask):
    message = "LazyConv2d: has no parameters before its first input; run a batch through the model"
    with pytest.raises(ArgumentError, match=message):
        ask(lazy_net(nn))


def test_lazy_layers_check_their_arguments_and_their_input():
    with pytest.raises(ArgumentError, match="padding must be numbers, 'same' or 'valid'"):
        nn.LazyConv2d(6, 3, padding="some")
    with pytest.raises(
        ShapeError, match=r"LazyConv2d: input must have .* dimensions, not \(3, 4\)"
    ):
        nn.LazyConv2d(6, 3)(mc.ones(3, 4))
    with pytest.raises(AttributeError, match="'LazyLinear' object has no attribute 'weights'"):
        nn.LazyLinear(3).weights  # noqa: B018


@pytest.mark.parametrize("state", ["model.pt", None, [1, 2]])
def test_load_state_dict_says_what_it_takes(state):
    with pytest.raises(TypeError, match=r"takes a dict of tensors, not a .*; one that was saved"):
        nn.Linear(2, 2).load_state_dict(state)


@pytest.mark.parametrize("make", [
    lambda lib: lib.Linear(2, 2), lambda lib: lib.ReLU(), lambda lib: lib.ModuleList(),
    lambda lib: lib.Parameter(tensor_of(lib, np.ones(2, np.float32))),
])  # fmt: skip
def test_a_module_without_init_is_refused(make):
    for lib in (nn, torch.nn):

        class Forgetful(lib.Module):
            def __init__(self, lib=lib):
                self.part = make(lib)

        with pytest.raises(AttributeError, match=r"before .*"):
            Forgetful()
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) before 'part'"):
        type("M", (nn.Module,), {"__init__": lambda self: setattr(self, "part", nn.ReLU())})()

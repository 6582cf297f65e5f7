"""Weights files: round trips, exchange with PyTorch's safetensors, damage, and failed writes."""

import contextlib
import copy
import errno
import io
import json
import math
import os
import re
import resource
import stat
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import safetensors.torch
import torch

import minicnn
from minicnn import optim
from minicnn.arrays import DTYPES
from minicnn.errors import ArgumentError, DataError, DtypeError
from minicnn.serialization import DEPTH_LIMIT, load_file, load_metadata, save_file


def arrays():
    """Every dtype, and the shapes and strides that get lost most easily."""
    rng = np.random.default_rng(0)
    found = {str(d): rng.integers(0, 2, (2, 3)).astype(d) for d in DTYPES}
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    return found | {
        "transposed": x.transpose(2, 0, 1),
        "every other": x[::2, :, 1::2],
        "reversed": x[::-1],
        "expanded": np.broadcast_to(x[0, 0], (2, 5)),
        "channels last": x.reshape(1, 3, 4, 5).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        "0-dim": np.array(2.5),
        "0-dim bool": np.array(True),
        "one": np.ones((1, 1), np.int16),
        "size 0": np.zeros((0, 3), np.float32),
        "size 0, too": np.zeros((2, 0), np.int64),
        "special": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "features.0.weight": x,
        "name with ünïcode and \"quotes\"": x,
    }  # fmt: skip


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        got = np.asarray(found[name])
        assert got.dtype == array.dtype, name
        assert got.shape == array.shape, name
        assert got.tobytes() == array.tobytes(), name  # bits, so that NaN and -0.0 count


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


# ---- round trips -------------------------------------------------------------------------------


def test_round_trip(path):
    save_file({k: minicnn.from_numpy(v) for k, v in arrays().items()}, path)
    found = load_file(path)
    assert all(isinstance(t, minicnn.Tensor) for t in found.values())
    assert_same(found, arrays())


def test_pytorch_reads_what_minicnn_writes(path):
    save_file({k: minicnn.from_numpy(v) for k, v in arrays().items()}, path, {"epoch": "3"})
    found = safetensors.torch.load_file(path)
    assert all(isinstance(t, torch.Tensor) for t in found.values())
    assert_same(found, arrays())


def test_minicnn_reads_what_pytorch_writes(path):
    tensors = {k: torch.from_numpy(v.copy(order="C")) for k, v in arrays().items()}
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    assert_same(load_file(path), arrays())
    assert load_metadata(path) == {"format": "pt"}


def test_weights_go_to_a_pytorch_module_and_back(path):
    theirs, back = torch.nn.Conv2d(2, 3, (4, 5)), torch.nn.Conv2d(2, 3, (4, 5))
    safetensors.torch.save_file(theirs.state_dict(), path)
    ours = load_file(path)
    for t in ours.values():
        t.requires_grad_()
    save_file(ours, path)
    back.load_state_dict(safetensors.torch.load_file(path))
    assert all(
        torch.equal(a, b) for a, b in zip(theirs.parameters(), back.parameters(), strict=True)
    )


def test_tensors_over_the_same_memory(path):
    x = minicnn.arange(6, dtype=np.float32)
    save_file({"x": x, "again": x, "part": x[2:4]}, path)
    found = load_file(path)
    found["x"].fill_(-1)
    assert found["again"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["part"].tolist() == [2, 3]


def test_no_tensors_at_all(path):
    save_file({}, path, {"only": "text"})
    assert load_file(path) == {}
    assert load_metadata(path) == {"only": "text"}


def test_what_was_read_is_the_users_own(path):
    x = np.arange(50_000, dtype=np.float32)
    save_file({"x": minicnn.from_numpy(x), "s": minicnn.tensor(1.0)}, path)
    found, other = load_file(path), load_file(path)
    with open(path, "r+b") as file:  # in place, which a mapped file would show
        file.write(bytes(os.path.getsize(path)))
    np.testing.assert_array_equal(found["x"].numpy(), x)
    for t in found.values():
        assert t.is_contiguous()
        t.fill_(7)
    assert (found["x"].numpy() == 7).all()
    np.testing.assert_array_equal(other["x"].numpy(), x)
    assert path.read_bytes().strip(b"\0") == b""


def test_saving_changes_no_tensor(path):
    x = minicnn.from_numpy(np.arange(6.0).reshape(2, 3).T)
    strides, version = x.array.strides, x._counter[0]
    save_file({"x": x}, path)
    assert (x.array.strides, x._counter[0]) == (strides, version)


def test_equal_tensors_give_equal_files(path, tmp_path):
    names = list(arrays())
    for file, order in ((path, names), (tmp_path / "other", names[::-1])):
        save_file({k: minicnn.from_numpy(arrays()[k]) for k in order}, file, {"k": "v"})
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("metadata", [{"a": "1", "ü": "two\nlines", "": ""}, {}, None])
def test_metadata(path, metadata):
    save_file({"x": minicnn.zeros(2)}, path, metadata)
    assert load_metadata(path) == (metadata or {})
    assert load_metadata(str(path)) == (metadata or {})
    assert list(load_file(path)) == ["x"]


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"x": np.zeros(2)}, None, TypeError, "a ndarray under 'x'"),
        ({1: minicnn.zeros(2)}, None, TypeError, "a Tensor under 1"),
        ({"__metadata__": minicnn.zeros(2)}, None, ArgumentError, "'__metadata__' is the file"),
        ({"x": minicnn.Tensor(np.zeros(2, "u2"))}, None, DtypeError, "uint16 is not supported"),
        ({}, {"epoch": 3}, TypeError, "metadata must be text"),
        ({}, {3: "epoch"}, TypeError, "metadata must be text"),
    ],
)
def test_what_cannot_be_saved(path, tensors, metadata, error, message):
    with pytest.raises(error, match=message):
        save_file(tensors, path, metadata)
    assert os.listdir(path.parent) == []


def raw(header, body, claimed=None):
    """A safetensors file's bytes; the header's length may lie."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BODY = bytes(8)
DAMAGED = {
    "empty": (b"", "header too small"),
    "cut in the length": (raw({"x": entry()}, BODY)[:5], "header too small"),
    "cut in the header": (raw({"x": entry()}, BODY)[:20], "header"),
    "cut in the data": (raw({"x": entry()}, BODY)[:-1], "not fully covered|IncompleteBuffer"),
    "one byte more": (raw({"x": entry()}, BODY + b"0"), "not fully covered|IncompleteBuffer"),
    "a pickle": (b"\x80\x02}q\x00." + bytes(40), "header"),
    "gzip": (b"\x1f\x8b\x08\0" + b"\xff" * 40, "header"),
    "a huge header": (raw({"x": entry()}, BODY, 2**63), "header"),
    "a header past the end": (raw({"x": entry()}, BODY, 10_000), "header"),
    "no utf-8": (raw(b'{"\xff": 1}', b""), "header"),
    "no json": (raw(b'{"x": ', b""), "header"),
    "no object": (raw(b"[1, 2]", b""), "header"),
    "shape of more": (raw({"x": entry(shape=(3,))}, BODY), "found: "),
    "shape of less": (raw({"x": entry(shape=(1,))}, BODY), "found: "),
    "shape below 0": (raw({"x": entry(shape=(-2,))}, BODY), "found: "),
    "shape beyond all": (raw({"x": entry(shape=(2**62, 2**62))}, BODY), "found: "),
    "a huge nothing": (raw({"x": entry(shape=(2**62, 0), offsets=(0, 0))}, b""), "too big"),
    "too many dimensions": (raw({"x": entry(shape=(1,) * 70, offsets=(0, 4))}, bytes(4)), "64"),
    "offsets past the end": (raw({"x": entry(offsets=(8, 16))}, BODY), "found: "),
    "offsets backwards": (raw({"x": entry(offsets=(8, 0))}, BODY), "found: "),
    "overlap": (raw({"x": entry(), "y": entry()}, BODY), "found: "),
    "an unknown type": (raw({"x": entry("F33")}, BODY), "F33|header"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused_in_one_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as found:
        load_file(path)
    assert str(found.value).startswith(f"{path}: expected a sound safetensors file, found: ")
    assert "\n" not in str(found.value)


def test_the_damage_is_all_that_is_wrong_with_the_damaged_files(path):
    path.write_bytes(raw({"x": entry()}, BODY))
    assert load_file(path)["x"].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["BF16", "U16", "U32", "U64", "F8_E4M3", "C64"])
def test_types_that_minicnn_lacks(path, dtype):
    bits = {"F8": 8, "C6": 64}.get(dtype[:2]) or int(dtype.strip("BFU"))
    path.write_bytes(raw({"layer.x": entry(dtype, (64 // bits,))}, BODY))
    with pytest.raises(DataError, match=f"found {dtype} in tensor 'layer.x'") as found:
        load_file(path)
    assert str(found.value).startswith(f"{path}: expected elements of BOOL, U8, ")


@pytest.mark.parametrize("load", [load_file, load_metadata])
def test_no_file(tmp_path, load):
    missing = tmp_path / "none"
    with pytest.raises(DataError, match=f"^{missing}: expected a safetensors file, found nothing$"):
        load(missing)
    with pytest.raises(DataError, match=f"^{tmp_path}: expected .*, found no regular file$"):
        load(tmp_path)


def test_metadata_of_a_damaged_file(path):
    path.write_bytes(raw({"x": entry()}, BODY)[:-1])
    with pytest.raises(DataError, match=f"^{path}: expected a sound safetensors file"):
        load_metadata(path)


# ---- all or nothing ----------------------------------------------------------------------------


def fail(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(("failure", "error"), [(fail, DataError), (interrupt, KeyboardInterrupt)])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, step, failure, error):
    save_file({"x": minicnn.ones(3)}, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, step, failure)
    with pytest.raises(error) as found:
        save_file({"x": minicnn.zeros(5)}, path)
    if error is DataError:
        assert str(found.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_disk_that_fills_up_leaves_the_old_file(path):
    save_file({"x": minicnn.ones(3)}, path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # the kernel cuts the write short
    try:
        with pytest.raises(DataError, match="cannot be written: File too large"):
            save_file({"x": minicnn.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_first_write_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError):
        save_file({"x": minicnn.ones(3)}, path)
    assert os.listdir(path.parent) == []


def test_the_file_is_on_the_disk_before_it_gets_its_name(path, monkeypatch):
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def step(*args, name=name, real=real):
            folders = {os.path.dirname(a) for a in args if isinstance(a, str)}
            steps.append((name, folders, os.listdir(path.parent)))
            return real(*args)

        monkeypatch.setattr(os, name, step)
    save_file({"x": minicnn.ones(3)}, path)
    assert [name for name, *_ in steps] == ["fsync", "replace"]
    assert steps[1][1] == {str(path.parent)}  # from the same folder, so that it is one step
    assert all(path.name not in there for *_, there in steps)
    assert os.listdir(path.parent) == [path.name]


def test_reading_goes_on_while_the_file_is_replaced(path):
    save_file({"x": minicnn.ones(3)}, path)
    with open(path, "rb") as reader:
        before = path.read_bytes()
        save_file({"x": minicnn.zeros(500)}, path)
        assert reader.read() == before
    assert load_file(path)["x"].shape == (500,)


def test_permissions(path):
    old = os.umask(0o027)
    try:
        save_file({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        save_file({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_a_link_is_written_through(path, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path.symlink_to(folder / "real")
    for n in (1, 2):
        save_file({"x": minicnn.ones(n)}, path)
        assert path.is_symlink()
        assert load_file(folder / "real")["x"].shape == (n,)
    assert os.listdir(folder) == ["real"]


def test_a_path_relative_to_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"x": minicnn.ones(2)}, "w" * 255)  # the longest name there can be
    assert load_file("w" * 255)["x"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "message"), [(".", "not a regular file"), ("none/x", "No such file or directory")]
)
def test_where_nothing_can_be_written(tmp_path, name, message):
    target = tmp_path / name
    with pytest.raises(DataError, match=f"^{target}: cannot be written: .*{message}$"):
        save_file({}, target)
    assert os.listdir(tmp_path) == []


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        save_file({}, tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_safetensors_is_imported_when_first_used():
    code = "import sys, minicnn, minicnn.serialization; sys.exit('safetensors' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- save and load: trees of dicts and lists ---------------------------------------------------


def round_trip(obj):
    file = io.BytesIO()
    minicnn.save(obj, file)
    file.seek(0)
    return minicnn.load(file)


def assert_same_tree(found, expected):
    """The same types and the same bits, all the way down, dicts in the same order."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert [(type(k), k) for k in found] == [(type(k), k) for k in expected]
        for key in expected:
            assert_same_tree(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same_tree(a, b)
    elif isinstance(expected, minicnn.Tensor):
        assert found.requires_grad == expected.requires_grad
        assert found.grad_fn is None
        assert_same_tree(found.array, expected.array)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    elif isinstance(expected, float):
        assert struct.pack("d", found) == struct.pack("d", expected)
    else:
        assert found == expected


x = minicnn.arange(6.0).reshape(2, 3)
TREES = {
    "a tensor": x,
    "0-dim": minicnn.tensor(2.5),
    "empty": minicnn.zeros(0, 3),
    "not contiguous": x.T[::2],
    "one that learns": minicnn.ones(2, requires_grad=True),
    "a result": minicnn.ones(2, requires_grad=True).detach().requires_grad_(),
    "parameters": [minicnn.nn.Parameter(x), minicnn.nn.Parameter(x, requires_grad=False)],
    "shared": {"a": x, "b": x, "c": [x[0], x]},
    "numbers": [0, -1, 2**127 + 1, -(2**200), True, False, None, 1e-310, -0.0, 0.1, 1e300],
    "not finite": [math.nan, math.inf, -math.inf],
    "text": ["", "ünï\n\0\"{}[]", "\ud800", "NaN"],
    "NumPy": [np.arange(6, dtype=np.int16).reshape(2, 3).T, np.float64(0.1), np.int32(3),
              np.bool_(True), np.array(7), np.zeros((0, 2))],
    "types": [minicnn.float32, minicnn.bool, minicnn.device("cuda:1")],
    "keys": {1: "int", "1": "text", 2.5: "float", None: "none", (1, ("a", None)): "tuple",
             False: "bool", -(2**70): "big"},
    "one name for two": {"a": {"b": x}, "a.b": x + 1, "a.b_": x + 2, 1: x + 3, "1": x + 4},
    "odd names": {"": x, "__metadata__": x + 1, "\ud800": x + 2, ".": {"": x + 3}},
    "sequences": [(), [], {}, OrderedDict(), (1,), [[]], ((), ([],))],
    "order": OrderedDict([("z", 1), ("a", OrderedDict(b=x)), ("m", {})]),
    "like a tree's own": {"Tensor": "a", "dict": [["k", "v"]], "tuple": {"tuple": ["array"]}},
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_as_it_was(name, path):
    assert_same_tree(round_trip(TREES[name]), TREES[name])
    minicnn.save({"deep": [TREES[name]]}, path)
    assert_same_tree(minicnn.load(str(path))["deep"][0], TREES[name])


def test_a_tensor_with_history_is_saved_as_a_leaf():
    w = minicnn.ones(2, requires_grad=True)
    loaded = round_trip({"loss": (w * 3).sum()})["loss"]
    assert loaded.item() == 6
    assert loaded.requires_grad
    assert loaded.is_leaf


def test_nested_up_to_the_limit():
    tree = deep = []
    for _ in range(DEPTH_LIMIT):
        deep.append([])
        deep = deep[0]
    assert round_trip(tree) == tree
    deep.append([])
    with pytest.raises(ArgumentError, match="nested more than 100 deep; does it contain itself"):
        minicnn.save(tree, io.BytesIO())
    deep.append(tree)
    with pytest.raises(ArgumentError, match="nested more than 100 deep"):
        minicnn.save(tree, io.BytesIO())


def test_a_state_dict_is_a_plain_safetensors_file(path):
    net = minicnn.nn.Sequential(minicnn.nn.Conv2d(2, 3, (4, 5)), minicnn.nn.BatchNorm2d(3))
    minicnn.save(net.state_dict(), path)
    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (4, 5)), torch.nn.BatchNorm2d(3))
    theirs.load_state_dict(safetensors.torch.load_file(path))
    for name, t in net.state_dict().items():
        assert np.array_equal(t.numpy(), theirs.state_dict()[name].numpy()), name
    safetensors.torch.save_file(theirs.state_dict(), path)
    again = minicnn.nn.Sequential(minicnn.nn.Conv2d(2, 3, (4, 5)), minicnn.nn.BatchNorm2d(3))
    again.load_state_dict(minicnn.load(path))  # a file without a tree
    assert_same_tree(again.state_dict(), net.state_dict())


@pytest.mark.parametrize("make", [
    lambda p: optim.Adam(p, lr=0.01), lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: optim.RMSprop(p, centered=True, momentum=0.5), lambda p: optim.Adadelta(p),
    lambda p: optim.Adagrad(p),
], ids=["Adam", "SGD", "RMSprop", "Adadelta", "Adagrad"])  # fmt: skip
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(path, make):
    def fresh():
        minicnn.manual_seed(3)
        net = minicnn.nn.Sequential(minicnn.nn.Linear(4, 8), minicnn.nn.Dropout(), *tail())
        optimizer = make(net.parameters())
        return net, optimizer, optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)

    def tail():
        return minicnn.nn.BatchNorm1d(8), minicnn.nn.Linear(8, 2)

    def steps(parts, n):
        net, optimizer, schedule = parts
        for _ in range(n):
            optimizer.zero_grad()
            (net(minicnn.randn(5, 4)) ** 2).mean().backward()
            optimizer.step()
            schedule.step()

    whole = fresh()
    steps(whole, 5)
    minicnn.save([*(p.state_dict() for p in whole), minicnn.get_rng_state()], path)
    steps(whole, 5)
    resumed = fresh()
    *states, rng = minicnn.load(path)
    for part, state in zip(resumed, states, strict=True):
        part.load_state_dict(state)
    minicnn.set_rng_state(rng)
    steps(resumed, 5)
    for a, b in zip(whole, resumed, strict=True):
        assert_same_tree(b.state_dict(), a.state_dict())


def test_a_deep_copy_of_a_state_dict_is_a_snapshot():
    net = minicnn.nn.Linear(3, 2)
    best = copy.deepcopy(net.state_dict())
    before = net.weight.detach().clone()
    minicnn.nn.init.zeros_(net.weight)
    assert best["weight"].equal(before)
    assert type(best) is type(net.state_dict())
    net.load_state_dict(best)
    assert net.weight.equal(before)


@pytest.mark.parametrize("where", ["cpu", minicnn.device("cpu"), None, lambda storage, _: storage])
def test_map_location(path, where):
    minicnn.save(x, path)
    assert minicnn.load(path, where).equal(x)
    assert minicnn.load(path, map_location=where, weights_only=False).device == "cpu"


def test_map_location_that_there_is_not(path):
    minicnn.save(x, path)
    with pytest.raises(ArgumentError, match="device 'tpu' is not one of"):
        minicnn.load(path, "tpu")


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (minicnn.nn.Linear(1, 1), r"a Linear at the top, .*; save its state_dict\(\)"),
        ({"net": [minicnn.nn.ReLU()]}, r"a ReLU under 'net.0', .*; save its state_dict\(\)"),
        ({"x": {1, 2}}, "a set under 'x', which cannot be saved; see help"),
        ({(1, b"a"): 1}, "a dict at the top"),
        (1j, "a complex at the top"),
        (defaultdict(int), "a defaultdict at the top"),
        (len, "a builtin_function_or_method at the top"),
    ],
)
def test_what_is_no_tree(path, obj, message):
    with pytest.raises(TypeError, match=f"save: found {message}"):
        minicnn.save(obj, path)
    assert os.listdir(path.parent) == []


def test_a_tree_that_is_too_long(path):
    with pytest.raises(ArgumentError, match=r"more than the 8388608 .* numbers into a tensor"):
        minicnn.save(list(range(1_500_000)), path)
    with pytest.raises(DtypeError, match="uint16 is not supported"):
        minicnn.save(np.zeros(2, np.uint16), path)
    assert os.listdir(path.parent) == []


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    minicnn.save({"epoch": 1}, path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        minicnn.save({"epoch": 2}, path)
    assert minicnn.load(path) == {"epoch": 1}
    assert os.listdir(path.parent) == [path.name]


# ---- load: files that are damaged or hostile ---------------------------------------------------


def tree_file(tree, tensors=(), body=b""):
    text = tree if isinstance(tree, str) else json.dumps(tree)
    return raw({"__metadata__": {"minicnn": text}, **dict(tensors)}, body)


X = {"x": entry()}
HOSTILE = {
    "not JSON": (tree_file("[1, 2"), "Expecting"),
    "deep lists": (tree_file("[" * 200_000), "a tree nested more than 100 deep"),
    "deep lists, closed": (tree_file("[" * 300 + "]" * 300), "nested more than 100 deep"),
    "deep tuples": (tree_file('{"tuple":[' * 300 + "]}" * 300), "nested more than 100 deep"),
    "deep keys": (tree_file('{"dict":[[' * 300 + "1,2" + "]]}" * 300), "more than 100 deep"),
    "a missing tensor": (tree_file({"Tensor": "y"}, X, BODY), "names 'y', missing or named before"),
    "a tensor twice": (tree_file([{"Tensor": "x"}] * 2, X, BODY), "names 'x', missing or named"),
    "an unknown type": (tree_file({"os.system": "x"}, X, BODY), "a tree with a 'os.system' of f"),
    "an unknown type without tensor": (tree_file({"eval": "1"}), "names '1', missing"),
    "two keys": (tree_file({"Tensor": "x", "array": "x"}, X, BODY), "with 2 keys in an object"),
    "the same key twice": (tree_file('{"tuple": [], "tuple": []}'), "with 2 keys in an object"),
    "an empty object": (tree_file({}), "with 0 keys in an object"),
    "a name that is none": (tree_file({"Tensor": 3}, X, BODY), "a tree with a 'Tensor' of 3"),
    "a dict with a key twice": (tree_file({"dict": [[1, 2], [1, 3]]}), "a dict that has a key twi"),
    "a dict of no pairs": (tree_file({"dict": [1, 2]}), "not made of pairs"),
    "a dict of triples": (tree_file({"dict": [[1, 2, 3]]}), "not made of pairs"),
    "a list for a key": (tree_file({"OrderedDict": [[[1], 2]]}), "not made of pairs"),
    "a dict for a key": (tree_file({"dict": [[{"dict": []}, 2]]}), "not made of pairs"),
    "an unknown dtype": (tree_file({"dtype": "O"}), "names 'O', missing"),
    "an unknown device": (tree_file({"device": "tpu"}), "device 'tpu' is not one of"),
    "integers that learn": (tree_file({"Tensor that requires grad": "x"},
                                      {"x": entry("I64", (1,))}, BODY), "of int64"),
    "a number without end": (tree_file("1" * 10_000), "10000 digits"),
    "a long header": (raw({"x": entry()}, BODY, 100_000_000), "a header of 100000000 bytes, more"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_trees_are_refused_in_one_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as found:
        minicnn.load(path)
    assert str(found.value).startswith(f"{path}: expected a sound safetensors file, found: ")
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400
    with pytest.raises(DataError, match=f"^BytesIO: .*{re.escape(message)}"):
        minicnn.load(io.BytesIO(content))


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_load_refuses_damaged_files(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{message}|is a pickle"):
        minicnn.load(path)


def test_load_of_no_file(tmp_path):
    with pytest.raises(DataError, match=r"none: expected a safetensors file, found nothing$"):
        minicnn.load(tmp_path / "none")
    with pytest.raises(DataError, match=r"expected a safetensors file, found no regular file$"):
        minicnn.load(tmp_path)


@pytest.mark.parametrize("new", [True, False])
def test_a_pytorch_checkpoint_is_refused_with_the_lines_that_convert_it(path, new, monkeypatch):
    monkeypatch.chdir(path.parent)
    weights = torch.nn.Linear(3, 2).state_dict()
    torch.save(weights, "best.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(DataError, match=r"^best.pth: is a pickle, as PyTorch's") as found:
        minicnn.load("best.pth")
    lines = str(found.value).splitlines()[1:]
    assert len(lines) == 3
    exec("\n".join(line.strip() for line in lines), {})
    converted = minicnn.load("best.safetensors")
    assert converted["weight"].tolist() == weights["weight"].tolist()


def test_a_safetensors_file_that_begins_like_a_pickle(path):
    for length in range(300):  # a header of 640 bytes begins 80 02, as protocol 2 does
        save_file({"x": minicnn.ones(2)}, path, {"pad": "a" * (300 + length)})
        if path.read_bytes()[:2] == b"\x80\x02":
            break
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert minicnn.load(path)["x"].tolist() == [1, 1]


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy(header, data=b""):
    text = repr(header).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def test_npz(path):
    path.write_bytes(npz(a=np.arange(6.0).reshape(2, 3).T, b=np.float32(2.5), c=np.zeros((0, 2))))
    found = minicnn.load(path)
    assert_same(found, {"a": np.arange(6.0).reshape(2, 3).T.copy(), "b": np.array(2.5, np.float32),
                        "c": np.zeros((0, 2))})  # fmt: skip
    found["a"].fill_(1)  # memory of its own


def f8(shape, length):
    """An .npz file of one array that claims a shape, and has so many bytes."""
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    return zipped("a.npy", npy(header, bytes(length)))


ZIPS = {
    "objects": (npz(a=np.array([{}], dtype=object)), "array of numbers, found object"),
    "text": (npz(a=np.array(["a"])), "array of numbers, found <U1"),
    "cut": (npz(a=np.arange(100))[:-40], "not a zip file"),
    "not .npy": (zipped("a.txt", b"hello"), "magic string"),
    "too few elements": (f8((3,), 16), "expected 24 bytes for shape (3,), found 16"),
    "half an element": (f8((1,), 7), "expected 8 bytes for shape (1,), found 7"),
    "a huge shape": (f8((2**60,), 8), "expected at most 2147483648 bytes, found"),
    "a program": (zipped("a.npy", npy("__import__('os')")), "found: "),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), ZIPS.values(), ids=ZIPS)
def test_damaged_npz_files_are_refused_in_one_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as found:
        minicnn.load(path)
    assert str(found.value).startswith(f"{path}: ")
    assert "\n" not in str(found.value)


def test_an_npz_bomb_is_not_unpacked(path, monkeypatch):
    monkeypatch.setattr(minicnn.serialization, "NPZ_LIMIT", 10**6)
    path.write_bytes(zipped("a.npy", bytes(10**6 + 1)))
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match="unpacks to 1000001 bytes, more than 1000000"):
        minicnn.load(path)


def test_mutated_files_are_refused_or_read(path):
    """Whatever bytes a file has: a DataError, or a tree; never another error."""
    rng = np.random.default_rng(0)
    minicnn.save({"w": x, "lr": [0.1, (1, None)], 3: {"n": np.float32(1)}}, path)
    for good in (path.read_bytes(), npz(a=np.arange(5.0), b=np.ones((2, 2), np.uint8))):
        for _ in range(300):
            bad = bytearray(good)
            for _ in range(rng.integers(1, 4)):
                bad[rng.integers(len(bad))] = rng.integers(256)
            bad = bad[: rng.integers(len(bad))] if rng.random() < 0.2 else bad
            with contextlib.suppress(DataError):
                minicnn.load(io.BytesIO(bytes(bad)))

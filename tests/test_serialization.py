"""Weights files: round trips, exchange with PyTorch's safetensors, damage, and failed writes."""

import errno
import json
import os
import resource
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

import minicnn
from minicnn.arrays import DTYPES
from minicnn.errors import ArgumentError, DataError, DtypeError
from minicnn.serialization import load_file, load_metadata, save_file


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

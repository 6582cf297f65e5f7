"""A tenth of programs/fuzz.py, what it must notice, and a small file for each bug it found."""

import io
import json
import math
import struct
import sys
import zipfile
import zlib

import fuzz
import numpy as np
import pytest
from files import memory_below
from fuzz_formats import (
    CONFIG,
    FORMATS,
    RECIPE,
    checkpoint,
    chunk,
    digits_run,
    read_checkpoint,
    read_npz_dataset,
    read_npz_weights,
    safetensors,
    saved,
    zeros,
)
from mutations import Sound
from PIL import Image
from planted import PLANTED

import minicnn
from minicnn import nn
from minicnn.datasets.cifar import parse_python
from minicnn.datasets.folder import decode
from minicnn.errors import DataError, StateDictError
from minicnn.serialization import load_file
from minicnn.training import Recipe, load_model, predict
from minicnn.training.preprocessing import read_image

linux = pytest.mark.skipif(sys.platform != "linux", reason="tests/programs/fuzz.py runs on Linux")


# ---- the fuzz test ---------------------------------------------------------------------------


@linux
def test_a_tenth_of_the_fuzz_test(capsys):
    rows = fuzz.fuzz(1000, seed=5, jobs=2)
    with capsys.disabled():
        print("\n" + "\n".join(fuzz.table(rows)))
    assert [row for row in rows if row["findings"]] == []
    assert [row["number"] for row in rows] == list(range(1000))
    for name in FORMATS:  # what is changed matters, but not always
        refused = [row["refused"] for row in rows if row["format"] == name]
        assert len(refused) >= 1000 // len(FORMATS)
        assert 2 <= sum(refused) < len(refused)


@linux
def test_a_file_can_be_made_again():
    rows = fuzz.fuzz(20, 5, first=7, jobs=1)
    changed = next(row for row in rows[10:] if row["done"])
    (again,) = fuzz.fuzz(1, 5, first=changed["number"])
    assert again["done"] == changed["done"]
    assert again["refused"] == changed["refused"]


EXPECTED = {
    "raises": "IndexError: list index out of range",
    "allocates": "MiB of memory",
    "fails_to_allocate": "memory ran out",
    "computes": "it hangs: more than 2 s of processor time",
    "segfaults": "the process ended with code -11",
    "warns": "RuntimeWarning: odd",
    "prints": "printed: odd",
    "names_nothing": "does not name the file: damaged",
    "two_lines": "not one printable line",
    "controls": "not one printable line",
    "talks": "the message has 2",
    "runs": "harmed was written",
    "refuses": "a sound file was refused",
}


@linux
def test_planted_defects_are_noticed():
    names = list(PLANTED)
    assert names == list(EXPECTED)
    rows = fuzz.fuzz(len(names), 0, names, jobs=1)
    assert [row["format"] for row in rows] == names
    for row in rows:
        assert len(row["findings"]) == 1
        assert EXPECTED[row["format"]] in row["findings"][0]


# ---- what it found ---------------------------------------------------------------------------


def refused(read, *args, message, kind=DataError):
    """The error is one printable line with this text."""
    with pytest.raises(kind, match=message) as found:
        read(*args)
    text = str(found.value)
    assert text.isprintable()
    assert len(text) < 1000


DOUBLING = b"K\x01" + b"q\x00h\x00\x86" * 60  # ((((1, 1), (1, 1)), ...), as text a terabyte
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(t" + b"R(K\x01%bcnumpy\ndtype\n(%btR\x89U\x01atb"
MEBIBYTE = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20
PICKLES = {
    "a name": (DOUBLING * 2 + b"\x93.", "a tuple where a str belongs"),
    "a shape": (ARRAY % (DOUBLING, b"U\x02u1"), "an array of shape a tuple in 1 bytes"),
    "a type": (ARRAY % (b"K\x01\x85", DOUBLING), "an array of a tuple, not"),
    "bytes again and again": (
        b"(c_codecs\nencode\nq\x00" + MEBIBYTE + b"q\x01X\x06\0\0\0latin1q\x02"
        + b"h\x00h\x01h\x02\x86R" * 3000 + b"t.", "more bytes than the pickle has",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), PICKLES.values(), ids=PICKLES)
def test_pickles_that_would_take_all_memory(content, message):
    if b"R(K" in content:
        content = b"}U\x04data" + content + b"s."
    refused(parse_python, "f", b"\x80\x02" + content, message=message)


def npz(folder, header, name="x_train.npy"):
    """An .npz file in which this is the header of every array."""
    text = header.encode()
    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        for name in ("x_train", "y_train", "y_test"):
            archive.writestr(f"{name}.npy", content)


@pytest.mark.parametrize("read", [read_npz_dataset, read_npz_weights])
@pytest.mark.parametrize("header", ["{'shape': (3, 'fort", "{'shape': (3L,)}"])
def test_array_headers_that_raise_or_warn(tmp_path, header, read):
    npz(tmp_path, header)
    refused(read, tmp_path, message=r"x\.npz: expected a sound \.npz file, found: ")


def test_floats_beyond_float32_are_refused_without_a_warning(tmp_path):
    arrays = {"x_train": np.full((1, 2, 2), 1e300), "x_test": np.ones((1, 2, 2))}
    np.savez(tmp_path / "x.npz", **arrays, y_train=np.zeros(1, int), y_test=np.zeros(1, int))
    refused(read_npz_dataset, tmp_path, message=r"expected floats in \[0, 1\], found 1e\+300 to 1e")


def test_weights_that_are_bombs(tmp_path):
    path = tmp_path / "x.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as f,
    ):
        f.write(
            b"\x93NUMPY\1\0\x3c\0{'descr': '|u1', 'fortran_order': False, 'shape': (209715200,)}"
        )
        for _ in range(200):
            f.write(bytes(2**20))
    refused(minicnn.load, path, message=r"x\.npz: expected at most 100 bytes out of each, found")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"")
    refused(minicnn.load, path, message=r"'a\.npy': expected deflate or no compression")


def test_a_long_name_in_an_npz_file_is_cut(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x" * 60_000, b"")
    content = (tmp_path / "x.npz").read_bytes()
    other = content.replace(b"x" * 9, b"y" * 9, 1)  # nine: a single x may be in the time of day
    (tmp_path / "x.npz").write_bytes(other)
    refused(minicnn.load, tmp_path / "x.npz", message="File name in directory 'x+")


@pytest.mark.parametrize("kind", ["\0\x1b[2J", "x" * 100_000])
def test_what_a_library_says_of_weights_becomes_a_short_line(tmp_path, kind):
    header = {"a": {"dtype": kind, "shape": [1], "data_offsets": [0, 4]}}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors(Sound(), header, bytes(4)))
    for read in (load_file, minicnn.load):
        refused(read, path, message="x.safetensors: expected a sound .* unknown variant")


def test_what_is_no_tensor_does_not_fit_a_model():
    model = nn.Linear(2, 3)
    state = {"weight": [1e308], "bias": "x", 3: None}
    with pytest.raises(StateDictError, match=r"keys: 3\n.*weight: the model has \(3, 2\), the sav"):
        model.load_state_dict(state)


# ---- pictures


def png(size, data, length=None):
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data, length) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


READERS = pytest.mark.parametrize("read", [decode, read_image])


@READERS
def test_small_files_with_many_pixels(tmp_path, read):
    path = tmp_path / "x.png"
    path.write_bytes(png((5000, 5000), b"\x78\x9c" + zeros(72) + bytes(4)))
    refused(read, path, message=r"x\.png: expected at most \d+ pixels in so small a file, found 50")


@READERS
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_webp_files_whose_size_lies(tmp_path, read, options):
    path = tmp_path / "x.webp"
    Image.new("RGB", (23, 31), "red").save(path, **options)
    content = bytearray(path.read_bytes())
    kind = content[12:16]
    if kind == b"VP8X":
        content[24:30] = (16_000 - 1).to_bytes(3, "little") * 2
    elif kind == b"VP8L":
        content[21:25] = (15_999 | 15_999 << 14).to_bytes(4, "little")
    else:
        content[26:30] = (16_000).to_bytes(2, "little") * 2
    path.write_bytes(content)
    refused(read, path, message=r"x\.webp: .* pixels in so small a file, found 16000 x 16000$")


@READERS
def test_a_chunk_whose_length_lies_costs_no_memory(tmp_path, read):
    path = tmp_path / "x.png"
    path.write_bytes(png((20, 20), zlib.compress(bytes(20 * 61)), 2**31 - 1))
    with memory_below(16):
        read(path)


def test_a_sheet_without_ink_is_named(tmp_path):
    run = digits_run(str(tmp_path))
    Image.new("L", (30, 30), 200).save(tmp_path / "blank.png")
    refused(predict, run, [tmp_path / "blank.png"], message=r"blank\.png: no ink found")


def test_a_border_half_dark_half_light(tmp_path):
    grey = np.zeros((30, 30), np.uint8)
    grey[:, 15:] = 255
    Image.fromarray(grey).save(tmp_path / "half.png")
    run = digits_run(str(tmp_path))
    assert predict(run, [tmp_path / "half.png"]).shape == (1, 10)  # without a warning


# ---- runs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [""] * 250_000}, "other types"),
        ({"classes": ["\x1b[2J"] * 10}, "other types"),
        ({"classes": []}, "other types"),
        ({"recipe": RECIPE | {"model": "leenet"}}, "model 'leenet' is not one of"),
        ({"recipe": RECIPE | {"data": ["x" * 100_000]}}, "recipe: data="),
        ({"recipe": RECIPE | {"\x1b[2J" * 1000: 1}}, "recipe: .x1b"),
        ({"recipe": RECIPE | {"epochs": "x" * 100_000}}, "recipe: epochs='x+"),
    ],
)
def test_configurations(tmp_path, change, message):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    refused(load_model, tmp_path, message=rf"config\.json: .*{message}")


def at(tree, path):
    for key in path[:-1]:
        tree = tree[key]
    return tree


TREES = {
    "a weight is text": (("model", "0.bias"), "x", r"model \(Small\).0.bias: expected float32"),
    "a best weight is a number": (("best_state", "0.bias"), -math.inf, "best_state.0.bias"),
    "no best weights": (("best_state",), {}, "best_state"),
    "a moment is a number": (("optimizer", "state", 1, "exp_avg_sq"), 0, "exp_avg_sq: expected f"),
    "a step is NaN": (("optimizer", "state", 1, "step"), minicnn.tensor(math.nan), "a count"),
    "a step is below 0": (("optimizer", "state", 1, "step"), minicnn.tensor(-1.0), "a count"),
    "a parameter too many": (("optimizer", "state", 99), {}, "numbers of parameters, found 99"),
    "a rate is text": (("optimizer", "param_groups", 0, "lr"), "x", "lr: expected a finite number"),
    "a rate below 0": (("optimizer", "param_groups", 0, "lr"), -1.0, "lr must be a number"),
    "a beta of 1": (("optimizer", "param_groups", 0, "betas"), (1.0, 0.9), "betas"),
    "another schedule": (("schedule", "total_steps"), 0, "schedule.total_steps: expected 6, found"),
    "another step of it": (("schedule", "last_epoch"), 5, "schedule.last_epoch: expected 4"),
    "the generator": (("generator", "numpy", "state", "inc"), None, "generator.numpy.state.inc"),
    "its offset": (("generator", "offset"), -1, "generator.offset: expected a number at least 0"),
    "the seed": (("seed",), "x", "seed: expected a number at least 0, found 'x'"),
    "an epoch far away": (("position", 0), -(10**9), "position"),
    "a batch far away": (("position", 1), 10**9, "position"),
    "sizes": (("sizes",), None, "saved was a training of unknown size, this one has 2 epochs of 3"),
    "a count": (("tally", "count"), 10**9, "tally: expected figures, right <= count"),
    "a tally": (("val_tally",), [], "val_tally"),
    "a tally's rate": (("tally", "learning_rate"), "x", "tally: expected figures, right <= count"),
    "the recipe": (("recipe", "seed"), 3, "its recipe is another"),
    "a loss below 0": (("tally", "loss_sum"), -1.0, "tally: expected figures, right <= count"),
    "the history": (("history", 0), {"epoch": 1}, "history and best: expected figures of epoch, "),
    "a best row": (("best",), 3, "history and best: expected figures of epoch, "),
    "something more": (("x",), 3, "state: expected "),
}  # fmt: skip


def run_with(folder, content, number=0):
    config = CONFIG | {"recipe": RECIPE | {"seed": number}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "checkpoint.safetensors").write_bytes(content)


@pytest.mark.parametrize(("path", "value", "message"), TREES.values(), ids=TREES)
def test_checkpoints_with_something_else(tmp_path, path, value, message):
    state = minicnn.load(io.BytesIO(checkpoint(0)))
    at(state, path)[path[-1]] = value
    run_with(tmp_path, saved(state))
    refused(read_checkpoint, tmp_path, message=rf"checkpoint\.safetensors: expected .*{message}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".lock", "checkpoint.safetensors", "config.json",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(4))
def test_sound_checkpoints_are_read(tmp_path, number):
    state = minicnn.load(io.BytesIO(checkpoint(number)))
    state["history"][0]["val_loss_all"] = math.inf  # which stops no training
    run_with(tmp_path, saved(state), number)
    read_checkpoint(tmp_path)
    assert (tmp_path / "history.csv").exists()


def test_a_recipe_as_long_as_it_likes():
    refused(Recipe.from_dict, {"epochs": "x" * 10**6}, message="recipe: epochs='x+ is not one of")

"""CIFAR10, ImageFolder, npz files and load(), on sound, damaged and hostile files."""

import io
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from files import (
    cifar_archive,
    cifar_arrays,
    cifar_contents,
    cifar_folder,
    memory_below,
    pickle2,
    pickle3,
    tar,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import minicnn
from minicnn import datasets, transforms
from minicnn.data import DataLoader
from minicnn.datasets import CIFAR10, ImageFolder, NpzDataset
from minicnn.datasets.cifar import parse_binary, parse_python
from minicnn.errors import ArgumentError, DataError, ShapeError

# ---- CIFAR10 -----------------------------------------------------------------------------------

LAYOUTS = ["cifar-10-batches-py", "cifar-10-batches-bin"]


def check_cifar(root):
    """A small CIFAR10 in root is what was written."""
    for train in (True, False):
        written = [cifar_arrays(k) for k in (range(1, 6) if train else [0])]
        dataset = CIFAR10(root, train)
        expected = np.concatenate([images for images, _ in written])
        assert dataset.data.shape == (len(expected), 32, 32, 3)
        assert dataset.data.dtype == np.uint8
        np.testing.assert_array_equal(dataset.data, np.moveaxis(expected, 1, 3))
        assert dataset.targets == [k for _, labels in written for k in labels]
        assert len(dataset) == len(expected)
        image, label = dataset[1]
        np.testing.assert_array_equal(np.asarray(image), np.moveaxis(expected[1], 0, 2))
        assert (label, type(label)) == (dataset.targets[1], int)
        ((images, labels),) = DataLoader(dataset, 100)
        assert images.is_contiguous()
        np.testing.assert_array_equal(images.numpy(), np.float32(expected) / np.float32(255))
        assert labels.tolist() == dataset.targets
    assert dataset.images_shape == (3, 32, 32)
    assert dataset.classes[1] == "automobile"
    assert repr(dataset).endswith("Split: Test")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cifar_layouts(tmp_path, layout):
    cifar_folder(tmp_path / "folder", layout)
    check_cifar(tmp_path / "folder")
    cifar_archive(tmp_path / "archive", layout)
    check_cifar(tmp_path / "archive")
    assert len(list((tmp_path / "archive").iterdir())) == 1  # nothing is unpacked beside it


def test_a_foreign_transform_gets_a_colour_image(tmp_path):
    cifar_folder(tmp_path, LAYOUTS[1])
    for transform in (None, lambda image: image):
        dataset = CIFAR10(tmp_path, train=False, transform=transform)
        image, _ = dataset[2]
        assert (image.mode, image.size) == ("RGB", (32, 32))
        np.testing.assert_array_equal(np.asarray(image), dataset.data[2])


def test_cifar_is_nowhere(tmp_path):
    with pytest.raises(DataError) as found:
        CIFAR10(tmp_path)
    assert str(found.value) == (
        "CIFAR10: cifar-10-python.tar.gz (or cifar-10-binary.tar.gz, or what is in them, "
        f"cifar-10-batches-py or cifar-10-batches-bin) is missing; put it into {tmp_path}, or pass "
        "download=True"
    )
    (cifar_folder(tmp_path, LAYOUTS[0]) / "data_batch_4").unlink()
    with pytest.raises(
        DataError, match=r"data_batch_4: expected a file of CIFAR-10, found: No such"
    ):
        CIFAR10(tmp_path)


IMAGES, LABELS = cifar_arrays(1, 2)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_batches_pickled_by_python_3(protocol):
    if protocol == 5:  # NumPy gives its bytes away as a buffer there
        with pytest.raises(DataError, match="expected a pickle of plain data"):
            parse_python("f", pickle3(IMAGES, LABELS, protocol))
        return
    images, labels = parse_python("f", pickle3(IMAGES, LABELS, protocol))
    np.testing.assert_array_equal(images, IMAGES)
    assert labels.tolist() == LABELS


class Calls:
    """Pickles as a call of function(*args)."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def batch(**changes):
    return pickle.dumps({"labels": LABELS, "data": IMAGES.reshape(2, -1)} | changes, 2)


GOOD = pickle2(IMAGES, LABELS)
BAD = {
    "empty": (b"", "pickle exhausted before seeing STOP"),
    "text": (b"<html>", "opcode"),
    "cut": (GOOD[:-50], "expected .* bytes in a string|exhausted"),
    "cut in the pixels": (GOOD[:3000], "expected 6144 bytes in a string4, but only"),
    "a call": (pickle.dumps(Calls(eval, "1/0"), 2), "a call of '.* eval'"),
    "a call of the system's": (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "a call of 'os system'"),
    "a call inside": (batch(filenames=[Calls(print, "no")]), "a call of '.* print'"),
    "an old call": (b"(S'ls'\nios\nsystem\n.", "the opcode STRING|the opcode INST"),
    "an object": (pickle.dumps(Calls(np.random.default_rng), 2), "a call of"),
    "an odd escape": (b"\x80\x02S'\\%'\n.", "the opcode STRING"),
    "a class": (b"\x80\x02cos\nsystem\n)\x81.", "the opcode NEWOBJ"),
    "a name alone": (b"\x80\x02cos\nsystem\n.", "expected a dict with data and labels"),
    "a list": (pickle.dumps([1, 2], 2), "expected a dict with data and labels"),
    "no data": (pickle.dumps({"labels": [1]}, 2), "expected a dict with data and labels"),
    "data is text": (batch(data="x"), "expected data of N x 3072 bytes, found str"),
    "data is flat": (batch(data=IMAGES.ravel()), r"N x 3072 bytes, found shape \(6144,\)"),
    "data is narrow": (batch(data=IMAGES.reshape(3, -1)), r"found shape \(3, 2048\)"),
    "data is floating": (batch(data=IMAGES / 1.0), "an array of 'f8', not a C-ordered one of u1"),
    "data is objects": (batch(data=np.array([[None]])), "a list where a bytes belongs|an array of"),
    "data is Fortran's": (batch(data=np.asfortranarray(IMAGES.reshape(2, -1))), "an array of 'u1'"),
    "data is empty": (pickle2(IMAGES[:0], []), "expected 1 to 10000 images, found 0"),
    "labels are an array": (batch(labels=np.array(LABELS)), "an array of"),
    "labels are text": (batch(labels="ab"), "labels as a list of ints"),
    "labels are texts": (batch(labels=["a", "b"]), "labels as a list of ints"),
    "labels are floats": (batch(labels=[1.0, 2.0]), "the opcode BINFLOAT"),
    "too few labels": (batch(labels=[1]), "expected 2 labels, .*found 1"),
    "a label of 10": (batch(labels=[1, 10]), "expected labels 0 to 9, found others"),
    "a label below 0": (batch(labels=[-1, 0]), "expected labels 0 to 9, found others"),
    "a huge label": (batch(labels=[1, 2**99]), "expected labels 0 to 9, found others"),
    "a key that is no text": (batch(data={1: 2}), "a int where a str belongs"),
    "a shape that lies": (
        GOOD.replace(b"K\x02M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86"),
        r"an array of shape \(2147483647, 3072\) in 6144 bytes",
    ),
    "a shape below 0": (
        GOOD.replace(b"K\x02M\x00\x0c\x86", b"J\xff\xff\xff\xffM\x00\x0c\x86"),
        r"an array of shape \(-1, 3072\)",
    ),
    "a length that lies": (
        GOOD.replace(b"T" + struct.pack("<I", 6144), b"T\xff\xff\xff\x7f"),
        "expected 2147483647 bytes in a string4, but only",
    ),
    "a length below 0": (GOOD.replace(b"T" + struct.pack("<I", 6144), b"T" + b"\xff" * 4), "-1"),
    "a buffer that lies": (b"\x80\x05\x96" + b"\xff" * 7 + b"\0.", "bytearray8|exceeds"),
    "a frame that lies": (b"\x80\x04\x95" + b"\xff" * 8 + b"}.", "dict with data"),
    "opcodes without end": (b"\x80\x02" + b"]" * 200_001 + b".", "more than 200000 opcodes"),
    "a memo unset": (b"\x80\x02h\x07.", "found: 7"),
    "an empty stack": (b"\x80\x02.", "not enough values"),
    "nothing to reduce": (b"\x80\x02R.", "too few values"),
    "no mark": (b"\x80\x02]e.", "no mark"),
    "a list of itself": (b"\x80\x02]q\x00h\x00a.", "dict with data"),
    "a persistent object": (b"\x80\x02Pid\n.", "the opcode PERSID"),
    "an extension": (b"\x80\x02\x82\x01.", "the opcode EXT1"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_hostile_pickles(content, message, monkeypatch):
    for module in ("pickle", "_pickle"):  # none of its loaders may be used
        monkeypatch.setattr(f"{module}.Unpickler", None)
        monkeypatch.setattr(f"{module}.loads", None)
    with pytest.raises(DataError, match=message) as found, memory_below(16):
        parse_python("batch", content)
    assert str(found.value).startswith("batch: expected ")
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 300


fuzzed = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
)


def edited(content, changes, cut):
    """The bytes with some replaced, and the end cut off."""
    content = bytearray(content)
    for place, value in changes:
        content[int(place * len(content))] = value
    return bytes(content[: int(cut * len(content))])


PIXELS = GOOD.index(IMAGES.tobytes())
SKELETON = GOOD[:PIXELS], GOOD[PIXELS + IMAGES.size :]


@given(edits, st.floats(0.5, 1))
@fuzzed
def test_mutated_pickles(changes, cut):
    """Changes fall into the opcodes, not the pixels, where they would change nothing."""
    head = edited(SKELETON[0] + SKELETON[1], changes, cut)
    content = head[: len(SKELETON[0])] + IMAGES.tobytes() + head[len(SKELETON[0]) :]
    try:
        parse_python("batch", content)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_binary_files_that_are_none(tmp_path):
    good = cifar_contents(LAYOUTS[1])["test_batch.bin"]
    for content, message in (
        (b"", "expected 1 to 10000 records of 3073 bytes, found 0 bytes"),
        (good[:-1], "records of 3073 bytes, found 9218 bytes"),
        (good + b"\0", "found 9220 bytes"),
        (b"\x0a" + good[1:], "expected labels 0 to 9, found 10"),
        (bytes(3073) * 10_001, "found 30733073 bytes"),
    ):
        with pytest.raises(DataError, match=f"^f: .*{message}$"):
            parse_binary("f", content)
    (cifar_folder(tmp_path, LAYOUTS[1]) / "test_batch.bin").write_bytes(bytes(64_000_001))
    with pytest.raises(DataError, match=r"test_batch.bin: expected at most 64000000 bytes"):
        CIFAR10(tmp_path, train=False)


def test_archives_write_nothing_and_follow_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(cifar_contents(LAYOUTS[1])["test_batch.bin"])
    link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, str(secret)
    hard = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    hard.type, hard.linkname = tarfile.LNKTYPE, "other"
    fifo = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    fifo.type = tarfile.FIFOTYPE
    evil = ("../../evil", b"x"), ("/tmp/evil-minicnn", b"x")
    path = tmp_path / "root" / "cifar-10-binary.tar.gz"
    for member in (link, hard, fifo):
        tar(path, [*evil, ("other", secret.read_bytes()), member])
        with pytest.raises(
            DataError, match=r"the member cifar-10-batches-bin/test_batch.bin, found"
        ):
            CIFAR10(tmp_path / "root", train=False)
    tar(path, [*evil, ("./cifar-10-batches-bin/test_batch.bin", secret.read_bytes())])
    assert len(CIFAR10(tmp_path / "root", train=False)) == 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "cifar-10-binary.tar.gz",
        "root",
        "secret",
    ]


def test_damaged_archives(tmp_path):
    path = cifar_archive(tmp_path, LAYOUTS[1])
    good = path.read_bytes()
    for content, message in (
        (good[: len(good) // 2], "expected a sound .tar.gz archive, found: Compressed file ended"),
        (b"<html>", "Not a gzipped file"),
        (b"", "the member|empty"),
        (good[:40] + b"\0" * 8 + good[48:], "expected"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as found:
            CIFAR10(tmp_path)
        assert str(found.value).startswith(str(path))
        assert "\n" not in str(found.value)


def test_archive_bombs(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-binary.tar.gz"
    monkeypatch.setattr("minicnn.datasets.cifar.MAX_ARCHIVE", 40_000_000)
    tar(path, [("padding", bytes(60_000_000))])
    message = "at most 40000000 bytes unpacked, found more"
    with pytest.raises(DataError, match=message), memory_below(16):
        CIFAR10(tmp_path)
    tar(path, [("cifar-10-batches-bin/test_batch.bin", bytes(50_000_000))])
    with pytest.raises(DataError, match="at most 40000000 bytes"), memory_below(90):
        CIFAR10(tmp_path, train=False)
    lying = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    lying.size = 2**40
    content = lying.tobuf() + bytes(1000)
    path.write_bytes(zlib.compress(content, wbits=31))
    with pytest.raises(DataError, match="expected"), memory_below(16):
        CIFAR10(tmp_path, train=False)
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**34
    path.write_bytes(zlib.compress(name.tobuf() + bytes(1000), wbits=31))
    with pytest.raises(DataError, match="expected"), memory_below(16):
        CIFAR10(tmp_path, train=False)


# ---- ImageFolder -------------------------------------------------------------------------------


def picture(path, size=(7, 5), mode="RGB", seed=0):
    """Writes a random image; returns it as PIL has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
    image = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
    image.save(path)
    return image


@pytest.fixture
def pictures(tmp_path):
    """Three classes; cats lie in subfolders too; a file that is no image."""
    names = "cat/b.png cat/a.PNG cat/more/c.bmp dog/x.ppm ant/z.tiff".split()
    found = {name: picture(tmp_path / name, seed=k) for k, name in enumerate(names)}
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "file.png").write_text("beside the classes")
    return tmp_path, found


def test_image_folder(pictures):
    root, found = pictures
    dataset = ImageFolder(root)
    assert dataset.classes == ["ant", "cat", "dog"]
    assert dataset.class_to_idx == {"ant": 0, "cat": 1, "dog": 2}
    order = ["ant/z.tiff", "cat/a.PNG", "cat/b.png", "cat/more/c.bmp", "dog/x.ppm"]
    assert dataset.samples == dataset.imgs
    assert dataset.samples == [
        (str(root / n), k) for n, k in zip(order, [0, 1, 1, 1, 2], strict=True)
    ]
    assert dataset.targets == [0, 1, 1, 1, 2]
    assert dataset.images_shape is None
    assert (
        repr(dataset)
        == f"Dataset ImageFolder\n    Number of datapoints: 5\n    Root location: {root}"
    )
    expected = np.stack([np.moveaxis(np.asarray(found[n]), 2, 0) for n in order])
    image, label = dataset[3]
    assert isinstance(image, Image.Image)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.moveaxis(expected[3], 0, 2))
    assert label == 1
    ((images, labels),) = DataLoader(dataset, 5)
    np.testing.assert_array_equal(images.numpy(), np.float32(expected) / np.float32(255))
    assert labels.tolist() == dataset.targets


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "LA", "CMYK", "I;16"])
def test_images_of_any_mode_become_rgb(tmp_path, mode):
    image = picture(tmp_path / "a" / "x.png").convert("L" if mode == "I;16" else mode)
    path = tmp_path / "a" / f"x.{'tiff' if mode == 'CMYK' else 'png'}"
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    image.save(path)
    sample, _ = ImageFolder(tmp_path)[-1]
    assert (sample.mode, sample.size) == ("RGB", (7, 5))
    np.testing.assert_array_equal(np.asarray(sample), np.asarray(image.convert("RGB")))


def test_images_of_different_sizes(tmp_path):
    a, b = picture(tmp_path / "a" / "x.png"), picture(tmp_path / "a" / "y.png", (9, 11))
    small, large = str(tmp_path / "a" / "x.png"), str(tmp_path / "a" / "y.png")
    dataset = ImageFolder(tmp_path)
    assert dataset[1][0].size == (9, 11)
    for transform in (None, transforms.Compose([transforms.Resize(4), transforms.ToTensor()]),
                      transforms.ToTensor().__call__):  # fmt: skip
        dataset.transform = transform
        with pytest.raises(ShapeError) as found:
            list(DataLoader(dataset, 2))
        assert str(found.value).startswith("ImageFolder: images of one batch must have one size, ")
        assert f"but {small} has (3, " in str(found.value)
        assert f"and {large} has (3, " in str(found.value)
        assert "add transforms.Resize((h, w))" in str(found.value)
    chain = transforms.Compose([transforms.Resize((4, 6)), transforms.ToTensor()])
    dataset.transform = chain
    ((images, _),) = DataLoader(dataset, 2)
    np.testing.assert_array_equal(images.numpy(), [chain(a).numpy(), chain(b).numpy()])
    dataset.transform = chain.__call__  # a foreign function
    ((same, _),) = DataLoader(dataset, 2)
    np.testing.assert_array_equal(same.numpy(), images.numpy())
    for transform in (transforms.Resize((4, 6)), transforms.Resize((4, 6)).__call__):
        dataset.transform = transform  # PIL images: their batch is as if ToTensor had followed
        ((same, _),) = DataLoader(dataset, 2)
        np.testing.assert_array_equal(same.numpy(), images.numpy())


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: expected a folder, found: No such file"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected a folder for each class in it, found none$"):
        ImageFolder(tmp_path)
    picture(tmp_path / "cat" / "a.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(
        DataError, match=r"dog: expected images \(.jpg, .*\) of the class, found none$"
    ):
        ImageFolder(tmp_path)


def png(width, height, pixels=b""):
    """A PNG whose header may promise more than there is."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(pixels)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


JPEG = io.BytesIO()
Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(JPEG, "JPEG")
DAMAGED = {
    "empty": (b"", r"expected an image \(JPEG, PNG, .*\), found none of these"),
    "text": (b"<svg/>", r"expected an image \(JPEG, PNG, .*\), found none of these"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        r"expected an image \(JPEG, PNG, .*\), found none of these",
    ),
    "cut": (JPEG.getvalue()[:300], "truncated|broken|found"),
    "no pixels": (png(5, 5), "expected a sound image, found damage: "),
    "too large": (png(9000, 9000), "expected at most 67108864 pixels, found 9000 x 9000"),
    "a bomb": (png(2**31 - 1, 2**31 - 1), "expected"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_images(tmp_path, content, message):
    path = tmp_path / "a" / "x.png"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as found, memory_below(32):
        ImageFolder(tmp_path)[0]
    assert str(found.value).startswith(f"{path}: expected ")
    assert "\n" not in str(found.value)


def test_decoding_warns_of_nothing_and_leaves_the_filters(tmp_path):
    picture(tmp_path / "a" / "x.png")
    before = list(warnings.filters)
    ImageFolder(tmp_path)[0]
    assert warnings.filters == before


# ---- npz ---------------------------------------------------------------------------------------


def arrays(shape=(4, 5, 6), dtype=np.uint8, **changes):
    """What a small .npz file holds; the test set has 3 images."""
    x = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    x = x / x.dtype.type(255) if x.dtype.kind == "f" else x
    y = np.array([2, 0, 1, 1], np.uint8)
    made = {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}
    return made | changes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1), (4, 5, 6, 3)])
def test_npz(tmp_path, shape, dtype, save):
    made = arrays(shape, dtype)
    made["x_train"] = np.asfortranarray(made["x_train"])
    made["y_train"] = made["y_train"].astype(np.int32)[:, None]  # as Keras' CIFAR-10 has it
    save(tmp_path / "set.npz", **made)
    channels = shape[3] if len(shape) == 4 else 1
    for train in (True, False):
        dataset = NpzDataset(tmp_path / "set.npz", train)
        x = made["x_train"] if train else made["x_test"]
        expected = x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
        expected = np.moveaxis(expected.reshape(*x.shape[:3], channels), 3, 1)
        ((images, labels),) = DataLoader(dataset, 9)
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images.numpy(), expected)
        single = dataset[1][0]
        if x.dtype == np.uint8:
            assert single.mode == ("RGB" if channels == 3 else "L")
            np.testing.assert_array_equal(np.asarray(single), x[1].reshape(np.shape(single)))
        else:
            assert isinstance(single, minicnn.Tensor)
            np.testing.assert_array_equal(single.numpy(), expected[1])
        assert labels.tolist() == [2, 0, 1, 1][: len(x)]
        assert dataset.images_shape == (channels, 5, 6)
        assert dataset.classes == ["0", "1", "2"]
    assert repr(dataset).startswith("Dataset NpzDataset\n    Number of datapoints: 3\n")


def test_npz_with_transforms(tmp_path):
    np.savez(tmp_path / "set.npz", **arrays())
    chain = transforms.Compose([transforms.Resize((9, 8)), transforms.ToTensor()])
    dataset = NpzDataset(tmp_path / "set.npz", transform=chain, target_transform=lambda k: k + 5)
    image, label = dataset[0]
    assert image.shape == (1, 9, 8)
    assert label == 7
    ((images, labels),) = DataLoader(dataset, 4)
    np.testing.assert_array_equal(images[0].numpy(), image.numpy())
    assert labels.tolist() == [7, 5, 6, 6]


OBJECTS = np.array([None, {}, 1, 2], object)
BAD_ARRAYS = {
    "missing": ({"y_test": None}, "set.npz: expected an array y_test, found none"),
    "objects": ({"x_train": OBJECTS}, "x_train: expected an array of numbers, found object"),
    "texts": (
        {"y_train": np.array(list("abcd"))},
        "y_train: expected an array of numbers, found <U1",
    ),
    "flat": ({"x_train": np.zeros((4, 9), np.uint8)}, r"images \(N, H, W\), .*found \(4, 9\)"),
    "five channels": ({"x_train": np.zeros((4, 2, 2, 5), np.uint8)}, r"found \(4, 2, 2, 5\)"),
    "no images": ({"x_train": np.zeros((0, 2, 2), np.uint8)}, r"found \(0, 2, 2\)"),
    "no pixels": ({"x_train": np.zeros((4, 0, 2), np.uint8)}, r"found \(4, 0, 2\)"),
    "integers": ({"x_train": np.zeros((4, 2, 2), np.int64)}, "uint8, or floats .*, found int64"),
    "0 to 255": ({"x_train": np.full((4, 2, 2), 255.0)}, "found 255 to 255; divide by 255"),
    "below 0": ({"x_train": np.full((4, 2, 2), -0.5)}, "found -0.5 to -0.5"),
    "NaN": ({"x_train": np.full((4, 2, 2), np.nan)}, "found nan to nan"),
    "floating labels": ({"y_train": np.zeros(4)}, r"integers \(N,\) .*, found float64 \(4,\)"),
    "one-hot labels": ({"y_train": np.eye(4, dtype=int)}, r"found int64 \(4, 4\)"),
    "labels below 0": ({"y_train": np.array([0, -1, 0, 0])}, "labels 0 to 65535, found -1"),
    "labels far out": (
        {"y_test": np.array([2**40, 0, 0])},
        "y_test: .*to 65535, found 1099511627776",
    ),
    "labels beyond int64": ({"y_test": np.array([2**64 - 1], np.uint64)}, "to 65535, found 1844"),
    "too few labels": (
        {"y_train": np.zeros(3, int)},
        "y_train: expected 4 labels, .*x_train, found 3",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_npz_files_with_something_else(tmp_path, changes, message):
    made = {k: v for k, v in arrays(**changes).items() if v is not None}
    np.savez(tmp_path / "set.npz", **made)
    with pytest.raises(DataError, match=message) as found:
        NpzDataset(tmp_path / "set.npz")
    assert str(found.value).startswith(f"{tmp_path / 'set.npz'}: ")
    assert "\n" not in str(found.value)


def npy(shape, data=b"", version=(1, 0), descr="|u1"):
    """The bytes of an .npy file whose header may lie."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + data


LIES = {
    "cut short": (
        npy((9, 2, 2), bytes(35)),
        r"expected 36 bytes for shape .*, found 35 \(cut short\)",
    ),
    "more": (npy((9, 2, 2), bytes(37)), "expected 36 bytes .*, found more"),
    "64 MiB": (npy((2**16, 2**5, 2**5)), r"expected 67108864 bytes .*found 0 \(cut short\)"),
    "256 MiB": (npy((2**18, 2**5, 2**5)), "at most 100 bytes out of each, .*claim to be 268435456"),
    "huge": (npy((2**40, 2**40, 4)), "expected at most 2147483648 bytes"),
    "nothing of something huge": (npy((0, 2**40, 4)), "expected at most 2147483648 bytes"),
    "below 0": (npy((-4, 2, 2)), "expected"),
    "version 9": (npy((1, 1, 1), version=(9, 0)), "expected .npy version 1 or 2, found 9"),
    "no npy": (b"rubbish" * 9, "expected a sound .npz file, found: the magic string"),
    "nothing": (b"", "expected a sound .npz file"),
    "a long header": (npy((1, 1, 1), descr="|u1" + " " * 20_000), "expected a sound .npz file"),
    "a call": (npy("__import__('os')"), "expected a sound .npz file"),
}


@pytest.mark.parametrize("pack", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(("content", "message"), LIES.values(), ids=LIES)
def test_npz_headers_that_lie(tmp_path, content, message, pack):
    np.savez(tmp_path / "set.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "set.npz") as old:
        others = {n: old.read(n) for n in old.namelist() if n != "x_train.npy"}
    with zipfile.ZipFile(tmp_path / "set.npz", "w", pack) as file:
        for name, data in (others | {"x_train.npy": content}).items():
            file.writestr(name, data)
    with pytest.raises(DataError, match=message) as found, memory_below(8):
        NpzDataset(tmp_path / "set.npz")
    assert "\n" not in str(found.value)


def test_npz_bombs(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays(x_train=np.zeros(1)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("y_train", "y_test", "x_train"):
            with file.open(f"{name}.npy", "w") as member:
                member.write(npy((2**18, 2**5, 2**5)) if name == "x_train" else npy((3,), b"abc"))
                for _ in range(256 if name == "x_train" else 0):
                    member.write(bytes(2**20))
    message = "x_train: expected at most 100 bytes out of each"
    with pytest.raises(DataError, match=message), memory_below(8):
        NpzDataset(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        for name in ("y_train", "y_test", "x_train"):
            file.writestr(f"{name}.npy", npy((3,), b"abc"))
    with pytest.raises(DataError, match="expected deflate or no compression"):
        NpzDataset(path)


def test_damaged_npz_files(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **arrays())
    good = path.read_bytes()
    middle = good.index(b"x_train") + 60
    for content, message in (
        (b"", "File is not a zip file"),
        (good[:-30], "File is not a zip file"),
        (good[:middle] + bytes(9) + good[middle + 9 :], "Bad CRC|invalid|Error"),
    ):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=f"{path}: expected a sound .npz file, found: .*{message}"
        ):
            NpzDataset(path)
    with pytest.raises(DataError, match="found: No such file or directory"):
        NpzDataset(tmp_path / "nothing.npz")
    with pytest.raises(DataError, match="found: Is a directory"):
        NpzDataset(tmp_path)


@given(edits, st.floats(0.9, 1))
@fuzzed
def test_mutated_npz_files(tmp_path, changes, cut):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **arrays((4, 2, 2)))
    path.write_bytes(edited(path.read_bytes(), changes, cut))
    try:
        NpzDataset(path)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017


# ---- load --------------------------------------------------------------------------------------


def test_load_mnist_by_name():
    train, test = datasets.load("mnist")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.images_shape == test.images_shape == (1, 28, 28)


def test_the_registry_tells_the_truth():
    assert list(datasets.DATASETS) == ["mnist", "fashion-mnist", "cifar10"]
    train, test = datasets.load("mnist")
    record = datasets.DATASETS["mnist"]
    assert (record.train, record.test) == (len(train), len(test))
    assert record.shape == train.images_shape
    for record in datasets.DATASETS.values():
        assert record.classes == record.kind.classes
        assert len(record.classes) == 10


def test_load_looks_into_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="is missing; put it into data, or pass download=True"):
        datasets.load("cifar10")
    cifar_folder(tmp_path / "data", LAYOUTS[1])
    cifar_folder(tmp_path / "else", LAYOUTS[0])
    assert [len(d) for d in datasets.load("cifar10")] == [15, 3]
    train, _ = datasets.load("cifar10", root=tmp_path / "else")
    assert str(train.root) == str(tmp_path / "else")


@pytest.mark.parametrize("part", ["test", "val"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_load_a_folder_of_images(tmp_path, mode, part):
    expected = {}
    for k, name in enumerate(
        ["train/b/x.png", "train/a/y.png", f"{part}/a/z.png", f"{part}/b/w.png"]
    ):
        expected[name] = np.asarray(picture(tmp_path / name, mode=mode, seed=k))
    train, test = datasets.load(tmp_path)
    assert train.classes == test.classes == ["a", "b"]
    channels = 1 if mode == "L" else 3
    assert train.images_shape == (channels, 5, 7)
    assert train.data.dtype == np.uint8
    first = expected["train/a/y.png"].reshape(5, 7, channels)
    np.testing.assert_array_equal(train.data[0], np.moveaxis(first, 2, 0))
    ((images, labels),) = DataLoader(test, 9)
    assert images.shape == (2, channels, 5, 7)
    assert labels.tolist() == [0, 1]
    assert [path.unlink() for path in tmp_path.rglob("*.png")] == [None] * 4
    assert train[1][1] == 1  # the files are not needed any more


def test_folders_that_do_not_fit(tmp_path):
    picture(tmp_path / "train" / "a" / "x.png")
    with pytest.raises(
        DataError, match=r"expected the folders train and test \(or val\), found none"
    ):
        datasets.load(tmp_path)
    picture(tmp_path / "test" / "b" / "x.png")
    with pytest.raises(DataError, match=r"test: expected the classes of .*train, but .* has a, b$"):
        datasets.load(tmp_path)
    picture(tmp_path / "train" / "b" / "y.png", (9, 5))
    picture(tmp_path / "test" / "a" / "x.png")
    with pytest.raises(DataError) as found:
        datasets.load(tmp_path)
    assert str(found.value) == (
        f"{tmp_path}/train/b/y.png: expected 7 x 5 pixels like {tmp_path}/train/a/x.png, "
        "found 9 x 5; images must have one size"
    )
    picture(tmp_path / "train" / "b" / "y.png", mode="L")
    picture(tmp_path / "train" / "a" / "x.png", mode="L")
    with pytest.raises(
        DataError, match=r"test: .* of \(1, 5, 7\) as in .*train, found \(3, 5, 7\)$"
    ):
        datasets.load(tmp_path)


def test_a_folder_too_large_for_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.datasets.folder.MAX_BYTES", 200)
    picture(tmp_path / "a" / "x.png")
    picture(tmp_path / "a" / "y.png")
    with pytest.raises(
        DataError, match=r"at most 200 bytes of pixels, found 2 images .*, 105 bytes"
    ):
        ImageFolder(tmp_path).in_memory()


def test_load_an_npz_file(tmp_path):
    np.savez(tmp_path / "set.npz", **arrays())
    train, test = datasets.load(str(tmp_path / "set.npz"))
    assert (len(train), len(test)) == (4, 3)
    with pytest.raises(
        DataError, match=r"nothing\.npz: expected a sound .npz file, found: No such"
    ):
        datasets.load(tmp_path / "nothing.npz")


def test_unknown_names():
    with pytest.raises(ArgumentError) as found:
        datasets.load("mnits")
    assert str(found.value) == (
        "unknown data set 'mnits': expected mnist, fashion-mnist, cifar10, a folder with train/ "
        "and test/ of class folders, or an .npz file"
    )

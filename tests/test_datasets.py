"""The idx reader on sound and damaged files; MNIST against its checksums, and FashionMNIST."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from files import IDX_TYPES, fill, idx, memory_below
from PIL import Image

import minicnn
from minicnn import transforms
from minicnn.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    default_collate,
    random_split,
)
from minicnn.datasets import MNIST, FashionMNIST, ImageDataset, read_idx
from minicnn.errors import ArgumentError, DataError

PACKAGED = Path(minicnn.__file__).parent / "datasets" / "mnist"
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


# ---- read_idx ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "shape", [(5,), (1,), (0,), (3, 4), (2, 0, 3), (1, 1, 1), (2, 1, 3, 1, 2, 1, 1, 2)]
)
@pytest.mark.parametrize("dtype", IDX_TYPES)
def test_reads_what_was_written(tmp_path, dtype, shape, pack):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    array.flat[:1] = -1.5 if dtype[0] == "f" else np.iinfo(dtype).min
    path = tmp_path / "file"
    path.write_bytes(pack(idx(array)))
    found = read_idx(path)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(read_idx(str(path), dtype, shape), array)


SMALL = np.arange(12, dtype=np.uint8).reshape(3, 4)
GOOD = idx(SMALL)
GZ = gzip.compress(GOOD, mtime=0)
DAMAGED = {
    "empty": (b"", r"expected an idx file .*, found nothing"),
    "short magic": (b"\0\0\x08", "found 00 00 08"),
    "another format": (b"\x89PNG" + GOOD, "found 89 50 4e 47"),
    "text": (b"<html>", "found 3c 68 74 6d"),
    "unknown type": (idx(SMALL, 0x0A), "expected an idx type of 08, .*, 0e, found 0a"),
    "no dimensions": (b"\0\0\x08\0" + b"\1", "expected 1 to 8 dimensions, found 0"),
    "many dimensions": (idx(SMALL, sizes=(1,) * 9), "expected 1 to 8 dimensions, found 9"),
    "cut in the sizes": (GOOD[:9], r"expected 2 sizes of 4 bytes, found 5 bytes \(truncated\)"),
    "cut before the data": (GOOD[:12], r"expected 12 bytes .*\(3, 4\), found 0 \(cut short\)"),
    "cut in the data": (GOOD[:-1], r"expected 12 bytes .*\(3, 4\), found 11 \(cut short\)"),
    "one byte more": (GOOD + b"\0", r"expected 12 bytes .*\(3, 4\), found more"),
    "sizes too large": (idx(SMALL, sizes=(3, 5)), r"expected 15 bytes .* found 12 \(cut short\)"),
    "sizes too small": (idx(SMALL, sizes=(3, 3)), "expected 9 bytes .*, found more"),
    "type too large": (idx(SMALL, 0x0B), "expected 24 bytes .*, found 12"),
    "more than the limit": (
        idx(SMALL, sizes=(2**31, 2)),
        r"at most 2147483648 bytes.*\(2147483648,",
    ),
    "overflow": (idx(SMALL, sizes=(2**31,) * 6), "at most 2147483648 bytes"),
    "nothing of something huge": (idx(SMALL[:0], sizes=(0, 2**31, 2**31)), "at most 2147483648"),
    "gzip cut": (GZ[:-9], "expected sound gzip data, found damage: .*ended before"),
    "gzip cut in its header": (GZ[:5], "expected sound gzip data, found damage"),
    "gzip checksum": (GZ[:-8] + bytes([GZ[-8] ^ 1]) + GZ[-7:], "found damage: CRC check failed"),
    "gzip length": (GZ[:-1] + b"\1", "found damage: Incorrect length"),
    "gzip method": (GZ[:2] + b"\7" + GZ[3:], "found damage: Unknown compression method"),
    "gzip body": (GZ[:10] + b"\xff" * 8 + GZ[18:], "found damage"),
    "gzip and rubbish": (GZ + b"rubbish", "found damage: Not a gzipped file"),
    "gzip of too little": (gzip.compress(GOOD[:-2]), r"expected 12 bytes .*, found 10"),
    "gzip of too much": (gzip.compress(GOOD + b"12"), "expected 12 bytes .*, found more"),
    "two gzip members": (GZ + GZ, "expected 12 bytes .*, found more"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "digits-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as found:
        read_idx(path)
    assert str(found.value).startswith(f"{path}: expected ")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_lying_header_costs_no_memory(tmp_path, pack):
    path = tmp_path / "file"
    for rows, message in ((2**17, "expected 134217728 bytes"), (2**20, "claim to be 1073741824")):
        path.write_bytes(pack(idx(SMALL, sizes=(rows, 2**10))))
        with pytest.raises(DataError, match=message), memory_below(8):
            read_idx(path)


def test_what_unpacks_to_more_than_images_do_is_a_bomb(tmp_path):
    path = tmp_path / "bomb.gz"
    header = idx(SMALL, sizes=(2**18, 2**10))
    with gzip.open(path, "wb", 1) as file:
        file.write(header[:12])
        for _ in range(2**8):
            file.write(bytes(2**20))
    message = "at most 100 bytes out of each, .*claim to be 268435456$"
    with pytest.raises(DataError, match=message), memory_below(8):
        read_idx(path)


def test_a_small_header_before_much_data_costs_no_memory(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(32 * 2**20)))
    with pytest.raises(DataError, match="found more"), memory_below(8):
        read_idx(path)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dtype": "int16"}, "expected elements of int16, found uint8"),
        ({"shape": (3,)}, "expected sizes 3, found 3 x 4"),
        ({"shape": (None, 5)}, "expected sizes N x 5, found 3 x 4"),
        ({"shape": (None, None, 4)}, "expected sizes N x N x 4, found 3 x 4"),
    ],
)
def test_what_was_not_asked_for_is_refused(tmp_path, asked, message):
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    np.testing.assert_array_equal(read_idx(path, "uint8", (None, 4)), SMALL)
    with pytest.raises(DataError, match=f"{path}: {message}$"):
        read_idx(path, **asked)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="nothing: expected an idx file, found: No such file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="expected an idx file, found: Is a directory"):
        read_idx(tmp_path)


# ---- the MNIST inside the package --------------------------------------------------------------


@pytest.fixture(scope="module")
def train():
    return MNIST()


@pytest.fixture(scope="module")
def test():
    return MNIST(train=False)


@pytest.mark.parametrize("name", MD5)
def test_contents_are_as_published(name):
    content = gzip.decompress((PACKAGED / f"{name}.gz").read_bytes())
    assert hashlib.md5(content).hexdigest() == MD5[name]
    array = read_idx(PACKAGED / f"{name}.gz")
    assert array.tobytes() == content[4 + 4 * array.ndim :]


def test_shapes_and_counts(train, test):
    assert (len(train), len(test)) == (60_000, 10_000)
    for dataset in (train, test):
        assert dataset.data.shape == (len(dataset), 28, 28)
        assert dataset.data.dtype == np.uint8
        assert dataset.targets.shape == (len(dataset),)
        assert dataset.targets.dtype == np.int64
    assert len(train.classes) == 10
    assert train.classes[3] == "3 - three"


def test_figures_known_to_the_field(train, test):
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.targets.numpy()).tolist() == counts
    parts = np.array_split(train.data.numpy().ravel(), 50)  # bincount makes them int64
    counts = sum(np.bincount(part, minlength=256) for part in parts)
    mean = np.average(np.arange(256) / 255, weights=counts)
    variance = np.average((np.arange(256) / 255 - mean) ** 2, weights=counts)
    assert mean == pytest.approx(0.1307, abs=5e-5)  # transforms.Normalize's, everywhere
    assert variance**0.5 == pytest.approx(0.3081, abs=5e-5)


def test_an_untransformed_sample_is_a_pil_image(train):
    image, label = train[7]
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("L", (28, 28))
    np.testing.assert_array_equal(np.asarray(image), train.data.numpy()[7])
    assert (label, type(label)) == (3, int)


def test_a_sample_through_to_tensor(train):
    image, label = MNIST(transform=transforms.ToTensor())[7]
    expected = torch.from_numpy(train.data.numpy()[7:8].copy()).float().div(255)
    assert image.shape == (1, 28, 28)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.numpy(), expected.numpy())
    assert 0 <= image.numpy().min() < image.numpy().max() <= 1
    assert (label, type(label)) == (3, int)


def test_samples_are_numbered_like_a_sequence(test):
    assert test[-1][1] == test[9_999][1] == 6
    assert test[np.int64(1)][1] == test[minicnn.tensor(1)][1] == 2
    with pytest.raises(IndexError):
        test[10_000]
    with pytest.raises(TypeError, match="slice"):
        test[:2]


def test_a_batch_is_its_samples(test):
    indices = [5, 9_999, 0, 5, -2]
    images, labels = test.__getitems__(indices)
    assert images.dtype == np.float32
    assert images.is_contiguous()
    assert labels.dtype == np.int64
    pixels = np.stack([np.asarray(test[i][0]) for i in indices])
    expected = torch.from_numpy(pixels).float().div(255)[:, None]
    np.testing.assert_array_equal(images.numpy(), expected.numpy())
    assert labels.tolist() == [test[i][1] for i in indices]


def test_samples_collate_to_the_batch(test):
    """Whichever way a batch is made, from the data set or from its PIL images."""
    where = [5, 9_999, 0]
    images, labels = test.__getitems__(where)
    chained = Subset(ConcatDataset([test, test]), where)  # which knows no gather
    loaders = DataLoader(test, 3, sampler=where, collate_fn=default_collate), DataLoader(chained, 3)
    for loader in loaders:
        ((ours, same),) = loader
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours.numpy(), images.numpy())
        assert same.tolist() == labels.tolist()


class PerSplit(Dataset):
    """A transform for one part of a split, as many write it around torchvision's data sets."""

    def __init__(self, subset, transform):
        self.subset, self.transform = subset, transform

    def __getitem__(self, index):
        image, label = self.subset[index]
        return self.transform(image), label

    def __len__(self):
        return len(self.subset)


def test_a_transform_for_each_part_of_a_split(test):
    few = Subset(test, range(10))
    part, _ = random_split(few, [6, 4], minicnn.Generator(3))
    chain = transforms.Compose([transforms.Resize(32), transforms.ToTensor()])
    ((images, labels),) = DataLoader(PerSplit(part, chain), 6)
    where = part.indices
    larger = [Image.fromarray(test.data.numpy()[i]).resize((32, 32), 2) for i in where]
    expected = np.stack([np.asarray(image) for image in larger])[:, None] / np.float32(255)
    np.testing.assert_array_equal(images.numpy(), expected)
    assert labels.tolist() == test.targets.numpy()[where].tolist()


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_torchvisions_old_names_warn(tmp_path, kind):
    fill(tmp_path / kind.__name__ / "raw")
    dataset = kind(tmp_path, train=False)
    assert dataset.raw_folder == str(tmp_path / kind.__name__ / "raw")
    for old, new in (("train_data", "data"), ("test_data", "data"),
                     ("train_labels", "targets"), ("test_labels", "targets")):  # fmt: skip
        message = rf"^{kind.__name__}\.{old} is an old name: write \.{new}$"
        with pytest.warns(UserWarning, match=message) as caught:
            assert getattr(dataset, old) is getattr(dataset, new)
        assert caught[0].filename == __file__


def test_batches_are_gathered(test, monkeypatch):
    expected = test.targets[[4, 3, 2, 9]].tolist()
    monkeypatch.delattr(ImageDataset, "__getitem__")
    ((images, labels),) = DataLoader(Subset(test, [4, 3, 2, 9]), 4)
    assert images.shape == (4, 1, 28, 28)
    assert labels.tolist() == expected


def test_writing_into_a_batch_leaves_the_data_set(test):
    before = test.data.numpy()[:4].copy(), test.targets.numpy()[:4].copy()
    images, labels = test.__getitems__(range(4))
    image, _ = test[0]
    image.paste(7, (0, 0, 28, 28))
    for t in (images, labels):
        t.fill_(7)
    np.testing.assert_array_equal(test.data.numpy()[:4], before[0])
    np.testing.assert_array_equal(test.targets.numpy()[:4], before[1])


# ---- MNIST elsewhere ---------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("below", [".", "MNIST/raw"])
@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_of_ones_own(tmp_path, kind, part, below, compress):
    pixels = fill(tmp_path / below, part=part, compress=compress)
    dataset = MNIST(kind(tmp_path), train=part == "train")
    np.testing.assert_array_equal(dataset.data.numpy(), pixels)
    assert dataset.targets.tolist() == [3, 1, 4, 1, 5]


def test_a_folder_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "digits")
    assert len(MNIST("~/digits", train=False)) == 5


def test_a_foreign_transform_gets_pil_images(tmp_path):
    pixels = fill(tmp_path)
    seen = []

    def transform(image):
        seen.append(image)
        return minicnn.tensor(np.asarray(image, np.float32)[None] - 7)

    dataset = MNIST(tmp_path, False, transform, lambda label: -label)
    image, label = dataset[2]
    np.testing.assert_array_equal(image.numpy()[0], pixels[2] - np.float32(7))
    assert (label, type(label)) == (-4, int)
    ((images, labels),) = DataLoader(dataset, 5)
    assert {(type(x).__name__, x.mode, x.size) for x in seen} == {("Image", "L", (28, 28))}
    np.testing.assert_array_equal(images.numpy()[:, 0], pixels - np.float32(7))
    assert labels.tolist() == [-3, -1, -4, -1, -5]
    dataset.transform = None
    ((images, labels),) = DataLoader(dataset, 5)
    assert images.numpy().min() >= 0
    assert labels.tolist() == [-3, -1, -4, -1, -5]


def test_our_transforms_get_whole_batches(tmp_path, monkeypatch):
    fill(tmp_path)
    chain = transforms.Compose([transforms.Resize(32), transforms.ToTensor()])
    dataset = MNIST(tmp_path, False, transform=chain)
    singles = np.stack([dataset[i][0].numpy() for i in range(5)])
    by_pil = np.stack(
        [chain(Image.fromarray(x)).numpy() for x in MNIST(tmp_path, False).data.numpy()]
    )
    np.testing.assert_array_equal(singles, by_pil)
    monkeypatch.delattr(transforms.Compose, "__call__")
    monkeypatch.delattr(transforms.Transform, "__call__")
    ((images, labels),) = DataLoader(Subset(dataset, [4, 3, 2, 1, 0]), 5)
    assert images.is_contiguous()
    np.testing.assert_array_equal(images.numpy()[::-1], singles)
    assert labels.tolist() == [5, 1, 4, 1, 3]


def test_a_chain_with_a_foreign_step(tmp_path):
    fill(tmp_path)
    chain = transforms.Compose([transforms.ToTensor(), lambda t: t.flatten()])
    dataset = MNIST(tmp_path, False, chain)
    ((images, _),) = DataLoader(dataset, 5)
    assert images.shape == (5, 784)
    np.testing.assert_array_equal(images[3].numpy(), dataset[3][0].numpy())


def test_images_that_stay_pil_images(tmp_path):
    pixels = fill(tmp_path)
    expected = np.zeros((5, 1, 32, 32), np.float32)
    expected[:, 0, 2:30, 2:30] = pixels / np.float32(255)
    for transform in (transforms.Pad(2), transforms.Pad(2).__call__):
        dataset = MNIST(tmp_path, False, transform)
        image, _ = dataset[0]
        assert (image.mode, image.size) == ("L", (32, 32))
        ((images, _),) = DataLoader(dataset, 5)
        np.testing.assert_array_equal(images.numpy(), expected)


def test_a_subset_by_an_array_gathers(test, monkeypatch):
    where = np.array([7, 2, 9_999])
    ((images, labels),) = DataLoader(Subset(test, where), 3)
    ((expected, same),) = DataLoader(Subset(test, where.tolist()), 3)
    np.testing.assert_array_equal(images.numpy(), expected.numpy())
    assert labels.tolist() == same.tolist() == [9, 1, 6]
    monkeypatch.setattr(ImageDataset, "__getitems__", lambda self, indices: indices)
    (indices,) = DataLoader(Subset(test, where), 3)
    assert indices.tolist() == where.tolist()  # an array, by no loop


def test_repr_is_torchvisions(tmp_path):
    fill(tmp_path)
    head = "Dataset MNIST\n    Number of datapoints: 5\n"
    head += f"    Root location: {tmp_path}\n    Split: Test"
    assert repr(MNIST(tmp_path, train=False)) == head
    steps = transforms.Compose([transforms.ToTensor()])
    text = "\n    StandardTransform\nTransform: Compose(\n               ToTensor()\n           )"
    assert repr(MNIST(tmp_path, False, steps)) == head + text
    assert repr(MNIST(tmp_path, False, None, transforms.Lambda(abs))) == (
        head + "\n    StandardTransform\nTarget transform: Lambda()"
    )


def test_data_may_be_cut_to_a_part(tmp_path):
    fill(tmp_path)
    dataset = MNIST(tmp_path, train=False)
    dataset.data, dataset.targets = dataset.data[1:3], dataset.targets[1:3]
    ((images, labels),) = DataLoader(dataset, 5)
    assert images.shape == (2, 1, 28, 28)
    assert labels.tolist() == [1, 4]


def test_no_samples_at_all(tmp_path):
    fill(tmp_path, 0, ())
    with pytest.raises(DataError, match=r"t10k-images.*: expected images, found none: the set is"):
        MNIST(tmp_path, train=False)


@pytest.mark.parametrize("missing", ["images-idx3", "labels-idx1"])
def test_a_missing_file_is_named_with_its_place(tmp_path, missing):
    fill(tmp_path)
    name = f"t10k-{missing}-ubyte"
    (tmp_path / f"{name}.gz").unlink()
    (tmp_path / name).mkdir()  # a folder of that name is not the file
    with pytest.raises(DataError) as found:
        MNIST(tmp_path, train=False)
    assert str(found.value) == (
        f"MNIST: {name}.gz (or {name}) is missing beside the other files in {tmp_path}; put it "
        "there, or leave out root: the package has all four"
    )


@pytest.mark.parametrize("download", [True, False])  # tutorials ask for it only the first time
def test_mnist_needs_no_download(tmp_path, test, download):
    dataset = MNIST(root=tmp_path / "data", train=False, download=download)
    np.testing.assert_array_equal(dataset.data.numpy(), test.data.numpy())
    assert not (tmp_path / "data").exists()
    assert f"Root location: {PACKAGED}\n" in repr(dataset)
    fill(tmp_path)
    assert len(MNIST(tmp_path, train=False, download=download)) == 5  # root's own come first


@pytest.mark.parametrize(("kind", "end"), [(MNIST, ""), (MNIST, ".gz"), (FashionMNIST, "")])
def test_files_named_as_on_kaggle_are_taken(tmp_path, kind, end):
    pixels = fill(tmp_path)
    for path in tmp_path.glob("t10k-*"):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        renamed = path.with_name(path.name.removesuffix(".gz").replace("-idx", ".idx") + end)
        renamed.write_bytes(gzip.compress(data) if end else data)
        path.unlink()
    np.testing.assert_array_equal(kind(tmp_path, train=False).data.numpy(), pixels)


@pytest.mark.parametrize("below", [".", "FashionMNIST/raw"])
def test_fashion_mnist_from_a_folder(tmp_path, below, monkeypatch):
    monkeypatch.setattr("minicnn.datasets.digits.DEBIAN", tmp_path / "debian")
    pixels = fill(tmp_path / below)
    dataset = FashionMNIST(tmp_path, train=False)
    np.testing.assert_array_equal(dataset.data.numpy(), pixels)
    assert dataset.classes[9] == "Ankle boot"
    assert dataset.class_to_idx["Trouser"] == 1
    assert dataset.images_shape == (1, 28, 28)
    assert repr(dataset).startswith("Dataset FashionMNIST\n")


def test_fashion_mnist_from_debians_package(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.datasets.digits.DEBIAN", tmp_path / "debian")
    pixels = fill(tmp_path / "debian")
    for root in (None, tmp_path / "empty"):
        dataset = FashionMNIST(root, train=False, download=True)  # nothing to download
        np.testing.assert_array_equal(dataset.data.numpy(), pixels)
    fill(tmp_path / "own", 1, (7,))
    assert FashionMNIST(tmp_path / "own", train=False).targets.tolist() == [7]


def test_fashion_mnist_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.datasets.digits.DEBIAN", tmp_path / "debian")
    name = "train-images-idx3-ubyte"
    end = "pass download=True, or install the Debian package dataset-fashion-mnist"
    with pytest.raises(DataError) as found:
        FashionMNIST(tmp_path)
    assert str(found.value) == (
        f"FashionMNIST: {name}.gz (or {name}) is missing; put it into {tmp_path} or "
        f"{tmp_path / 'FashionMNIST' / 'raw'}, {end}"
    )
    with pytest.raises(DataError, match=f"put it into a folder and pass that as root, {end}"):
        FashionMNIST()
    with pytest.raises(ArgumentError, match="download=True needs a root to download into"):
        FashionMNIST(download=True)


def test_images_and_labels_must_belong_together(tmp_path):
    fill(tmp_path, 5, (1, 2, 3))
    with pytest.raises(
        DataError, match=r"labels-idx1-ubyte.gz: expected 5 labels, .*t10k-images.*found 3$"
    ):
        MNIST(tmp_path, train=False)
    fill(tmp_path, 3, (1, 10, 3))
    with pytest.raises(DataError, match=r"labels-.*: expected labels 0 to 9, found 10$"):
        MNIST(tmp_path, train=False)


def test_files_of_another_kind_are_refused(tmp_path):
    fill(tmp_path, compress=False)
    images, labels = (tmp_path / f"t10k-{n}-ubyte" for n in ("images-idx3", "labels-idx1"))
    small = idx(np.zeros((5, 28, 27), np.uint8))
    for path, content, message in (
        (images, small, "images.*: expected sizes N x 28 x 28, found 5 x 28 x 27"),
        (
            images,
            idx(np.zeros((5, 28, 28), np.float32)),
            "expected elements of uint8, found float32",
        ),
        (labels, images.read_bytes(), "labels.*: expected sizes N, found 5 x 28 x 28"),
        (labels, b"\0\0", "labels.*: expected an idx file"),
    ):
        good = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            MNIST(tmp_path, train=False)
        path.write_bytes(good)
    assert len(MNIST(tmp_path, train=False)) == 5

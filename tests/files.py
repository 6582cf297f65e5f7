"""Small files in the formats that data sets come in, for the tests of their readers."""

import gzip
import io
import pickle
import struct
import tarfile
import tracemalloc
from contextlib import contextmanager

import numpy as np

IDX_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@contextmanager
def memory_below(mebibytes):
    """Fails if more is allocated inside."""
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < mebibytes * 2**20


def idx(array, type=None, sizes=None):
    """An idx file's bytes; type and sizes may lie."""
    kind = IDX_TYPES[array.dtype.str[1:]] if type is None else type
    sizes = array.shape if sizes is None else sizes
    header = bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def fill(folder, images=5, labels=(3, 1, 4, 1, 5), part="t10k", compress=True):
    """The two files of a small MNIST; returns its images."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (images, 28, 28), np.uint8)
    contents = {"images-idx3": pixels, "labels-idx1": np.array(labels, np.uint8)}
    for name, array in contents.items():
        path = folder / f"{part}-{name}-ubyte{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(idx(array)) if compress else idx(array))
    return pixels


# ---- CIFAR-10 ----------------------------------------------------------------------------------


def cifar_arrays(k, n=3):
    """The images (n, 3, 32, 32) and labels of file k (0 the test set) of a small CIFAR-10."""
    rng = np.random.default_rng(k)
    return rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, 10, n).tolist()


def string2(text):
    """A str of Python 2's, as its pickle has it by protocol 2."""
    data = text if isinstance(text, bytes) else text.encode()
    short = len(data) < 256
    return (b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<I", len(data))) + data


def integer2(n):
    return b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n)


def pickle2(images, labels):
    """The bytes that Python 2's cPickle makes of a batch, by protocol 2, as published.

    Opcodes: https://docs.python.org/3/library/pickletools.html (run on the published files).
    """
    rows = images.reshape(len(images), 3072)
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85"
    array += (
        string2("b")
        + b"\x87Rq\x07(K\x01"
        + integer2(rows.shape[0])
        + integer2(rows.shape[1])
        + b"\x86"
    )
    array += b"cnumpy\ndtype\nq\x08" + string2("u1") + b"K\x00K\x01\x87Rq\x09(K\x03" + string2("|")
    array += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + string2(rows.tobytes()) + b"tb"
    names = b"".join(string2(f"n_{k}.png") for k in range(len(rows)))
    return (
        b"\x80\x02}q\x01(" + string2("batch_label") + b"q\x02" + string2("training batch 1 of 5")
        + string2("labels") + b"q\x03](" + b"".join(map(integer2, labels)) + b"e"
        + string2("data") + b"q\x04" + array + string2("filenames") + b"](" + names + b"eu."
    )  # fmt: skip


def pickle3(images, labels, protocol=2):
    """The same batch pickled by Python 3, with bytes as keys."""
    rows = images.reshape(len(images), -1)
    batch = {b"batch_label": b"x", b"labels": labels, b"data": rows, b"filenames": [b"a.png"]}
    return pickle.dumps(batch, protocol)


def cifar_contents(layout):
    """The files of a small CIFAR-10, by name: cifar-10-batches-py or cifar-10-batches-bin."""
    contents = {}
    for k in range(6):
        images, labels = cifar_arrays(k)
        name = f"data_batch_{k}" if k else "test_batch"
        if layout == "cifar-10-batches-py":
            contents[name] = pickle2(images, labels)
        else:
            records = np.concatenate([np.uint8(labels)[:, None], images.reshape(3, -1)], 1)
            contents[f"{name}.bin"] = records.tobytes()
    return contents | {"readme.html": b"<html>"}


def cifar_folder(root, layout):
    """The files as a folder in root."""
    (root / layout).mkdir(parents=True)
    for name, content in cifar_contents(layout).items():
        (root / layout / name).write_bytes(content)
    return root / layout


def tar(path, members, mode="w:gz"):
    """An archive with these members: (name, content), or a TarInfo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def cifar_archive(root, layout):
    """The files as an archive in root."""
    name = {"cifar-10-batches-py": "python", "cifar-10-batches-bin": "binary"}[layout]
    members = [(f"{layout}/{n}", c) for n, c in cifar_contents(layout).items()]
    return tar(root / f"cifar-10-{name}.tar.gz", members)

"""Every file format that minicnn reads, for fuzz.py: how to write one, and how to read it.

`FORMATS` has for each name write and the readers: write(m, folder) puts sound files into a folder,
every layer and field of them passed through a Mutation; each read(folder) reads them as a user's
program would.
"""

import contextlib
import functools
import gzip
import io
import json
import math
import os
import struct
import tarfile
import zlib

import numpy as np
from files import cifar_arrays, idx, pickle2, pickle3, string2
from mutations import EXTREMES, ODD

from minicnn.errors import MinicnnError

follow_up = functools.partial(contextlib.suppress, MinicnnError)
"""For what is done with what was read: its errors need not name the file."""


def pixels(m, *shape):
    return np.frombuffer(m.chance.randbytes(math.prod(shape)), np.uint8).reshape(shape)


# ---- gzip, idx, MNIST --------------------------------------------------------------------------


@functools.cache
def zeros(mebibytes):
    """Raw deflate of so many MiB of zeros: one piece that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * mebibytes + packer.flush(zlib.Z_FINISH)


def gzipped(m, content):
    """Compressed: sound, in two members, a bomb, or with a wrong check."""
    packed = gzip.compress(content, 1, mtime=0)
    second = gzip.compress(content[len(content) // 2 :], 1, mtime=0)
    packed = m.pick(packed, packed + second, packed + bytes(100), lambda: packed + bomb(m))
    return m(packed)


def bomb(m):
    """A gzip member that unpacks to far more than it is, with a wrong check at its end."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + zeros(m.chance.choice((100, 300, 4000))) + bytes(8)


def idx_content(m, array):
    """An idx file, its header's fields and its content changed sometimes."""
    types = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    kind = m.pick(types[array.dtype.str[1:]], *types.values(), 0, 255)
    sizes = [m.integer(n) for n in array.shape]
    content = idx(array, kind, sizes)
    head = bytes([*content[:3], m.integer(content[3], 8)]) + content[4:]
    return m(head, idx(pixels(m, 2, 3)))


def write_idx(m, folder, packed=False):
    shape = [m.chance.randint(0, 5) for _ in range(m.chance.randint(1, 4))]
    kind = m.chance.choice(("u1", "i1", "i2", "i4", "f4", "f8"))
    array = np.zeros(shape, kind)
    array.flat[:] = [m.chance.randrange(100) for _ in range(array.size)]
    content = idx_content(m, array)
    if packed and m.happens():  # a header that asks for what a bomb holds
        mebibytes = m.chance.choice((60, 120, 260, 1000))
        header = idx(np.zeros(0, "u1"), m.chance.choice((8, 0x0D)), [mebibytes, 2**18, 4])
        head = gzip.compress(header, mtime=0)
        content = head + b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + zeros(mebibytes) + bytes(8)
        m.done.append(f"a bomb of {mebibytes} MiB")
        (folder / "x.idx").write_bytes(m(content))
        return
    (folder / "x.idx").write_bytes(gzipped(m, content) if packed else content)


def read_idx_file(folder):
    from minicnn.datasets import read_idx

    read_idx(folder / "x.idx")


def write_mnist(m, folder):
    images, packed = m.chance.randint(1, 3), m.happens(0.5)
    for part in ("train", "t10k"):
        labels = pixels(m, images) % m.pick(10, 11, 255)
        count = images + m.pick(0, -1, 1, -images)
        contents = {
            f"{part}-images-idx3-ubyte": pixels(m, max(count, 0), m.pick(28, 27, 0), 28),
            f"{part}-labels-idx1-ubyte": m.pick(labels, np.zeros(0, "u1"), labels.astype("i4")),
        }
        for name, array in contents.items():
            content = idx_content(m, array)
            path = folder / f"{name}{'.gz' if packed else ''}"
            path.write_bytes(gzipped(m, content) if packed else content)


def read_mnist(folder):
    from minicnn.datasets import MNIST, FashionMNIST

    for kind in (MNIST, FashionMNIST):
        for train in (True, False):
            _samples(kind(folder, train))


def _samples(dataset):
    dataset[0], dataset[len(dataset) - 1]
    dataset.__getitems__(list(range(len(dataset)))[:10])


# ---- CIFAR-10 ----------------------------------------------------------------------------------


def cifar_file(m, layout, k):
    """A name and the content of one of its files."""
    images, labels = cifar_arrays(k, m.chance.randint(1, 2))
    name = f"data_batch_{k}" if k else "test_batch"
    labels = [m.integer(n, 8) for n in labels]
    if layout == "cifar-10-batches-bin":
        records = np.concatenate([np.uint8(labels)[:, None], images.reshape(len(labels), -1)], 1)
        return f"{name}.bin", m(records.tobytes())
    labels = m.pick(labels, [*labels, 1], [], [1.5] * len(labels), [10**70] * len(labels))
    if m.happens(0.3) and all(isinstance(n, int) and n < 2**16 for n in labels):
        content = pickle2(images, labels)
    else:
        content = pickle3(images, labels, m.chance.choice((2, 3, 4)))
    if m.happens(m.layer_rate / 2):
        m.done.append("a pickle made of hostile opcodes")
        content = hostile_pickle(m, content)
    return name, m(content, pickle3(images, labels))


OPCODES = b"(.0]})lat\x85\x86\x87eusbRhqjrKMJN\x88U\x8a\x94\x93\x8cc"


def hostile_pickle(m, sound):
    """Calls, bombs of memory and nesting, lengths that lie, or opcodes at random."""

    def number(form):
        return struct.pack(form, m.chance.choice(EXTREMES) % 256 ** struct.calcsize(form))

    encode = b"c_codecs\nencode\n"
    array = pickle3(*cifar_arrays(1, 1))
    doubling = b"K\x01" + b"q\x00h\x00\x86" * 60  # ((((1, 1), (1, 1)), ...)
    makers = (
        lambda: b"\x80\x02cos\nsystem\n" + b"X\x0c\0\0\0touch harmed\x85R.",
        lambda: b"\x80\x02cbuiltins\nexec\n" + string2("open('harmed', 'w')") + b"\x85R.",
        lambda: b"\x80\x04" + b"".join(
            b"\x8c" + bytes([len(s)]) + s for s in (b"os", b"system")
        ) + b"\x93\x8c\x0ctouch harmed\x85R.",
        lambda: b"\x80\x02" + m.chance.choice((b"X", b"T", b"B")) + number("<I") + b"abc.",
        lambda: b"\x80\x04" + m.chance.choice((b"\x8d", b"\x8e", b"\x96")) + number("<Q") + b"abc.",
        lambda: b"\x80\x02\x8b" + number("<I") + b"abc.",
        lambda: b"\x80\x02I" + b"9" * 100_000 + b"\n.",
        lambda: b"\x80\x02\x8b" + struct.pack("<I", 2_000_000) + b"\x7f" * 2_000_000 + b".",
        lambda: b"\x80\x02" + b"(" * 150_000 + b"t" * 40_000 + b".",
        lambda: b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
        lambda: b"\x80\x02]q\x00" + b"h\x00a" * 50_000 + b".",
        lambda: b"\x80\x02" + doubling + doubling + b"\x93.",
        lambda: b"\x80\x02" + doubling + b".",
        lambda: array.replace(b"K\x01M\x00\x0c\x86", doubling),  # as the shape
        lambda: array.replace(b"X\x02\0\0\0u1", doubling),  # as the type
        lambda: b"\x80\x02(" + encode + b"q\x00X" + struct.pack("<I", 2**20) + b"a" * 2**20
        + b"q\x01X\x06\0\0\0latin1q\x02" + b"h\x00h\x01h\x02\x86R" * 3000 + b"t.",
        lambda: sound.replace(b"_reconstruct", m.chance.choice((b"_frombuffer_", b"x"))),
        lambda: b"\x80\x02" + bytes(m.chance.choices(OPCODES, k=300)),
    )  # fmt: skip
    return m.chance.choice(makers)()


def write_cifar(m, folder, layout):
    (folder / layout).mkdir()
    for k in range(6):
        name, content = cifar_file(m, layout, k)
        (folder / layout / name).write_bytes(content)


def write_cifar_archive(m, folder, layout):
    members = [cifar_file(m, layout, k) for k in range(6)]
    blocks = b"".join(tar_member(m, f"{layout}/{name}", content) for name, content in members)
    name = {"cifar-10-batches-py": "python", "cifar-10-batches-bin": "binary"}[layout]
    content = gzipped(m, m(blocks + bytes(1024)))
    (folder / f"cifar-10-{name}.tar.gz").write_bytes(content)


def tar_member(m, name, content):
    """A member of a tar archive; a changed header has the right checksum again."""
    form = m.pick(tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
    info = tarfile.TarInfo(
        m.pick(name, "../harmed", "/tmp/../harmed", f"./{name}", "x" * 90, "\x1b[2J", "\udc80")
    )
    info.size = len(content)
    info.type = m.pick(
        tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE,
        tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"z",
    )  # fmt: skip
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = m.chance.choice(("../harmed", "/etc/passwd", name))
    header = info.tobuf(form, errors="surrogateescape")
    if m.happens():
        size = m.chance.choice((0, 1, 100, 2**20, 2**31, 2**33 - 1))
        header = header[:-388] + b"%011o\0" % size + header[-376:]
        m.done.append(f"a tar member of size {size}")
    if m.happens():
        records = m.chance.choice((
            b"31 GNU.sparse.realsize=99999999\n", b"22 size=99999999999999\n", b"9 size=-\n",
            b"999999999 path=x\n", b"0 a=b\n", b"13 mtime=1e999\n",
            b"27 GNU.sparse.map=0,9,9,9,9\n",
        ))  # fmt: skip
        extra = tarfile.TarInfo("pax")
        extra.type, extra.size = m.chance.choice((tarfile.XHDTYPE, tarfile.XGLTYPE)), len(records)
        header = extra.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + header
        m.done.append(f"a tar header {records!r}")
    changed = m(header[-512:])[:512].ljust(512, b"\0")
    if changed != header[-512:]:
        total = sum(changed[:148]) + 8 * 32 + sum(changed[156:])
        header = header[:-512] + changed[:148] + b"%06o\0 " % (total % 2**18) + changed[156:]
    return header + content + bytes(-len(content) % 512)


def read_cifar(folder):
    from minicnn.datasets import CIFAR10

    for train in (True, False):
        _samples(CIFAR10(folder, train))


# ---- zip, npy, npz -----------------------------------------------------------------------------


def npy(m, array):
    """An .npy file whose header may lie."""
    shape = m.pick(
        array.shape, (2**40,), (2**62, 2**62), (-1,), (-2, -3), (1,) * 70, (0, 2**63), (1.5,), [2],
        "x", (10**4000,), (2**20, 1000), (True, 2),
    )  # fmt: skip
    kind = m.pick(
        array.dtype.str, "|O", "<f8", ">i4", "|S0", "<U4", "|V8", "f4", "a4", "<M8[s]", "|b1",
        "<c8", "<f16", "x", 1, None, [("a", "<f4")], [("a", "<f4", (10**9,))], {"names": ["a"]},
        ("u1", 3),
    )  # fmt: skip
    text = repr({"descr": kind, "fortran_order": m.pick(False, True, 1, None), "shape": shape})
    text = m.pick(
        text, text.replace(")", "L)"), text.replace("}", ""), text.replace("(", "(" * 200), "",
        "__import__('os').system('touch harmed')", "{'descr': '\\d'}", "-" * 5000 + "1", text * 2,
        "1 is 1", "[" * 9000, lambda: text + " " * 10_000_000, "{**{}}", "'\\ud800'", "{1: 1}",
        "\0", text.replace("'", "\n'"), "9" * 5000, "f'{0}'", text.replace("shape", "form"),
    )  # fmt: skip
    header = m(text.encode() + b"\n")
    version = bytes(m.pick((1, 0), (2, 0), (3, 0), (0, 0), (255, 255)))
    version = b"\2\0" if len(header) >= 2**16 else version
    form = "<H" if version == b"\1\0" else "<I"
    length = struct.pack(form, m.integer(len(header), 8 * struct.calcsize(form)))
    return m(b"\x93NUMPY" + version + length + header + m(array.tobytes()))


def zipped(m, members):
    """A zip archive of (name, content): methods, flags, sizes, checks and places may lie."""
    archive, directory, starts = b"", b"", []
    for name, content in members:
        name = m.pick(name, "../harmed", "", "/x.npy", "\x1b[2J.npy", "x" * 60_000).encode()
        if m.happens():  # nothing but zeros comes after the header of the array
            mebibytes = m.chance.choice((60, 200, 700, 4000))
            header = repr({"descr": "|u1", "fortran_order": False, "shape": (mebibytes, 2**20)})
            start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH) + zeros(mebibytes)
            method, crc, size = 8, 0, len(start) + mebibytes * 2**20
            m.done.append(f"a bomb of {mebibytes} MiB")
        else:
            method, packed = zip_packed(m, content)
            packed, size = m(packed), len(content)
            crc = zlib.crc32(content)
        method, flags = m.pick(method, 0, 8, 9, 12, 14, 99), m.pick(0, 1, 8, 0x800, 0x2041, 0xFFFF)
        fields = (
            20, flags, method, 0, 0, m.pick(crc, 0), m.integer(len(packed)), m.integer(size),
            m.integer(len(name), 16),
        )  # fmt: skip
        start = len(archive)
        archive += b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fields, 0) + name + packed
        start = m.pick(m.integer(start), *(starts or [0]))  # two that share their content
        starts.append(start)
        extra = m.pick(b"", b"\1\0\x18\0" + b"\xff" * 24, b"\1\0\xff\xff", b"\1\0\1\0a")
        directory += b"PK\1\2" + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, *fields, len(extra), 0, 0, 0, 0, start
        ) + name + extra  # fmt: skip
    count = m.integer(len(members), 16)
    end = struct.pack(
        "<HHHHIIH", 0, 0, count, count, m.integer(len(directory)), m.integer(len(archive)), 0
    )
    return m(archive + m(directory) + b"PK\5\6" + end)


def zip_packed(m, content):
    """(method, compressed content)."""
    import bz2
    import lzma

    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    deflated = packer.compress(content) + packer.flush()
    plain = (0, content) if m.happens(0.5) else (8, deflated)
    filters = [{"id": lzma.FILTER_LZMA1}]

    def lzma_packed(data):
        packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
        head = b"\x09\x04\x05\0" + lzma._encode_filter_properties(filters[0])
        return head + packer.compress(data) + packer.flush()

    return m.pick(
        plain, lambda: (12, bz2.compress(content)), lambda: (12, bz2_bomb()),
        lambda: (14, lzma_packed(content)), lambda: (14, lzma_packed(bytes(2**24)) ),
    )  # fmt: skip


@functools.cache
def bz2_bomb():
    import bz2

    return bz2.compress(bytes(2**26))


def write_npz(m, folder):
    n = m.chance.randint(1, 4)
    kinds = (np.uint8, np.float32, np.float64)
    members = []
    for part in ("train", "test"):
        shape = (n, 5, 4) if m.happens(0.5) else (n, 5, 4, m.chance.choice((1, 3)))
        kind = m.chance.choice(kinds)
        x = pixels(m, *shape) if kind is np.uint8 else (pixels(m, *shape) / 255).astype(kind)
        y = np.array([m.integer(m.chance.randrange(10), 63) for _ in range(n)], np.int64)
        y = m.pick(y, y[:-1], y[:, None], y.astype(np.float32), y - 20, y[:0])
        members += [(f"x_{part}.npy", npy(m, x)), (f"y_{part}.npy", npy(m, y))]
    (folder / "x.npz").write_bytes(zipped(m, members))


def read_npz_dataset(folder):
    from minicnn.datasets import NpzDataset

    for train in (True, False):
        _samples(NpzDataset(folder / "x.npz", train))


def write_npz_weights(m, folder):
    arrays = {k: np.ones(s, m.chance.choice("fdihbB?")) for k, s in (("a", (2, 3)), ("b", ()))}
    members = [(f"{name}.npy", npy(m, array)) for name, array in arrays.items()]
    (folder / "x.npz").write_bytes(zipped(m, members))


def read_npz_weights(folder):
    import minicnn

    minicnn.load(folder / "x.npz")


# ---- pictures ----------------------------------------------------------------------------------

WIDTH, HEIGHT = 23, 31
MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "gif": ("L", "P"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"),
    "webp": ("RGB", "RGBA"),
    "ppm": ("1", "L", "RGB"),
}


def picture_content(m, form):
    """A small picture with a dark bar on light paper."""
    from PIL import Image

    grey = np.full((HEIGHT, WIDTH), 230, np.uint8)
    grey[6:25, 9:13] = 20
    grey = np.clip(grey + pixels(m, HEIGHT, WIDTH) % 7, 0, 255).astype(np.uint8)
    mode = m.chance.choice(MODES[form])
    image = Image.fromarray(grey)
    image = Image.fromarray(grey.astype("<u2") * 257) if mode == "I;16" else image.convert(mode)
    options = {}
    if form == "tiff":
        names = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
        options["compression"] = m.chance.choice(
            (*names, "jpeg") if mode in ("L", "RGB") else names
        )
    if form == "jpeg":
        options = {"progressive": m.happens(0.3), "quality": m.chance.choice((30, 90))}
    if form == "webp":
        options["lossless"] = m.happens(0.5)
    if form in ("jpeg", "png", "webp") and m.happens(0.3):
        exif = Image.Exif()
        exif[0x112] = m.pick(m.chance.randint(1, 8), 0, 9, 2**16 - 1)  # the orientation
        options["exif"] = exif
    if form == "gif" and m.happens(0.3):
        options |= {"save_all": True, "append_images": [image, image]}
    if form == "png" and mode == "P" and m.happens(0.5):
        options["transparency"] = 0
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def write_picture(m, folder, form):
    content = picture_content(m, form)
    if form == "png":
        content = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunks(m, content))
    other = picture_content(m, m.pick(form, *MODES))
    content = m.sizes(content, WIDTH, HEIGHT, WIDTH - 1, HEIGHT - 1)
    (folder / "a").mkdir()
    (folder / "a" / f"x.{m.pick(form, 'png', 'jpg', 'bmp')}").write_bytes(m(content, other))


def png_chunks(m, content):
    """The chunks of a PNG, each changed sometimes and with the right check again."""
    at = 8
    while at < len(content):
        (n,), kind = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + n]
        at += n + 12
        if kind == b"IHDR":
            w, h, *rest = struct.unpack(">IIBBBBB", data)
            big = (9000, 16_000, 40_000, 2**31 - 1)
            w, h = m.pick((w, h), (w, 0), *((s, s) for s in (2000, 4000, 8000, 9400, *big)))
            bomb = m.pick(None, 2000, 2400, 2800, 4000, 8000)  # sound, and nothing but zeros
            w, h = (bomb, bomb) if bomb else (w, h)
            data = struct.pack(">IIBBBBB", w, h, *(m.integer(b, 8) for b in rest))
        if kind == b"IDAT":
            if bomb:
                yield chunk(kind, b"\x78\x9c" + zeros(bomb * (8 * bomb + 1) >> 20) + bytes(4))
                continue
            lines = m(zlib.decompress(data))
            data = m.pick(zlib.compress(lines), lambda: b"\x78\x9c" + zeros(250) + bytes(4))
            extra = m.pick(b"", b"tEXta\0b", lambda: b"zTXta\0\0\x78\x9c" + zeros(100) + bytes(4),
                lambda: b"iCCPa\0\0\x78\x9c" + zeros(100) + bytes(4), b"tRNS" + bytes(9),
                b"acTL" + bytes(8), b"eXIf" + m.chance.randbytes(50), b"gAMA")  # fmt: skip
            if extra:
                yield chunk(extra[:4], extra[4:])
        data = m(data)
        yield chunk(kind, data, m.integer(len(data)))


def chunk(kind, data, length=None):
    n = len(data) if length is None else length
    return struct.pack(">I", n) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read_photograph(folder):
    """As `minicnn predict` does: the model of a run of digits, and of one of colour pictures."""
    from minicnn.training import predict
    from minicnn.training.preprocessing import picture, read_image

    (path,) = (folder / "a").iterdir()
    image = read_image(path)
    picture(image, (3, 32, 32)), picture(image, (1, 28, 28))
    predict(digits_run(str(folder.parent)), [path])


@functools.cache
def digits_run(parent):
    """The folder of a run with weights of a LeNet."""
    from minicnn.models import make
    from minicnn.serialization import save_file

    folder = os.path.join(parent, "digits")
    os.mkdir(folder)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(CONFIG, file)
    save_file(make("lenet").state_dict(), os.path.join(folder, "best.safetensors"))
    return folder


def read_image_folder(folder):
    from minicnn.datasets import ImageFolder

    if (folder / "a" / "x.gif").exists():
        return  # no data sets are made of these
    dataset = ImageFolder(folder)
    dataset[0]
    dataset.in_memory()


# ---- safetensors -------------------------------------------------------------------------------


def safetensors(m, header, data):
    """A safetensors file of a header (a dict) and the tensors' bytes."""
    text = m.json(header)
    text += b" " * (-len(text) % 8)
    length = struct.pack("<Q", m.pick(m.integer(len(text), 64), 10**8, 2**23, 2**23 + 1))
    return m(length + text + m(data))


def parsed(content):
    """(header, data) of a sound safetensors file."""
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n]), content[8 + n :]


def saved(tree):
    import minicnn

    file = io.BytesIO()
    minicnn.save(tree, file)
    return file.getvalue()


def make_small():
    """A model with buffers, for weights that may not fit it."""
    from minicnn import nn

    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def write_safetensors(m, folder, nested=False):
    import minicnn

    minicnn.manual_seed(m.chance.randrange(100))
    state = make_small().state_dict()
    if nested:
        state = {
            "model": state, "epochs": (1, 2.5, None, True), 3: [minicnn.device("cpu"), "text"],
            "types": [np.dtype("f4"), np.float64(1.5), np.arange(6).reshape(2, 3)],
        }  # fmt: skip
    header, data = parsed(saved(state))
    metadata = header.pop("__metadata__")
    if nested or m.happens(0.3):
        metadata["minicnn"] = m.json(json.loads(metadata["minicnn"])).decode("utf-8", "replace")
        header["__metadata__"] = metadata
    for entry in header.values():
        if "dtype" in entry:
            entry["dtype"] = m.pick(
                entry["dtype"], "F64", "BF16", "F8_E4M3", "U64", "x", "BOOL", "C64"
            )
            entry["shape"] = [m.integer(n, 64) for n in entry["shape"]]
            entry["data_offsets"] = [m.integer(n, 64) for n in entry["data_offsets"]]
    path = folder / "x.safetensors"
    path.write_bytes(safetensors(m, header, data))
    larger = m.pick(0, 10**8)
    if larger:
        os.truncate(path, larger)


def read_metadata(folder):
    from minicnn.serialization import load_metadata

    load_metadata(folder / "x.safetensors")


def read_weights(folder):
    from minicnn.serialization import load_file

    state = load_file(folder / "x.safetensors")
    with follow_up():
        make_small().load_state_dict(state)


def read_tree(folder):
    import minicnn

    state = minicnn.load(folder / "x.safetensors")
    with follow_up():
        if isinstance(state, dict):
            state = state.get("model", state)
            make_small().load_state_dict(state if isinstance(state, dict) else {})


# ---- run folders -------------------------------------------------------------------------------

RECIPE = {
    "model": "lenet", "data": "mnist", "data_root": None, "epochs": 2, "batch_size": 40,
    "optimizer": "adam", "schedule": "onecycle", "lr": None, "val_share": 0.1, "device": "cpu",
    "seed": 0, "limit": 0,
}  # fmt: skip
CONFIG = {
    "recipe": RECIPE, "classes": [str(k) for k in range(10)], "shape": [1, 28, 28],
    "versions": {"minicnn": "0.1.0"}, "began": "2026-01-01T00:00:00+0000",
}  # fmt: skip
RECIPES = (("adam", "onecycle"), ("momentum", "cosine"), ("sgd", "step"), ("adamw", "constant"))


def write_run(m, folder):
    from minicnn.models import make

    np.savez(
        folder / "data.npz",
        **{f"x_{part}": pixels(m, 40, 28, 28) for part in ("train", "test")},
        **{f"y_{part}": np.arange(40) % 10 for part in ("train", "test")},
    )
    recipe = RECIPE | {
        "data": f"{folder.name}/data.npz",
        "model": m.chance.choice(("lenet", "lenet5")),
    }
    state = saved(make(recipe["model"]).state_dict())
    classes = m.pick(CONFIG["classes"], lambda: [""] * 250_000, ["x"] * 1000, ["\x1b[2J"] * 10)
    config = CONFIG | {"recipe": recipe, "classes": classes}
    (folder / "config.json").write_bytes(m.json(config))
    (folder / "best.safetensors").write_bytes(m(state))


def read_run(folder):
    from minicnn.training import load_model
    from minicnn.training.workflow import recipe_of

    load_model(folder)
    recipe = recipe_of(folder)
    with follow_up():
        recipe.build()


def small_trainer(number):
    from crash import data, model

    from minicnn import manual_seed
    from minicnn.training import Trainer

    manual_seed(number)
    optimizer, schedule = RECIPES[number]
    return Trainer(
        model(), *data(), epochs=2, batch_size=40, lr=0.01, optimizer=optimizer, schedule=schedule
    )


@functools.cache
def checkpoint(number):
    """A checkpoint from the middle of the second of two epochs."""
    found = []

    class Keeper:
        def step(self, trainer):
            if (trainer.epoch, trainer.batch) == (2, 1):
                found.append(saved(trainer.state_dict() | {"recipe": RECIPE | {"seed": number}}))

        def epoch(self, trainer):
            pass

    small_trainer(number).fit(checkpoints=Keeper())
    return found[0]


def write_checkpoint(m, folder, tree=False):
    import minicnn

    number = m.chance.randrange(len(RECIPES))
    content = checkpoint(number)
    if tree:
        m.layer_rate = min(1.0, 10 * m.layer_rate)
        tensors = [*map(minicnn.zeros, ((), (0,), (2, 3), (120,)))]
        tensors += minicnn.tensor([True]), minicnn.tensor([7]), minicnn.tensor(math.nan)
        changed = m.tree(minicnn.load(io.BytesIO(content)), (*ODD, *tensors))
        with contextlib.suppress(TypeError, ValueError, RecursionError):  # else as it was
            content = saved(changed)
    else:
        if m.happens(0.5):
            header, data = parsed(content)
            metadata = header["__metadata__"]
            metadata["minicnn"] = m.json(json.loads(metadata["minicnn"])).decode("utf-8", "replace")
            content = safetensors(m, header, data)
        content = m(content, checkpoint((number + 1) % 4))
    (folder / "checkpoint.safetensors").write_bytes(content)
    config = CONFIG | {"recipe": RECIPE | {"seed": number}}
    (folder / "config.json").write_text(json.dumps(config))


def read_checkpoint(folder):
    from minicnn.training import Run, read_config

    trainer = small_trainer(read_config(folder)["recipe"]["seed"])
    with Run.open(folder) as run:
        run.load(trainer)
    with follow_up():
        trainer.fit()


# ---- the tables --------------------------------------------------------------------------------

PY, BIN = "cifar-10-batches-py", "cifar-10-batches-bin"
FORMATS = {
    "idx": (write_idx, read_idx_file),
    "idx.gz": (functools.partial(write_idx, packed=True), read_idx_file),
    "MNIST folder": (write_mnist, read_mnist),
    "CIFAR-10 python": (functools.partial(write_cifar, layout=PY), read_cifar),
    "CIFAR-10 binary": (functools.partial(write_cifar, layout=BIN), read_cifar),
    "CIFAR-10 python.tar.gz": (functools.partial(write_cifar_archive, layout=PY), read_cifar),
    "CIFAR-10 binary.tar.gz": (functools.partial(write_cifar_archive, layout=BIN), read_cifar),
    "npz data": (write_npz, read_npz_dataset),
    "npz weights": (write_npz_weights, read_npz_weights),
    **{
        form: (functools.partial(write_picture, form=form), read_photograph, read_image_folder)
        for form in MODES
    },
    "safetensors": (write_safetensors, read_metadata, read_weights, read_tree),
    "safetensors tree": (functools.partial(write_safetensors, nested=True), read_tree),
    "run config": (write_run, read_run),
    "run checkpoint": (write_checkpoint, read_checkpoint),
    "run checkpoint tree": (functools.partial(write_checkpoint, tree=True), read_checkpoint),
}

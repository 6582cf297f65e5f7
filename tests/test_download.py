"""download against a server on this machine that is good, corrupt, slow to stop, or not there."""

import errno
import hashlib
import http.server
import io
import socket
import sys
import threading

import numpy as np
import pytest
from files import cifar_archive, fill

from minicnn.datasets import CIFAR10, FashionMNIST
from minicnn.datasets.download import download
from minicnn.errors import ArgumentError, DataError

CONTENT = np.random.default_rng(0).bytes(600_000)
MD5, SIZE = hashlib.md5(CONTENT).hexdigest(), len(CONTENT)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /name by the function `answers[name]`, which gets the handler."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.answers[self.path.rpartition("/")[2]](self)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Neither joins nor reports its threads: clients here break connections off."""

    block_on_close = False

    def handle_error(self, request, client_address):
        pass


def sends(content, length=None):
    """An answer with this content, whose header may promise another length (None: none)."""

    def answer(handler):
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def redirects(target):
    """An answer that sends the client elsewhere."""

    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


ANSWERS = {
    "good": sends(CONTENT, len(CONTENT)),
    "unannounced": sends(CONTENT),
    "corrupt": sends(CONTENT[:-1] + b"x", len(CONTENT)),
    "short": sends(CONTENT[:-9], len(CONTENT)),
    "shorter": sends(CONTENT[:-9]),
    "long": sends(CONTENT + bytes(2**24)),
    "empty": sends(b"", 0),
    "page": sends(b"<html>Sign in</html>"),
    "missing": lambda handler: handler.send_error(404),
    "broken": lambda handler: handler.wfile.write(b"rubbish\r\n\r\n"),
    "moved": redirects("good"),
    "file": redirects("file:///etc/hostname"),
    "ftp": redirects("ftp://127.0.0.1/x"),
    "round": redirects("round"),
}


@pytest.fixture(scope="module")
def served():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked = dict(ANSWERS), []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(served, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served.asked.clear()
    served.url = f"http://127.0.0.1:{served.server_port}/"
    return served


def get(server, names, target):
    download([server.url + name for name in names], target, md5=MD5, size=SIZE)


@pytest.mark.parametrize("name", ["good", "unannounced", "moved"])
def test_a_good_mirror(server, tmp_path, name, capsys):
    target = tmp_path / "new" / "folder" / "file.gz"
    get(server, [name, "corrupt"], target)
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["file.gz"]
    assert f"/{name}" in server.asked
    assert "/corrupt" not in server.asked
    assert capsys.readouterr().err == ""  # no terminal, no progress


FAILURES = {
    "corrupt": f"expected MD5 {MD5}, found [0-9a-f]{{32}}",
    "short": r"expected 600000 bytes, found 599991 \(cut short\)|IncompleteRead.*",
    "shorter": r"expected 600000 bytes, found 599991 \(cut short\)",
    "long": "expected 600000 bytes, found more",
    "empty": r"expected 600000 bytes, found 0 \(cut short\)",
    "page": r"found 20 \(cut short\)",
    "missing": "HTTP 404 Not Found",
    "broken": "rubbish",
    "file": "HTTP 302 .*not allowed.*",
    "ftp": "unknown url type: ftp",
    "round": "HTTP 302 .*infinite loop.*",
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_next_mirror_is_tried(server, tmp_path, name):
    target = tmp_path / "file.gz"
    get(server, [name, "good"], target)
    assert target.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["file.gz"]


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_says_why_and_what_to_do(server, tmp_path, name):
    target = tmp_path / "file.gz"
    target.write_bytes(b"older")
    with pytest.raises(DataError, match=FAILURES[name]) as found:
        get(server, [name], target)
    text = str(found.value)
    assert "\n" not in text
    assert text.startswith(f"file.gz could not be downloaded (127.0.0.1:{server.server_port}: ")
    assert text.endswith(f"put it into {tmp_path} (600000 bytes, MD5 {MD5})")
    assert target.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["file.gz"]


def test_every_mirrors_reason_is_told(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]  # nobody listens there once it is closed
    urls = [f"http://127.0.0.1:{closed}/x", server.url + "missing", server.url + "short"]
    with pytest.raises(DataError) as found:
        download(urls, tmp_path / "f", md5=MD5, size=len(CONTENT))
    reasons = str(found.value).partition("(")[2].split("; ")
    assert reasons[0] == f"127.0.0.1:{closed}: Connection refused"
    assert "HTTP 404" in reasons[1]
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_left(server, tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.datasets.download.TIMEOUT", 0.2)
    done = threading.Event()

    def stops(handler):
        sends(CONTENT[:300_000], len(CONTENT))(handler)
        done.wait(10)

    monkeypatch.setitem(server.answers, "stops", stops)
    with pytest.raises(DataError, match="timed out"):
        get(server, ["stops"], tmp_path / "f")
    get(server, ["stops", "good"], tmp_path / "f")
    done.set()
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_an_endless_file_is_not_read_to_its_end(server, tmp_path, monkeypatch):
    sent, over = [], threading.Event()

    def endless(handler):
        sends(b"")(handler)
        try:
            for _ in range(10_000):
                handler.wfile.write(bytes(2**16))
                sent.append(2**16)
        finally:
            over.set()

    monkeypatch.setitem(server.answers, "endless", endless)
    with pytest.raises(DataError, match="found more"):
        get(server, ["endless"], tmp_path / "f")
    assert over.wait(10)
    assert sum(sent) < 2**25


def test_interrupted(server, tmp_path, monkeypatch):
    def interrupt(name, count, size):
        assert len(list(tmp_path.iterdir())) == 1  # the temporary file
        raise KeyboardInterrupt

    monkeypatch.setattr("minicnn.datasets.download._show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(server, ["good"], tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_the_mirrors_fault(server, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"f: cannot be written: No space left on device$"):
        get(server, ["good", "good"], tmp_path / "f")
    assert server.asked == ["/good"]
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"taken/below: cannot be made: Not a directory$"):
        get(server, ["good"], tmp_path / "taken" / "below" / "f")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: cannot be written: Is a directory$"):
        get(server, ["good"], tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "taken"]


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "a/b", "data:,x"])
def test_only_http(tmp_path, url):
    with pytest.raises(ArgumentError, match=r"expected a URL of http or https, found '"):
        download([url], tmp_path / "f", md5=MD5, size=1)


def test_progress_on_a_terminal(server, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    get(server, ["good"], tmp_path / "digits.gz")
    assert terminal.getvalue().startswith("\rdigits.gz: 0.3 of 0.6 MB\r")
    assert terminal.getvalue().endswith("\rdigits.gz: 0.6 of 0.6 MB\n")


# ---- the data sets that download ---------------------------------------------------------------


def serve_fashion(server, monkeypatch, tmp_path):
    """A tiny FashionMNIST behind the second of two mirrors; returns the bytes of its files."""
    contents = {}
    for part in ("train", "t10k"):
        fill(tmp_path / "origin", part=part)
    for path in (tmp_path / "origin").iterdir():
        contents[path.name] = path.read_bytes()
        monkeypatch.setitem(server.answers, path.name, sends(path.read_bytes()))
    remote = {
        name.removesuffix(".gz"): type(old)(len(c), hashlib.md5(c).hexdigest())
        for (name, c), old in zip(contents.items(), FashionMNIST.remote.values(), strict=True)
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(FashionMNIST, "remote", remote)
    monkeypatch.setattr(FashionMNIST, "mirrors", (closed, server.url))
    monkeypatch.setattr("minicnn.datasets.digits.DEBIAN", tmp_path / "nowhere")
    return contents


def test_fashion_mnist_is_downloaded_once(server, tmp_path, monkeypatch):
    contents = serve_fashion(server, monkeypatch, tmp_path)
    dataset = FashionMNIST(tmp_path / "data", download=True)
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    assert {p.name: p.read_bytes() for p in raw.iterdir()} == contents
    assert dataset.targets.tolist() == [3, 1, 4, 1, 5]
    assert len(server.asked) == 4
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    FashionMNIST(tmp_path / "data", download=True)  # the training set is there
    assert len(server.asked) == 4
    assert len(FashionMNIST(tmp_path / "data", train=False, download=True)) == 5
    assert server.asked[4:] == ["/t10k-labels-idx1-ubyte.gz"]


def test_fashion_mnist_offline(server, tmp_path, monkeypatch):
    serve_fashion(server, monkeypatch, tmp_path)
    monkeypatch.setattr(FashionMNIST, "mirrors", FashionMNIST.mirrors[:1])
    with pytest.raises(DataError) as found:
        FashionMNIST(tmp_path / "data", download=True)
    assert "-ubyte.gz could not be downloaded (127.0.0.1" in str(found.value)
    assert f"put it into {tmp_path / 'data' / 'FashionMNIST' / 'raw'} (" in str(found.value)
    assert not list((tmp_path / "data" / "FashionMNIST" / "raw").iterdir())


def test_cifar_is_downloaded_as_the_archive(server, tmp_path, monkeypatch):
    content = cifar_archive(tmp_path / "made", "cifar-10-batches-py").read_bytes()
    monkeypatch.setitem(server.answers, "cifar-10-python.tar.gz", sends(content))
    remote = type(CIFAR10.remote)(len(content), hashlib.md5(content).hexdigest())
    monkeypatch.setattr(CIFAR10, "remote", remote)
    monkeypatch.setattr(CIFAR10, "mirrors", (server.url,))
    first = CIFAR10(tmp_path / "data", download=True)
    again = CIFAR10(tmp_path / "data", download=True)
    np.testing.assert_array_equal(first.data, again.data)
    assert server.asked == ["/cifar-10-python.tar.gz"]
    monkeypatch.setattr(CIFAR10, "remote", remote._replace(md5="0" * 32))
    with pytest.raises(DataError, match=f"found {remote.md5}"):
        CIFAR10(tmp_path / "other", download=True)
    assert not list((tmp_path / "other").iterdir())


def test_published_checksums():
    """Four of torchvision's, and the sizes that servers report."""
    assert FashionMNIST.remote["train-images-idx3-ubyte"].size == 26421880
    assert CIFAR10.remote == (170498071, "c58f30108f718f92721af3b95e74349a")
    assert len({r.md5 for r in FashionMNIST.remote.values()}) == 4

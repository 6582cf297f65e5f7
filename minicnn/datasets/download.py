"""download: one file from the first mirror that has it whole, or an error that says what to do."""

import hashlib
import http.client
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ArgumentError, DataError

TIMEOUT = 20.0  # seconds without a byte
CHUNK = 2**18


def download(urls: Sequence[str], target: "str | os.PathLike[str]", *, md5: str, size: int) -> None:
    """Puts a file in its place, whole and checked, or leaves the place as it was.

    The mirrors are tried in order.  What arrives is written beside the target under another name,
    of which nothing remains after a failure, and takes the target's name once length and checksum
    are right.  Nothing is resumed.  On a terminal a line on stderr shows how far it is.

    Parameters
    ----------
    urls
        Where the file may be had, by http or https.
    target
        The file to make; its folder is made too.
    md5
        Its checksum, as hexadecimal digits.
    size
        Its length in bytes.

    Raises
    ------
    ArgumentError
        For a URL that is neither http nor https.
    DataError
        If no mirror gives the right file, with each mirror's reason, or it cannot be written.
    """
    target = Path(target)
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ArgumentError(f"download: expected a URL of http or https, found {url!r}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target.parent}: cannot be made: {error.strerror}") from None
    failures = []
    for url in urls:
        reason = _attempt(url, target, md5, size)
        if reason is None:
            return
        failures.append(f"{urlsplit(url).netloc}: {reason}")
    raise DataError(
        f"{target.name} could not be downloaded ({'; '.join(failures)}); "
        f"get it elsewhere and put it into {target.parent} ({size} bytes, MD5 {md5})"
    )


def _attempt(url: str, target: Path, md5: str, size: int) -> str | None:
    """None once the target is in place, or why this mirror did not give it."""
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as file:
            reason = _copy(url, file, target.name, md5, size)
            file.flush()
            os.fsync(file.fileno())
        if reason is None:
            os.replace(temporary, target)
        return reason
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:  # after Ctrl-C too
        temporary.unlink(missing_ok=True)


def _copy(url: str, file: Any, name: str, md5: str, size: int) -> str | None:
    """Writes the file; None if it is what it should be, else the reason.

    Only what comes from the network is a reason to try the next mirror: an error of the disk
    passes through.
    """
    digest, count = hashlib.md5(usedforsecurity=False), 0
    for chunk in _chunks(url, size + 1):
        if isinstance(chunk, str):
            return chunk
        file.write(chunk)
        digest.update(chunk)
        count += len(chunk)
        _show(name, count, size)
    if count != size:
        there = "more" if count > size else f"{count} (cut short)"
        return f"expected {size} bytes, found {there}"
    checksum = digest.hexdigest()
    return None if checksum == md5 else f"expected MD5 {md5}, found {checksum}"


def _chunks(url: str, limit: int) -> Iterator[bytes | str]:
    """Up to limit bytes of a URL, in pieces; at the end a text if it failed."""
    try:
        with _opener().open(url, timeout=TIMEOUT) as response:
            while limit > 0 and (chunk := response.read(min(CHUNK, limit))):
                limit -= len(chunk)
                yield chunk
    except urllib.error.HTTPError as error:
        yield " ".join(f"HTTP {error.code} {error.reason}".split())
        error.close()
    except urllib.error.URLError as error:
        yield str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        yield " ".join(str(error).split()) or type(error).__name__


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https, redirections between them, and nothing else (no ftp, no file)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _show(name: str, count: int, size: int) -> None:
    """The line of progress."""
    if sys.stderr.isatty():
        end = "\n" if count >= size else ""
        line = f"\r{name}: {count / 1e6:.1f} of {size / 1e6:.1f} MB"
        print(line, end=end, file=sys.stderr, flush=True)

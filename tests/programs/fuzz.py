"""Reads thousands of damaged and hostile files, and looks at how each is refused.

    python tests/programs/fuzz.py              (10,000 files, about 4 minutes on 2 cores)
    python tests/programs/fuzz.py --files 1000 --seed 3
    python tests/programs/fuzz.py --only 4711  (one file again)

File n is of format n % len(FORMATS), made and changed after the seed and n alone.  Its readers must
return, or raise a MinicnnError of one printable line that names the file; without a warning, a word
printed, another file touched, 2 s of processor time or 256 MiB of memory.  A sound file must be
read.  Each file is read in a forked process, so that the kernel can stop a hang, a crash is known
by its number, and memory is that of the file alone.  Linux only.
"""

import argparse
import collections
import ctypes
import faulthandler
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # tests/, where the helpers are

from fuzz_formats import FORMATS
from mutations import Mutation, Sound
from planted import PLANTED

BATCH = 2500  # files that one process reads
SECONDS = 2.0  # of processor time that a file may take
WAIT = 60.0  # seconds of any time
MEMORY = 256 * 2**20  # bytes of address space, and of pages in it
FORBIDDEN = 2**30  # bytes above which an allocation fails, so that no machine is harmed
LONGEST = 1000  # characters of a message


# ---- a worker --------------------------------------------------------------------------------


def worker(seed, formats, first, count):
    """Writes files, and a line of JSON about each to the standard output."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as parent:
        os.chdir(parent)
        for name in set(formats) & set(FORMATS):  # imports and caches are no file's fault
            write, *readers = entry(name)
            folder = Path(parent) / "sound"
            folder.mkdir()
            write(Sound(), folder)
            for read in readers:
                judge(read, folder, sound=True)
            shutil.rmtree(folder)
        gc.freeze()
        for number in range(first, first + count):
            about = case(seed, formats[number % len(formats)], number, Path(parent))
            print(json.dumps(about), file=results, flush=True)


def entry(name):
    """A format's writer and readers."""
    return (FORMATS | PLANTED)[name]


def case(seed, name, number, parent):
    """Writes one file, and says what happened when a child of this process read it."""
    write, *readers = entry(name)
    m, folder = Mutation(f"{seed} {number}"), parent / f"case{number}"
    folder.mkdir()
    write(m, folder)
    ctypes.CDLL(None).malloc_trim(0)  # or memory that is free already would hide what a file takes
    there, printed = set(os.listdir(parent)), os.fstat(2).st_size
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(sending, json.dumps(read_all(readers, folder, not m.done)).encode())
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    _, status, used = os.wait4(child, 0)
    words = os.pread(2, 3000, printed).decode(errors="replace")
    about = {"refused": False, "message": "", "memory": 0, "findings": []}
    if answer:
        about |= json.loads(answer)
    else:
        about["findings"] += [crashed(os.waitstatus_to_exitcode(status), words)]
    tiff = any(path.read_bytes()[:2] in (b"II", b"MM") for path in folder.glob("a/*"))
    if answer and words and not tiff:  # libtiff prints past PIL, and cannot be stopped
        about["findings"] += [f"printed: {words}"]
    written = [*folder.rglob("harmed"), *set(os.listdir(parent)) - there - {"digits"}]
    about["findings"] += [f"{path} was written" for path in written]
    shutil.rmtree(folder)
    about |= {"number": number, "format": name, "done": m.done}
    return about | {"seconds": used.ru_utime + used.ru_stime}


def crashed(code, words):
    """What is known of a child that did not end well."""
    what = f"the process ended with code {code}"
    if -code in (signal.SIGPROF, signal.SIGALRM):
        what = f"it hangs: more than {SECONDS:g} s of processor time, or {WAIT:g} s"
    return f"{what}\n{words}"


def read_all(readers, folder, sound):
    """Reads a format's file with each of its readers, in a process of its own."""
    base = _memory("VmSize", "VmRSS")  # the peaks are that too: they begin anew after a fork
    resource.setrlimit(resource.RLIMIT_AS, (base[0] + FORBIDDEN,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    judged = []
    for read in readers:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        judged.append(judge(read, folder, sound))
    memory = max(b - a for a, b in zip(base, _memory("VmPeak", "VmHWM"), strict=True))
    findings = [finding[:2000] for _, found in judged for finding in found][:10]
    if memory > MEMORY:
        findings.append(f"{memory >> 20} MiB of memory")
    messages = [message for message, _ in judged if message]
    return {
        "refused": bool(messages), "message": "; ".join(messages), "memory": memory,
        "findings": findings,
    }  # fmt: skip


def judge(read, folder, sound):
    """(the message of the refusal, what is wrong about it) of one reader."""
    findings, message = [], ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            read(folder)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of the safetensors library is no Exception
            message = f"{type(error).__name__}: {error}"[:LONGEST]
            findings = list(complaints(error, folder))
            if sound:
                findings.append(f"a sound file was refused: {message}")
    findings += [f"{w.category.__name__}: {w.message}" for w in warned]
    return message, findings


def complaints(error, folder):
    """What is wrong with an error that a reader raised."""
    from minicnn.errors import MinicnnError

    message = str(error)
    if not isinstance(error, MinicnnError):
        yield "".join(traceback.format_exception(error)[-6:])
        return
    # The one message of several lines is the recipe that converts PyTorch's pickles.
    if not message.replace("\n", "" if ": is a pickle" in message else "\n").isprintable():
        yield f"the message is not one printable line: {message!r:.500}"
    if str(folder) not in message:
        yield f"the message does not name the file: {message:.500}"
    if len(message) > LONGEST:
        yield f"the message has {len(message)} characters: {message:.500}"
    cause = error.__context__
    while cause is not None:
        if isinstance(cause, MemoryError) and "too complex" not in str(cause):
            yield f"memory ran out: {message:.500}"
            break
        cause = cause.__context__


def _memory(*names):
    """Figures of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        figures = dict(line.split(":", 1) for line in file)
    return [int(figures[name].split()[0]) * 1024 for name in names]


# ---- the judge -------------------------------------------------------------------------------


def batch(seed, formats, first, count):
    """What happened with these files."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "worker", seed, ",".join(formats), first, count]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.run(
            list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=errors
        )
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"the fuzz test itself failed: {errors.read().decode()[-5000:]}")
    return [json.loads(line) for line in process.stdout.splitlines()]


def fuzz(files, seed, formats=None, first=0, jobs=None):
    """A row (a dict) for each of so many files."""
    formats = list(FORMATS) if formats is None else formats
    jobs = jobs or os.cpu_count()
    size = max(1, min(BATCH, -(-files // jobs)))
    with ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(
            lambda start: batch(seed, formats, start, min(size, first + files - start)),
            range(first, first + files, size),
        )
        return [row for part in parts for row in part]


def table(rows):
    """Lines of figures, one for each format."""
    lines = [f"{'format':24}{'files':>7}{'refused':>9}{'read':>7}{'slowest':>10}{'memory':>10}"]
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["format"]].append(row)
    for name, group in [*groups.items(), ("all", rows)]:
        refused = sum(row["refused"] for row in group)
        slowest, largest = (max(row[k] for row in group) for k in ("seconds", "memory"))
        lines.append(
            f"{name:24}{len(group):7,}{refused:9,}{len(group) - refused:7,}{slowest:8.2f} s"
            f"{max(0, largest) >> 20:6} MiB"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", help="names of the table, with commas; all if left out")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this file alone")
    options = parser.parse_args()
    formats = options.formats.split(",") if options.formats else None
    if options.only is not None:
        rows = fuzz(1, options.seed, formats, options.only)
        print(json.dumps(rows, indent=1))
    else:
        rows = fuzz(options.files, options.seed, formats)
        print("\n".join(table(rows)))
    bad = [row for row in rows if row["findings"]]
    for row in bad:
        print(f"\nfile {row['number']} ({row['format']}): {'; '.join(row['done'])}")
        print("\n".join(row["findings"]))
    slowest = max(rows, key=lambda row: row["seconds"])
    print(f"\n{len(bad)} findings in {len(rows):,} files; the slowest is file {slowest['number']}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        seed, formats, first, count = sys.argv[2:]
        worker(seed, formats.split(","), int(first), int(count))
    else:
        main()

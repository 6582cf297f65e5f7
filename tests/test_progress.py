"""Views: what is shown of a training, where, how often, and that nothing shown can stop it."""

import errno
import importlib
import io
import json
import math
import os
import re
import subprocess
import sys
import types
import warnings

import pytest

from minicnn.errors import DataError, MinicnnError
from minicnn.training import progress

START = {"epochs": 2, "batches": 10, "batch_size": 50, "epoch": 1, "batch": 0, "history": []}


def now(epoch, batch, loss=0.25, accuracy=0.5):
    return {
        "epoch": epoch, "epochs": 2, "batch": batch, "batches": 10, "loss": loss,
        "accuracy": accuracy, "examples": 50 * batch,
    }  # fmt: skip


def row(epoch, val_loss=0.3, val_acc=0.875):
    return {
        "epoch": epoch, "train_loss_all": 0.5, "val_loss_all": val_loss, "train_acc_all": 0.75,
        "val_acc_all": val_acc, "learning_rate": 1e-3, "seconds": 12.34,
    }  # fmt: skip


def show(view, clock=None, seconds=0.0):
    """A whole training of two epochs, each step taking so many seconds of the clock."""
    view.start(START)
    for epoch in (1, 2):
        for batch in range(1, 11):
            if clock is not None:
                clock.time += seconds
            view.batch(now(epoch, batch))
        view.epoch(row(epoch))
    view.stop()


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only when told to."""
    clock = types.SimpleNamespace(time=100.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.time)
    return clock


# ---- the pace --------------------------------------------------------------------------------


def test_the_speed_is_that_of_the_last_seconds(clock):
    pace = progress.Pace({"epochs": 1, "batches": 10_000, "batch_size": 10, "epoch": 1, "batch": 0})
    step = 0
    for rate, seconds in [(5, 60), (100, 10)]:  # slow at first, as a compiling first step is
        for _ in range(seconds):
            clock.time += 1
            step += rate
            pace.update(now(1, step))
    assert pace.speed == pytest.approx(1000)


def test_the_time_left_right_after_a_resume(clock):
    """Epoch 8 of 10 again: steps that another process made count as done, not as fast."""
    start = {"epochs": 10, "batches": 100, "batch_size": 1, "epoch": 8, "batch": 50}
    pace = progress.Pace(start)
    assert math.isnan(pace.left)
    clock.time += 2
    pace.update({"epoch": 8, "batch": 54})
    assert pace.left == pytest.approx((1000 - 754) * 2 / 4)


def test_validation_is_part_of_the_time_left_but_not_of_the_speed(clock):
    pace = progress.Pace(START)
    clock.time += 10
    pace.update(now(1, 10))
    clock.time += 5
    pace.end_epoch(1)
    assert pace.left == pytest.approx(15)
    clock.time += 1
    pace.update(now(2, 1))
    assert pace.speed == pytest.approx(50)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600 * 25 + 61, "25:01:01"), (math.nan, "-")],
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


# ---- lines -----------------------------------------------------------------------------------


def test_one_line_per_epoch(capsys):
    show(progress.Lines())
    assert capsys.readouterr().out.splitlines() == [
        f"epoch  {i}  loss 0.5000  accuracy 75.00%  val loss 0.3000  accuracy 87.50%  12.3 s"
        for i in (1, 2)
    ]


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_an_epoch_without_validation(nothing):
    assert progress.epoch_line(row(3, nothing, nothing)) == (
        "epoch  3  loss 0.5000  accuracy 75.00%  12.3 s"
    )


def test_a_line_every_thirty_seconds_of_a_long_epoch(clock, capsys):
    show(progress.Lines(), clock, seconds=12)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:17] for line in lines[:4]] == [
        "epoch  1, step 3 ", "epoch  1, step 6 ", "epoch  1, step 9 ", "epoch  1  loss 0.",
    ]  # fmt: skip
    assert lines[0] == (
        "epoch  1, step 3 of 10  loss 0.2500  accuracy 50.00%  4 examples/s  3:24 left"
    )
    assert len(lines) == 8


SCRIPT = """
import pathlib, time
from minicnn.training import progress
view = progress.{view}
view.note("begun \\u2026")
view.start(dict(epochs=3, batches=4, batch_size=10, epoch=1, batch=0))
for epoch in range(1, 4):
    for batch in range(1, 5):
        time.sleep(0.03)
        view.batch(dict(epoch=epoch, epochs=3, batch=batch, batches=4, loss=1.5, accuracy=0.25,
                        examples=10 * batch))
    view.epoch(dict(epoch=epoch, train_loss_all=1.5, val_loss_all=None, train_acc_all=0.25,
                    val_acc_all=None, learning_rate=0.1, seconds=0.1))
view.note("a [bold] n\\u00f6te")
view.stop()
view.note("after")
pathlib.Path({done!r}).write_text("trained")
"""


def script(view, done=os.devnull):
    return [sys.executable, "-W", "error", "-c", SCRIPT.format(view=view, done=str(done))]


def test_a_broken_pipe_does_not_stop_the_training(tmp_path):
    done = tmp_path / "done"
    command = script("Lines()", done)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"begun")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0
    assert done.read_text() == "trained"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_log_is_said_once(tmp_path):
    done = tmp_path / "done"
    with open("/dev/full", "w") as full:
        out = subprocess.run(
            script("Lines()", done), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert out.returncode == 0
    assert out.stderr == "minicnn: standard output: No space left on device\n"
    assert done.read_text() == "trained"


def test_lines_in_a_poor_encoding():
    env = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    out = subprocess.run(script("Lines()"), env=env, capture_output=True, check=True)
    assert out.stdout.splitlines()[0] == b"begun ?"


# ---- the bar, on a terminal ------------------------------------------------------------------


def on_terminal(view="Bar()", columns=100, **environment):
    """All that the script writes to a terminal of its own."""
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = (pytest.importorskip(m) for m in ("fcntl", "struct", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    env |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environment
    with subprocess.Popen(script(view), stdin=theirs, stdout=theirs, stderr=theirs, env=env) as p:
        os.close(theirs)
        content = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody writes to it any more
                break
            if not part:
                break
            content += part
    os.close(ours)
    assert p.returncode == 0, content
    return content.decode()


def screen(content, columns):
    """What stands on the terminal in the end: lines, by as little of a terminal as rich uses."""
    lines, y, x = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", content):
        if part == "\n":
            y += 1
        elif part == "\r":
            x = 0
        elif part.startswith("\x1b["):
            if part.endswith("A"):
                y = max(0, y - int(part[2:-1] or 1))
            elif part.endswith("K"):
                lines[y] = ""
            else:
                assert part[-1] in "mlh", part
        else:
            if x == columns:
                y, x = y + 1, 0
            lines += [""] * (y + 1 - len(lines))
            lines[y] = lines[y].ljust(x)[:x] + part + lines[y][x + 1 :]
            x += 1
        lines += [""] * (y + 1 - len(lines))
    return [line.rstrip() for line in lines if line.strip()]


LEFT_ON_SCREEN = [
    "begun …",
    *(f"epoch  {i}  loss 1.5000  accuracy 25.00%  0.1 s" for i in (1, 2, 3)),
    "a [bold] nöte",
    "after",
]


@pytest.mark.parametrize(
    ("columns", "environment"),
    [
        (100, {}),
        (47, {"TERM": "vt100"}),
        (60, {"NO_COLOR": "1"}),
        (100, {"TERM": "dumb"}),
        (100, {"TERM": "linux", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}),
    ],
    ids=["xterm", "narrow", "no colour", "dumb", "ascii"],
)
def test_the_bar_leaves_the_history_and_nothing_else(columns, environment):
    content = on_terminal(columns=columns, **environment)
    ascii_only = "PYTHONIOENCODING" in environment
    expected = [re.sub("[…ö]", "?", line) if ascii_only else line for line in LEFT_ON_SCREEN]
    assert screen(content, columns) == expected
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in content
        return
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content)
    assert re.search(r"epoch [12]/3 .*loss 1\.5000", drawn)
    if columns == 100:
        bar = r"-+ -*" if ascii_only else r"━+[╸╺]━*"
        assert re.search(
            rf"epoch 2/3 {bar} loss 1.5000  accuracy 25.00%  [\d,]+ examples/s  0:00 left", drawn
        )
    if ascii_only:
        assert content.isascii()
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", content)


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_the_bar_never_wraps(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    bar = progress.Bar()
    bar.start(START | {"epochs": 100})
    for shown in (bar.now, now(1, 3) | {"epochs": 100}):
        bar.now = shown
        bar._fit()
        (segments,) = bar.console.render_lines(bar.progress.get_renderable(), pad=False)
        line = "".join(segment.text for segment in segments)
        assert len(line.rstrip()) < columns
        assert line.startswith("epoch 1/100")
        assert "…" not in line  # nothing is cut
        assert ("━" * 7 in line) == (columns >= 60 or (columns >= 40 and "loss" not in line))
    bar.stop()


def test_the_bar_is_drawn_ten_times_a_second(clock, monkeypatch):
    drawn = []
    bar = progress.Bar()
    bar.start(START)
    monkeypatch.setattr(bar.progress, "refresh", lambda: drawn.append(bar.now["batch"]))
    for batch in range(1, 1001):
        clock.time += 0.01
        bar.batch(now(1, batch))
    assert 90 <= len(drawn) <= 101
    bar.stop()


def test_a_terminal_that_is_gone_does_not_stop_the_training(monkeypatch):
    def gone(*args, **options):
        raise OSError(errno.EIO, "Input/output error")

    bar = progress.Bar()
    bar.start(START)
    monkeypatch.setattr(bar.progress, "refresh", gone)
    monkeypatch.setattr(bar.console, "print", gone)
    monkeypatch.setattr(progress.os, "dup2", lambda *numbers: None)
    bar.batch(now(1, 1))
    bar.epoch(row(1))
    monkeypatch.undo()
    bar.stop()
    bar.stop()  # the second time does nothing


def test_picks_by_what_standard_output_is(monkeypatch):
    def standard_output(terminal, term):
        monkeypatch.setattr("sys.stdout", types.SimpleNamespace(isatty=lambda: terminal))
        monkeypatch.setenv("TERM", term)
        return type(progress.pick())

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert standard_output(True, "xterm") is progress.Bar
    assert standard_output(True, "dumb") is progress.Lines
    assert standard_output(False, "xterm") is progress.Lines
    monkeypatch.setattr("sys.stdout", None)
    assert type(progress.pick()) is progress.Lines


# ---- notebook --------------------------------------------------------------------------------


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for IPython in a kernel: displays by number, the last content of each."""
    displays = []

    class Handle:
        def __init__(self, content):
            self.updates = [content]
            displays.append(self)

        update = property(lambda self: self.updates.append)

    def display(content, display_id):
        assert display_id is True
        return Handle(content)

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.version_info = (9, 0)  # matplotlib asks
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.HTML = str
    ipython.display.Image = lambda data, format, width: data
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return displays


def test_a_notebook_is_found_and_a_shell_is_not(notebook, monkeypatch):
    assert type(progress.pick()) is progress.Notebook
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: object())
    assert type(progress.pick()) is not progress.Notebook
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert type(progress.pick()) is not progress.Notebook


def test_a_notebook_keeps_its_table_and_curves(notebook, clock):
    show(progress.Notebook(), clock, seconds=0.5)
    table, picture = notebook
    final = table.updates[-1]
    assert "done of 20 steps" in final
    cells = re.findall(r"<td>(.*?)</td>", final)
    assert cells[:7] == ["1", "0.5000", "0.3000", "75.00%", "87.50%", "0.001", "12.3"]
    assert cells[7] == "2"
    assert picture.updates[-1].startswith(b"\x89PNG")
    running = table.updates[1]
    assert "epoch 1 of 2: loss 0.2500, accuracy 50.00%, 100 examples/s, 0:10 left" in running
    assert "<progress value='1' max='20'>" in running
    assert 10 <= len(table.updates) <= 14  # 10 seconds, 2 epochs, start and end
    assert len(picture.updates) == 3  # each epoch, and the end


def test_fast_epochs_draw_at_most_one_picture_a_second(notebook, clock):
    view = progress.Notebook()
    view.start(START | {"epochs": 50})
    for epoch in range(1, 51):
        clock.time += 0.1
        view.epoch(row(epoch))
    _, picture = notebook
    assert 4 <= len(picture.updates) <= 6
    view.stop()
    view.stop()
    table = notebook[0].updates[-1]
    assert table.count("<tr>") == 51


def test_a_notebook_stopped_early_says_where(notebook, clock):
    view = progress.Notebook()
    view.stop()  # before start: nothing to show
    view.start(START)
    clock.time += 1
    view.batch(now(1, 3))
    view.stop()
    assert "stopped after step 3 of 20 steps" in notebook[0].updates[-1]
    assert len(notebook) == 1  # no curve without an epoch


def test_a_resumed_notebook_shows_the_epochs_before(notebook, clock):
    view = progress.Notebook()
    view.start(START | {"epoch": 2, "history": [row(1)]})
    view.epoch(row(2))
    assert re.findall(r"<tr><td>(\d+)</td>", notebook[0].updates[-1]) == ["1", "2"]


# ---- TensorBoard -----------------------------------------------------------------------------


@pytest.fixture
def tensorboard():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # protobuf's of itself
        return importlib.import_module("tensorboardX.proto.event_pb2")


def events(folder, proto):
    """(step, tag, value) of all event files: records of length, its CRC, content, its CRC."""
    for path in sorted(folder.iterdir()):
        content = io.BytesIO(path.read_bytes())
        while head := content.read(12):
            event = proto.Event.FromString(content.read(int.from_bytes(head[:8], "little")))
            content.read(4)
            for value in event.summary.value:
                yield event.step, value.tag, value.simple_value


def test_tensorboard_gets_every_epoch(tmp_path, tensorboard, clock):
    show(progress.TensorBoard(tmp_path / "a" / "b"), clock, seconds=0.3)
    found = list(events(tmp_path / "a" / "b", tensorboard))
    approx = pytest.approx
    for step in (10, 20):
        for tag, value in [
            ("loss/train", 0.5), ("loss/validation", 0.3), ("accuracy/train", 0.75),
            ("accuracy/validation", 0.875), ("learning_rate", 1e-3),
        ]:  # fmt: skip
            assert (step, tag, approx(value)) in found
    running = [step for step, tag, _ in found if tag == "loss/running"]
    assert running == [1, 5, 9, 13, 17]  # the first, then after a second each


def test_tensorboard_leaves_out_what_is_not_known(tmp_path, tensorboard):
    view = progress.TensorBoard(tmp_path)
    view.start(START)
    view.batch(now(1, 1, loss=math.nan))
    view.epoch(row(1, None, math.nan))
    tags = [tag for _, tag, _ in events(tmp_path, tensorboard)]  # before it is closed
    assert sorted(tags) == ["accuracy/train", "learning_rate", "loss/train"]
    view.stop()
    view.stop()


def test_two_writers_of_one_second_do_not_share_a_file(tmp_path, tensorboard):
    for _ in range(2):
        progress.TensorBoard(tmp_path).stop()
    assert len(list(tmp_path.iterdir())) == 2


def test_tensorboard_without_its_writer_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MinicnnError, match=r"pip install tensorboardX$"):
        progress.TensorBoard(tmp_path)


def test_tensorboard_that_cannot_write_says_so(tmp_path, tensorboard, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"TensorBoard: .*file.*: cannot be written: (Not|File)"):
        progress.TensorBoard(tmp_path / "file" / "run")
    view = progress.TensorBoard(tmp_path / "run")
    view.start(START)

    def full(event):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(view.writer, "write_event", full)
    with pytest.raises(DataError, match="run: cannot be written: No space left on device"):
        view.epoch(row(1))
    view.stop()


# ---- several ---------------------------------------------------------------------------------


class Recorder(progress.View):
    def __init__(self, log, error=None):
        self.log, self.error = log, error

    def start(self, now):
        self.log.append("start")

    def batch(self, now):
        self.log.append(now["batch"])

    def epoch(self, row):
        self.log.append(f"epoch {row['epoch']}")

    def note(self, text):
        self.log.append(text)

    def stop(self):
        self.log.append("stop")
        if self.error:
            raise self.error


def test_together_tells_all_and_stops_all():
    logs = [], []
    both = progress.Together(Recorder(logs[0]), Recorder(logs[1], OSError("gone")))
    both.note("hello")
    with pytest.raises(OSError, match="gone"):
        show(both)
    steps = [*range(1, 11)]
    assert logs[0] == logs[1]
    assert logs[0] == ["hello", "start", *steps, "epoch 1", *steps, "epoch 2", "stop"]


def test_a_plain_view_shows_nothing(capsys):
    show(progress.View())
    progress.View().note("text")
    assert capsys.readouterr() == ("", "")


def test_importing_progress_imports_nothing_heavy():
    code = (
        "import sys, json; import minicnn.training.progress; "
        "print(json.dumps([m for m in ('rich', 'IPython', 'matplotlib', 'tensorboardX', 'PIL')"
        " if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []

"""What shows a training while it runs: a bar, lines, a notebook's table and curves, TensorBoard.

A Trainer calls a View; nothing here changes the training.  `batch` is called after every step: all
views look at the clock and return at once unless it is time to show something.
"""

import contextlib
import errno
import math
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

from ..errors import DataError, MinicnnError

Row = dict[str, Any]

SHORTEST_BAR = 8  # columns
RECENT_SECONDS = 5.0  # what the speed shown is measured over

lost = False  # whether something could not be printed, other than to a reader who went away


class View:
    """What a Trainer tells of itself; this one shows nothing, its heirs override what they need."""

    def start(self, now: Row) -> None:
        """Before the first step.

        `now` has epochs, batches (in an epoch), batch_size, and where the training stands: epoch,
        from 1, and batch, the steps done in it (more than 0 where it was resumed within an epoch);
        history has the rows of the epochs before.
        """

    def batch(self, now: Row) -> None:
        """After each step: epoch, epochs, batch, batches, and of the epoch so far loss, accuracy,
        examples."""

    def epoch(self, row: Row) -> None:
        """After each epoch, with its row of the history (`training.HISTORY`)."""

    def note(self, text: str) -> None:
        """A line for the user; may come before start and after stop."""

    def stop(self) -> None:
        """At the end, and after an error; may come twice, and without a start."""


def pick() -> View:
    """The view that fits where we are: a notebook, a terminal that can move its cursor, or none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is not None:  # IPython's shell in a terminal has none
        return Notebook()
    terminal = sys.stdout is not None and sys.stdout.isatty()
    if terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        return Bar()
    return Lines()


class Together(View):
    """Several views of one training."""

    def __init__(self, *views: View) -> None:
        self.views = views
        for name in ("start", "batch", "epoch", "note"):
            setattr(self, name, partial(self._tell, name))

    def _tell(self, name: str, about: Any) -> None:
        for view in self.views:
            getattr(view, name)(about)

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:  # all of them, whatever one of them raises
            for view in self.views:
                stack.callback(view.stop)


class Pace:
    """How fast a training goes, and how long it will still take.

    Speed is that of the last seconds.  The time left is reckoned from the whole time since this
    process began, validation and saving included, and the steps done in it.
    """

    def __init__(self, now: Row) -> None:
        self.batches, self.batch_size = now["batches"], now["batch_size"]
        self.total = now["epochs"] * self.batches
        self.done = self._steps(now)
        self.begin = (time.perf_counter(), self.done)
        self.recent = deque([self.begin])

    def _steps(self, now: Row) -> int:
        return (now["epoch"] - 1) * self.batches + now["batch"]

    def update(self, now: Row) -> None:
        """Takes the time of the step that `now` tells of."""
        self.done = self._steps(now)
        self.recent.append((time.perf_counter(), self.done))
        while len(self.recent) > 2 and self.recent[-1][0] - self.recent[1][0] > RECENT_SECONDS:
            self.recent.popleft()

    def end_epoch(self, epoch: int) -> None:
        """Forgets the time since the last step: it went into validation, not into steps."""
        self.done = epoch * self.batches
        self.last_speed = self.speed
        self.recent = deque([(time.perf_counter(), self.done)])

    last_speed = 0.0  # of the epoch before

    @property
    def speed(self) -> float:
        """Examples a second, lately."""
        (t0, n0), (t1, n1) = self.recent[0], self.recent[-1]
        return (n1 - n0) * self.batch_size / (t1 - t0) if t1 > t0 else self.last_speed

    @property
    def left(self) -> float:
        """Seconds until the last epoch ends; NaN before the first step."""
        t0, n0 = self.begin
        steps = self.done - n0
        return (time.perf_counter() - t0) * (self.total - self.done) / steps if steps else math.nan


class Paced(View):
    """A view that shows where the training stands, by `show`, once in so many `seconds`."""

    seconds: float
    show: Callable[[], None]

    def start(self, now: Row) -> None:
        self.now, self.pace, self.due = now, Pace(now), time.perf_counter()

    def batch(self, now: Row) -> None:
        clock = time.perf_counter()
        if clock >= self.due:
            self.due = clock + self.seconds
            self.now = now
            self.pace.update(now)
            self.show()

    def epoch(self, row: Row) -> None:
        self.pace.end_epoch(row["epoch"])


class Bar(Paced):
    """A bar on a terminal, with loss, accuracy, speed and time left; each epoch's line above it."""

    seconds = 0.1
    progress: Any = None

    def start(self, now: Row) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress

        super().start(now)
        self.console = Console(markup=False, highlight=False, emoji=False)
        self.bar = BarColumn()
        self.progress = Progress(console=self.console, auto_refresh=False, transient=True)
        self.task = self.progress.add_task("", total=self.pace.total)
        self._fit()
        with _outliving_the_terminal():
            self.progress.start()
            self.console.show_cursor(True)  # or a killed process leaves a terminal without one

    def show(self) -> None:
        self._fit()
        with _outliving_the_terminal():
            self.progress.refresh()

    def epoch(self, row: Row) -> None:
        super().epoch(row)
        self.note(epoch_line(row))

    def note(self, text: str) -> None:
        if self.progress is None:
            say(text)
            return
        with _outliving_the_terminal():
            self.console.print(printable(text, self.console.encoding), soft_wrap=True)

    def stop(self) -> None:
        if self.progress is None:
            return
        progress, self.progress = self.progress, None
        with _outliving_the_terminal():
            progress.stop()

    def _fit(self) -> None:
        """Puts into the line what the terminal, as it is now, has room for; no figure is cut."""
        now, pace = self.now, self.pace
        epoch = f"epoch {min(now['epoch'], now['epochs'])}/{now['epochs']}"
        figures = {"left": "starting"}
        if "loss" in now:
            figures = {
                "loss": f"loss {now['loss']:.4f}",
                "accuracy": f"accuracy {percent(now['accuracy'])}",
                "speed": f"{pace.speed:,.0f} examples/s",
                "left": f"{duration(pace.left)} left",
            }
        # Less one: the last column makes some terminals wrap.
        room, bar = self.console.width - len(epoch) - 1, SHORTEST_BAR + 1
        least = ["loss", "left", "accuracy", "speed"]
        while (text := "  ".join(figures.values())) and len(text) + 1 + bar > room:
            figures.pop(least.pop(), None)
            bar = 0  # the other figures say more than a bar
        free = room - len(text) - 2
        self.bar.bar_width = min(free, 40)
        self.progress.columns = (epoch, *([self.bar] if free >= SHORTEST_BAR else []), text)
        self.progress.update(self.task, completed=pace.done)


class Lines(Paced):
    """A line per epoch, and one every 30 seconds within a longer epoch: for files and pipes.

    When nothing reads the pipe any more, nothing more is written, and the training goes on.
    """

    seconds = 30.0

    def start(self, now: Row) -> None:
        super().start(now)
        self.due += self.seconds

    def show(self) -> None:
        now = self.now
        say(
            f"epoch {now['epoch']:2d}, step {now['batch']} of {now['batches']}  "
            f"loss {now['loss']:.4f}  accuracy {percent(now['accuracy'])}  "
            f"{self.pace.speed:,.0f} examples/s  {duration(self.pace.left)} left"
        )

    def epoch(self, row: Row) -> None:
        super().epoch(row)
        say(epoch_line(row))
        self.due = time.perf_counter() + self.seconds

    def note(self, text: str) -> None:
        say(text)


class Notebook(Paced):
    """A table and curves in a Jupyter notebook, which stay in it when it is saved."""

    seconds = 1.0
    rows: list[Row]
    stopped = True  # before start

    def start(self, now: Row) -> None:
        from IPython.display import HTML, display

        super().start(now)
        self.rows, self.picture, self.picture_due = list(now["history"]), None, 0.0
        self.stopped = False
        self.table = display(HTML(self._html()), display_id=True)

    def show(self) -> None:
        from IPython.display import HTML

        self.table.update(HTML(self._html()))

    def epoch(self, row: Row) -> None:
        super().epoch(row)
        self.rows.append(row)
        self.show()
        if time.perf_counter() >= self.picture_due:
            self._update_picture()

    def note(self, text: str) -> None:
        say(text)

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        self.show()
        if self.rows:
            self._update_picture()

    def _update_picture(self) -> None:
        from IPython.display import Image, display

        from . import pictures

        image = Image(data=pictures.render(pictures.curves(self.rows)), format="png", width=800)
        if self.picture is None:
            self.picture = display(image, display_id=True)
        else:
            self.picture.update(image)
        self.picture_due = time.perf_counter() + self.seconds

    def _html(self) -> str:
        """The state of the training, then a row per epoch."""
        head = ("epoch", "train loss", "val loss", "train accuracy", "val accuracy", "rate", "s")
        body = [
            (
                str(row["epoch"]), number(row["train_loss_all"]), number(row["val_loss_all"]),
                percent(row["train_acc_all"]), percent(row["val_acc_all"]),
                f"{row['learning_rate']:.2g}", f"{row['seconds']:.1f}",
            )
            for row in self.rows
        ]  # fmt: skip
        table = "".join(_html_row("td", cells) for cells in body)
        return f"{self._state()}<table>{_html_row('th', head)}{table}</table>"

    def _state(self) -> str:
        now, pace = self.now, self.pace
        if self.stopped:
            done = "done" if pace.done >= pace.total else f"stopped after step {pace.done}"
            return f"<p>{done} of {pace.total:,} steps</p>"
        text = f"epoch {now['epoch']} of {now['epochs']}"
        if "loss" in now:
            text += (
                f": loss {number(now['loss'])}, accuracy {percent(now['accuracy'])}, "
                f"{pace.speed:,.0f} examples/s, {duration(pace.left)} left"
            )
        return f"<p><progress value='{pace.done}' max='{pace.total}'></progress> {text}</p>"


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{tag}>{c}</{tag}>" for c in cells) + "</tr>"


class TensorBoard(Paced):
    """Writes event files for TensorBoard: at each step's number, what is known then.

    loss/running at most once a second; loss/train, loss/validation, accuracy/train,
    accuracy/validation and learning_rate after every epoch.  A resumed training writes a file of
    its own; where the two overlap they agree.

    Parameters
    ----------
    folder
        Where the files go; made if need be.

    Raises
    ------
    MinicnnError
        If tensorboardX is not installed.
    DataError
        If a file cannot be written; also later.
    """

    seconds = 1.0

    def __init__(self, folder: "str | os.PathLike[str]") -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event
        except ImportError:
            raise MinicnnError(
                "TensorBoard: its writer is not installed: pip install tensorboardX"
            ) from None
        self.folder, self.make_event = folder, Event
        with self._writing():
            os.makedirs(folder, exist_ok=True)
            # EventsWriter, not SummaryWriter: that one writes in a thread, where a full disk is
            # seen by nobody, and then waits for ever.  Two files of one second need two names.
            name = os.path.join(folder, "events")
            self.writer: Any = EventsWriter(name, f".{secrets.token_hex(4)}")
            self.writer.flush()

    def show(self) -> None:
        self._write(self.pace.done, {"loss/running": self.now["loss"]})

    def epoch(self, row: Row) -> None:
        self._write(
            row["epoch"] * self.pace.batches,
            {
                "loss/train": row["train_loss_all"], "loss/validation": row["val_loss_all"],
                "accuracy/train": row["train_acc_all"], "accuracy/validation": row["val_acc_all"],
                "learning_rate": row["learning_rate"],
            },
        )  # fmt: skip

    def stop(self) -> None:
        if self.writer is not None:
            writer, self.writer = self.writer, None
            with self._writing():
                writer.close()

    def _write(self, step: int, values: dict[str, float | None]) -> None:
        """One event with all values that are known and finite."""
        event = self.make_event(step=step, wall_time=time.time())
        for tag, value in values.items():
            if value is not None and math.isfinite(value):
                event.summary.value.add(tag=tag, simple_value=value)
        with self._writing():
            self.writer.write_event(event)
            self.writer.flush()

    @contextlib.contextmanager
    def _writing(self) -> Any:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"TensorBoard: {self.folder}: cannot be written: {reason}") from None


# ---- text ------------------------------------------------------------------------------------


def epoch_line(row: Row) -> str:
    """An epoch's row of the history as one line."""
    parts = [
        f"epoch {row['epoch']:2d}",
        f"loss {number(row['train_loss_all'])}",
        f"accuracy {percent(row['train_acc_all'])}",
    ]
    if _known(row["val_loss_all"]):
        parts.append(f"val loss {number(row['val_loss_all'])}")
        parts.append(f"accuracy {percent(row['val_acc_all'])}")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and not math.isnan(value)


def number(value: float | None) -> str:
    """A loss with four places, or a dash."""
    return f"{value:.4f}" if _known(value) else "-"


def percent(share: float | None) -> str:
    """A share as percents with two places, or a dash."""
    return f"{share:.2%}" if _known(share) else "-"


def duration(seconds: float) -> str:
    """Seconds as 1:23 or 4:05:06, or a dash."""
    if not math.isfinite(seconds):
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def printable(text: str, encoding: str | None) -> str:
    """The text with question marks for what the encoding does not have."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def say(text: str) -> None:
    """Prints a line, at once; where nobody listens any more, this and all later ones are lost."""
    with _outliving_the_terminal():
        print(printable(text, getattr(sys.stdout, "encoding", None)), flush=True)


@contextlib.contextmanager
def _outliving_the_terminal() -> Any:
    """Goes on when standard output is gone: what is printed from then on goes nowhere.

    That is a closed pipe (`minicnn train | head -1`), a closed terminal, or a full disk under a log
    file, which is said on standard error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            global lost
            lost = True
            with contextlib.suppress(OSError):
                print(f"minicnn: standard output: {error.strerror}", file=sys.stderr)
        with contextlib.suppress(OSError):  # no fileno: not a real file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)

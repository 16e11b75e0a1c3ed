"""A progress bar with an estimate of the time left; in a log file, a line every 30 seconds instead."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from . import quiet

DRAW_EVERY = 0.1  # seconds
LOG_EVERY = 30.0  # seconds
Listener = Callable[[str, float, str], None]
_listener: ContextVar[Listener | None] = ContextVar("_listener", default=None)


@contextmanager
def progress_to(listener: Listener) -> Iterator[None]:
    """While the context is open, call `listener(title, share, note)` in place of drawing bars.

    `title` is that of the work, such as "bench"; `share` is how much of it is done, from 0 to 1; `note` says what is
    being done.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Progress:
    """Used as `with Progress("bench", total) as progress:`, with `progress.step(note)` or `progress.to(done, note)`."""

    def __init__(self, title: str, total: float, start: float = 0):
        self.title, self.total, self.start = title, total, start
        self.listener = _listener.get()
        self.quiet = bool(self.listener or os.environ.get(quiet.VARIABLE))
        self.console = Console(file=sys.stderr)
        self.began = self.logged = time.monotonic()
        self.drawn = 0.0
        self.steps = 0
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=self.quiet or not self.console.is_terminal,
            auto_refresh=False,  # a thread that redraws would disturb what is measured
            speed_estimate_period=300,
        )
        self.task = self.bar.add_task(title, total=total, note="")
        self.bar.update(self.task, completed=start)

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.bar.update(self.task, completed=self.total, note="done")
            if self.listener:
                self.listener(self.title, 1.0, "done")
        self.bar.stop()

    def step(self, note: str) -> None:
        """Begin the next step of the total, and show `note` with it."""
        self.steps += 1
        self.to(self.steps - 1, note)

    def skip(self, steps: int) -> None:
        """Count `steps` that an earlier run has done."""
        self.steps += steps

    def to(self, done: float, note: str = "") -> None:
        """Show that `done` of the total is done."""
        if self.listener:
            self.listener(self.title, done / self.total if self.total else 0.0, note)
        now = time.monotonic()
        self.bar.update(self.task, completed=done, note=note, refresh=now - self.drawn > DRAW_EVERY)
        if now - self.drawn > DRAW_EVERY:
            self.drawn = now
        if not self.quiet and not self.console.is_terminal and now - self.logged > LOG_EVERY:
            self.logged = now
            print(f"{self.title} {done / self.total:.1%}, {self._left(done, now)}, {note}", file=sys.stderr)

    def _left(self, done: float, now: float) -> str:
        if done <= self.start:
            return "time left unknown"
        return f"about {(now - self.began) / 60 * (self.total - done) / (done - self.start):.1f} min left"

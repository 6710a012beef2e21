"""`status --watch`: the same screen again and again, until somebody has seen enough."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.segment import Segment
from rich.text import Text

from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.looks import (
    Looking,
    RedisLook,
    Seen,
    StreamSeen,
    SupervisorLook,
    SupervisorSeen,
)
from fastmail_ingest.app.operate.status import say_json
from fastmail_ingest.app.operate.status_parts import parts
from fastmail_ingest.app.operate.stopping import stopping
from fastmail_ingest.app.operate.terminal import Terminal
from fastmail_ingest.config import Config
from fastmail_ingest.errors import EXIT_OK, ConfigError

_DRAW_EVERY_S = 1.0  # ages go on while nothing else happens
_SIGNALLED = 128  # as shells say it: 128 + the signal's number
_FIRST_LOOK_S = 10.0
_LOOK_EVERY_S = 0.02


class Frame:
    """One screen: as much of the parts as there is room for, and a line about itself."""

    def __init__(self, seen: Seen, interval_s: float) -> None:
        self._seen, self._interval_s = seen, interval_s

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of it."""
        width, height = console.size
        inner = options.update(width=width, height=None)
        lines = console.render_lines(Group(*parts(self._seen)), inner, pad=False)
        room = max(1, height - 1)
        for line in [*lines[:room], *[[]] * (room - len(lines))]:
            yield from line
            yield Segment.line()
        yield from console.render_lines(self._foot(len(lines) - room), inner, pad=False)[0]

    def _foot(self, hidden: int) -> Text:
        more = f"{hidden} more lines: enlarge the window · " if hidden > 0 else ""
        at = words.moment(self._seen.time)[-8:]
        foot = f"{at} UTC · {more}every {self._interval_s:g} s · q quits"
        return Text(foot, style="dim", no_wrap=True, overflow="ellipsis")


class _Watch:
    """Two looks that go on beside each other."""

    def __init__(self, config: Config, interval_s: float, told: Terminal | None = None) -> None:
        wake = told.wake if told is not None else lambda: None
        self._redis = Looking(RedisLook(config), interval_s, wake)
        self._supervisor = Looking(SupervisorLook(config), interval_s, wake)

    def seen(self) -> Seen:
        redis, supervisor = self._redis.latest(StreamSeen()), self._supervisor.latest(SupervisorSeen())
        silent = self._redis.silent_s(), self._supervisor.silent_s()
        return Seen(time.time(), redis, supervisor, *silent)

    def have_begun(self) -> bool:
        """Whether both have looked."""
        return self._redis.wait(0) and self._supervisor.wait(0)

    def end(self) -> None:
        self._redis.end()
        self._supervisor.end()


@contextmanager
def _watching(watch: _Watch) -> Iterator[_Watch]:
    try:
        yield watch
    finally:
        watch.end()


def watch(config: Config, interval_s: float, *, as_json: bool) -> int:
    """Show it until q, Ctrl-C or a signal; returns the exit code. Raises ConfigError without a terminal."""
    if as_json:
        return _watch_as_json(config, interval_s)
    console = words.console()
    if not os.isatty(sys.stdout.fileno()) or console.is_dumb_terminal:
        raise ConfigError(
            "--watch draws on a terminal, and standard output is none that can. "
            "remedy: ssh -t, or --json for one line each time"
        )
    with Terminal(console) as terminal, _watching(_Watch(config, interval_s, terminal)) as looks:
        while True:
            try:
                terminal.draw(Frame(looks.seen(), interval_s))
            except OSError:  # nobody is there any more to see it
                return _SIGNALLED + signal.SIGHUP
            heard = terminal.wait(min(interval_s, _DRAW_EVERY_S))
            if signal.SIGINT in heard.signals or "q" in heard.keys.lower():
                return EXIT_OK
            for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                if ending in heard.signals:
                    return _SIGNALLED + ending


def _watch_as_json(config: Config, interval_s: float) -> int:
    with stopping() as stopper, _watching(_Watch(config, interval_s)) as looks:
        until = time.monotonic() + _FIRST_LOOK_S
        while not looks.have_begun() and time.monotonic() < until and stopper.wait(_LOOK_EVERY_S):
            pass
        while not stopper.stopped:
            say_json(looks.seen())
            stopper.wait(interval_s)
    return EXIT_OK

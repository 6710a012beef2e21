"""Reads mails in a process of its own, so that one that crashes or hangs it can be named."""

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

# Far above any honest time on a busy machine: this is no measurement, only the end of waiting.
HUNG_AFTER_S = 30.0

_T = TypeVar("_T")


class Watched(NamedTuple):
    """How it went: the number of items done, and the number and seconds (CPU time) of the slowest."""

    done: int
    slowest: int
    slowest_s: float


def watched(items: Iterable[_T], do: Callable[[_T], object]) -> Watched:
    """Do each item in a forked process; AssertionError names the item that raised, hung or killed it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(items, do, writing)
    os.close(writing)
    with contextlib.closing(os.fdopen(reading, "rb", buffering=0)) as told:
        return _watch(pid, told.fileno())


def _work(items: Iterable[_T], do: Callable[[_T], object], told: int) -> None:
    try:
        for item in items:
            began = time.process_time()
            do(item)
            os.write(told, b"%.9f\n" % (time.process_time() - began))
    except BaseException:
        os.write(told, b"!" + "".join(traceback.format_exception(*sys.exc_info())).encode(errors="replace"))
    finally:
        os._exit(0)


def _watch(pid: int, told: int) -> Watched:
    heard = b""
    try:
        while piece := _next_piece(told, heard):
            heard += piece
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    lines, broken, error = heard.partition(b"!")
    times = [float(line) for line in lines.split()]
    assert not broken, f"item {len(times)} raises:\n{error.decode()}"
    assert status == 0, f"item {len(times)} killed its process: {status}"
    slowest = max(range(len(times)), key=times.__getitem__, default=0)
    return Watched(len(times), slowest, times[slowest] if times else 0.0)


def _next_piece(told: int, heard: bytes) -> bytes:
    ready, _, _ = select.select([told], [], [], HUNG_AFTER_S)
    assert ready, f"item {len(heard.splitlines())} hangs for {HUNG_AFTER_S:.0f} s"
    return os.read(told, 1 << 20)

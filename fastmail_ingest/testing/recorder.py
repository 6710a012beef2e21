"""The handler under test, wrapped: each call is written down, and chosen mails meet their mishap.

Configured as `fastmail_ingest.testing.recorder:handle`; what to wrap stands in the file that the environment
variable names. The wrapper has the form of what it wraps: sync or async, one mail or a batch.
"""

import asyncio
import hashlib
import inspect
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fastmail_ingest.config import load as load_config
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.handler.chain import Handler, load
from fastmail_ingest.handler.load import Hook
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.handler import batch_handler
from fastmail_ingest.testing.effects import Effects
from fastmail_ingest.testing.plan import ENDS_DEAD, Mishap
from fastmail_ingest.testing.records import BEGUN, FINISHED, RAISED, Diary

VARIABLE = "FASTMAIL_INGEST_TESTING"
TARGET = "fastmail_ingest.testing.recorder:handle"
_FOR_EVER_S = 1e6


class Orders(msgspec.Struct, frozen=True):
    """What the recorder is told by the run: the handler, the files, and which mails meet which mishap."""

    target: str
    search_path: str
    config: str  # the run's supervisor.toml, for handlers in the box: they have sections there
    records: str
    effects: str
    marks: str  # a directory that remembers what has happened once
    mishaps: dict[str, Mishap]


class PlannedFailure(Exception):
    """What the handler raises when the schedule says so."""


class _Witness:
    """Writes down the calls for some mails."""

    def __init__(self, orders: Orders) -> None:
        self._diary = Diary(Path(orders.records))
        self._effects = Effects(Path(orders.effects))
        self._mishaps = orders.mishaps
        self._marks = Path(orders.marks)
        self._marks.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def calling(self, emails: Sequence[Email]) -> Iterator[list[Any]]:
        """Around one call; what is put into the list are the outcomes that a batch handler returned."""
        outcomes: list[Any] = []
        for email in emails:
            self._diary.note(BEGUN, email.id, email.attempt)
        try:
            yield outcomes
        except BaseException:
            for email in emails:
                self._diary.note(RAISED, email.id, email.attempt)
            raise
        for at, email in enumerate(emails):
            if outcomes and outcomes[at] is not None:
                self._diary.note(RAISED, email.id, email.attempt)
                continue
            self._effects.happen(email.id, email.attempt)
            self._diary.note(FINISHED, email.id, email.attempt)

    def hang_s(self, emails: Sequence[Email]) -> float:
        """Let the mishaps of these mails happen; returns how long the handler shall hang."""
        seconds = 0.0
        for email in emails:
            mishap = self._mishaps.get(email.id)
            if mishap is None:
                continue
            if mishap not in ENDS_DEAD and not self._first_time(email.id):
                continue
            if mishap in (Mishap.DIE_ALWAYS, Mishap.DIE_ONCE):
                os.kill(os.getpid(), signal.SIGKILL)
            if mishap in (Mishap.RAISE_ALWAYS, Mishap.RAISE_ONCE):
                raise PlannedFailure(str(mishap))
            seconds = _FOR_EVER_S
        return seconds

    def _first_time(self, identity: str) -> bool:
        """Whether no process has asked this about the mail before."""
        mark = self._marks / hashlib.sha256(identity.encode()).hexdigest()
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def wrap(handler: Handler, orders: Orders) -> Callable[..., Any]:
    """The handler with its calls written down, in the form that it had."""
    function, witness = handler.function, _Witness(orders)

    def one(email: Email) -> object:
        with witness.calling((email,)):
            if seconds := witness.hang_s((email,)):
                time.sleep(seconds)
            return function(email)

    async def one_async(email: Email) -> object:
        with witness.calling((email,)):
            if seconds := witness.hang_s((email,)):
                await asyncio.sleep(seconds)
            return await function(email)

    @batch_handler
    def many(emails: list[Email]) -> object:
        with witness.calling(emails) as outcomes:
            if seconds := witness.hang_s(emails):
                time.sleep(seconds)
            answer = function(emails)
            outcomes.extend(answer or ())
            return answer

    @batch_handler
    async def many_async(emails: list[Email]) -> object:
        with witness.calling(emails) as outcomes:
            if seconds := witness.hang_s(emails):
                await asyncio.sleep(seconds)
            answer = await function(emails)
            outcomes.extend(answer or ())
            return answer

    if handler.is_batch:
        return many_async if handler.is_async else many
    return one_async if handler.is_async else one


def _loaded() -> tuple[Handler, Orders]:
    place = os.environ.get(VARIABLE)
    if not place:
        raise ConfigError(f"{TARGET} is for fastmail_ingest.testing.run_chaos, which sets {VARIABLE}")
    orders = msgspec.json.decode(Path(place).read_bytes(), type=Orders)
    config = load_config(Path(orders.config), os.environ)
    section = msgspec.structs.replace(config.handler, target=orders.target, handlers=[])
    return load(msgspec.structs.replace(config, handler=section), [Path(orders.search_path)]), orders


def _all(hooks: Sequence[Hook]) -> Hook:
    """Several hooks as one."""

    async def call() -> None:
        for hook in hooks:
            answer = hook()
            if inspect.isawaitable(answer):
                await answer

    return call


def __getattr__(name: str) -> Callable[..., Any]:
    """`handle` with its hooks, made when it is asked for: importing this module must not need a run."""
    if name == "handle":
        handler, orders = _loaded()
        for hook, found in (("startup", handler.startup), ("shutdown", handler.shutdown)):
            if found:
                globals()[hook] = _all(found)
        globals()["handle"] = wrap(handler, orders)
        return globals()["handle"]  # type: ignore[no-any-return]
    raise AttributeError(name)

"""The diary says what happened, however its writer ended."""

import os
import signal
from pathlib import Path

import pytest

from fastmail_ingest.errors import Reject
from fastmail_ingest.handler.load import Handler
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import Envelope
from fastmail_ingest.model.handler import batch_handler, is_batch_handler
from fastmail_ingest.testing.effects import Effects
from fastmail_ingest.testing.plan import Mishap
from fastmail_ingest.testing.recorder import Orders, PlannedFailure, wrap
from fastmail_ingest.testing.records import BEGUN, FINISHED, RAISED, Diary, Records


def test_what_was_written_before_kill_9_is_read(tmp_path: Path) -> None:
    records = Records(tmp_path)
    if (pid := os.fork()) == 0:
        diary = Diary(tmp_path)
        for number in range(100):
            diary.note(BEGUN, f"mail:{number}", 1)
            diary.note(FINISHED, f"mail:{number}", 1)
        diary.note(BEGUN, "mail in hand", 2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert records.refresh() == 201
    assert records.handled == 100
    (life,) = records.lives.values()
    assert (life.pid, life.parent, list(life.open_calls)) == (pid, os.getpid(), [b"mail in hand"])
    ((identity, (call,)),) = records.calls(records.suspects()).items()
    assert (identity, call.attempt, call.outcome) == ("mail in hand", 2, b"")


def test_a_line_that_was_cut_in_two_says_nothing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    (tmp_path / "1-1-1").write_bytes(b"B 1 1.0 a\nF 1 2.0 a\nB 1 3.0")
    assert records.refresh() == 2
    assert records.begun == records.finished == {b"a": 1}


def test_a_growing_diary_is_read_on(tmp_path: Path) -> None:
    records, diary = Records(tmp_path), Diary(tmp_path)
    diary.note(BEGUN, "a", 1)
    assert records.refresh() == 1
    diary.note(RAISED, "a", 1)
    assert records.refresh() == 1
    assert records.refresh() == 0
    assert records.calls({b"a"})["a"][0].outcome == RAISED


def test_the_key_keeps_an_effect_from_happening_twice(tmp_path: Path) -> None:
    effects = Effects(tmp_path / "effects.db")
    effects.make()
    assert effects.happen("a", 1)
    assert not effects.happen("a", 2)
    assert effects.identities() == ["a"]


# --- the wrapper ---------------------------------------------------------------------------------


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    Effects(tmp_path / "effects.db").make()
    mishaps = {"raise": Mishap.RAISE_ONCE}
    return Orders(
        "noop",
        ".",
        "",
        str(tmp_path / "records"),
        str(tmp_path / "effects.db"),
        str(tmp_path / "marks"),
        mishaps,
    )


@pytest.fixture
def records(orders: Orders) -> Records:
    return Records(Path(orders.records))


def mail(identity: str, attempt: int = 1) -> Email:
    envelope = Envelope(1, identity, "a", "INBOX", 7, 1, (), (), "", 0.0, 0, b"", 0.0, "0" * 32, b"")
    return Email(envelope, attempt)


def outcomes(records: Records) -> dict[str, list[bytes]]:
    records.refresh()
    stories = records.calls(set(records.begun))
    return {identity: [call.outcome for call in calls] for identity, calls in stories.items()}


def test_a_sync_handler_stays_one(orders: Orders, records: Records) -> None:
    handle = wrap(Handler(lambda email: None, is_async=False, is_batch=False), orders)
    handle(mail("a"))
    with pytest.raises(PlannedFailure):
        handle(mail("raise"))
    handle(mail("raise", attempt=2))
    assert outcomes(records) == {"a": [FINISHED], "raise": [RAISED, FINISHED]}


def test_an_async_handler_stays_one(orders: Orders, records: Records) -> None:
    async def work(email: Email) -> None:
        if email.id == "bad":
            raise OSError

    handle = wrap(Handler(work, is_async=True, is_batch=False), orders)
    coroutine = handle(mail("a"))
    with pytest.raises(StopIteration):
        coroutine.send(None)
    with pytest.raises(OSError):
        handle(mail("bad")).send(None)
    assert outcomes(records) == {"a": [FINISHED], "bad": [RAISED]}


def test_a_batch_handler_stays_one_and_its_outcomes_count(orders: Orders, records: Records) -> None:
    @batch_handler
    def work(emails: list[Email]) -> list[Reject | None]:
        return [Reject("no") if email.id == "bad" else None for email in emails]

    handle = wrap(Handler(work, is_async=False, is_batch=True), orders)
    assert is_batch_handler(handle)
    assert [type(outcome) for outcome in handle([mail("a"), mail("bad")])] == [type(None), Reject]
    assert outcomes(records) == {"a": [FINISHED], "bad": [RAISED]}
    assert Effects(Path(orders.effects)).identities() == ["a"]

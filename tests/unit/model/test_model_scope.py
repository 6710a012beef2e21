"""What log lines are about: of a thread, of a task, and of what is nested in them."""

import asyncio
import threading

from fastmail_ingest.model.scope import NOTHING, Scope, current, fields, inline, log_scope, names_of

ONE = Scope("1" * 32, "a", "INBOX")
OTHER = Scope("2" * 32, "b", "Sent")


def test_scopes_nest_and_end_also_by_an_error() -> None:
    with log_scope(ONE):
        try:
            with log_scope(OTHER):
                assert current() == OTHER
                raise ValueError
        except ValueError:
            assert current() == ONE
    assert current() == NOTHING


def test_tasks_have_their_own_and_hand_it_on() -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        return current().correlation_id

    async def mail(about: Scope) -> tuple[str, str]:
        with log_scope(about):
            below = asyncio.create_task(child())
            await asyncio.sleep(0)
            return current().correlation_id, await below

    async def both() -> list[tuple[str, str]]:
        return await asyncio.gather(mail(ONE), mail(OTHER))

    assert asyncio.run(both()) == [(ONE.correlation_id,) * 2, (OTHER.correlation_id,) * 2]


def test_a_thread_begins_with_none_and_may_enter_one() -> None:
    found = []

    def work() -> None:
        found.append(names_of(current()))
        with log_scope(OTHER):
            found.append(names_of(current()))

    with log_scope(ONE):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert current() == ONE
    assert found == [NOTHING, OTHER]


def test_what_is_empty_is_no_field() -> None:
    assert fields(Scope("", "a", "")) == {"account": "a"}


def test_what_is_handled_inline_is_seen_in_its_thread_alone_and_may_be_nested(monkeypatch) -> None:
    found = []
    monkeypatch.setattr(inline, "thread", threading.get_ident())
    monkeypatch.setattr(inline, "about", ONE)
    assert current() == ONE
    with log_scope(OTHER):
        assert current() == OTHER
    thread = threading.Thread(target=lambda: found.append(current()))
    thread.start()
    thread.join()
    assert found == [NOTHING]

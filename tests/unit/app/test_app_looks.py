"""Looks in a thread: who hangs is told apart from who was not asked, and what breaks is heard of."""

import threading

import pytest
from support.waiting import wait_until

from fastmail_ingest.app.operate.looks import Looking


def test_who_hangs_is_silent_and_keeps_nobody_waiting() -> None:
    go_on, heard = threading.Event(), threading.Event()

    def hangs() -> str:
        go_on.wait(60)
        return "answer"

    looking = Looking(hangs, None, heard.set)
    assert not looking.wait(0)
    assert looking.latest("nothing yet") == "nothing yet"
    wait_until(lambda: looking.silent_s() > 0.01, "the time goes by")
    go_on.set()
    assert looking.wait(30)
    assert heard.wait(30)
    assert looking.latest("nothing yet") == "answer"


def test_between_two_looks_nobody_is_silent() -> None:
    looking = Looking(lambda: "answer", 3600.0, lambda: None)
    assert looking.wait(30)
    before = looking.silent_s()
    wait_until(lambda: looking.silent_s() == before == 0.0, "it is not waited for")
    looking.end()


def test_it_looks_again_until_it_is_ended() -> None:
    looks: list[int] = []
    looking = Looking(lambda: looks.append(1), 0.001, lambda: None)
    wait_until(lambda: len(looks) > 3, "some looks")
    looking.end()
    assert looking.latest(None) is None


def test_what_a_look_raises_is_raised_where_it_is_asked_for() -> None:
    looking = Looking(lambda: 1 // 0, 0.001, lambda: None)
    assert looking.wait(30)
    with pytest.raises(ZeroDivisionError):
        looking.latest(0)

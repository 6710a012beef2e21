"""Schedules are drawn from their seed, and hold what was asked for."""

from collections import Counter

import msgspec
import pytest

from fastmail_ingest.testing import KILLS, Action, Chaos, Mishap, draw_steps
from fastmail_ingest.testing.mail import Login
from fastmail_ingest.testing.plan import draw_mishaps
from fastmail_ingest.testing.supervised import configuration


def test_the_same_seed_draws_the_same_schedule() -> None:
    chaos = Chaos(emails=1000, kills=20, seed=7)
    assert draw_steps(chaos) == draw_steps(chaos)
    assert draw_steps(chaos) != draw_steps(msgspec.structs.replace(chaos, seed=8))


def test_as_many_kills_and_disturbances_as_asked_for() -> None:
    steps = draw_steps(Chaos(emails=1000, kills=20, disturbances=5))
    assert sum(step.action in KILLS for step in steps) == 20
    assert len(steps) == 25
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert all(step.at < 1000 for step in steps)


def test_only_the_actions_asked_for() -> None:
    chaos = Chaos(kills=50, actions={Action.KILL_WORKER: 1, Action.KILL_REDIS: 1, Action.RELOAD: 0})
    drawn = Counter(step.action for step in draw_steps(chaos))
    assert set(drawn) == {Action.KILL_WORKER, Action.KILL_REDIS}
    assert drawn.total() == 50


def test_every_action_is_drawn_sooner_or_later() -> None:
    assert {step.action for step in draw_steps(Chaos(kills=500, seed=3))} == set(Action)


def test_each_mail_has_one_mishap_at_most() -> None:
    chaos = Chaos(emails=10, mishaps={Mishap.RAISE_ONCE: 4, Mishap.DIE_ONCE: 6})
    drawn = draw_mishaps(chaos, [str(number) for number in range(10)])
    assert Counter(drawn.values()) == {Mishap.RAISE_ONCE: 4, Mishap.DIE_ONCE: 6}


def test_more_mishaps_than_mails_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than population"):
        draw_mishaps(Chaos(emails=1, mishaps={Mishap.RAISE_ONCE: 2}), ["1"])


def test_settings_go_over_those_of_the_kit() -> None:
    chaos = Chaos(procs=3, settings={"handler": {"threads": 4, "timeout": 9.0}, "ledger": {"keep_days": 1}})
    text = configuration(chaos, Login(143, "u", "p", ["INBOX", "a b"]), "unix:///r.sock", "c")
    assert "procs = 3" in text
    assert "threads = 4\n" in text
    assert "timeout = 9.0" in text
    assert "keep_days = 1" in text
    assert 'mailboxes = ["INBOX", "a b"]' in text

"""What everybody knows of the roles, and that the death of an optional one ends nothing."""

import time

import pytest

from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.supervisor.board import ROLES_MAX, Board
from fastmail_ingest.supervisor.process import Process, RoleState
from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.supervisor.successor import OPTIONAL_PAUSE_S, cannot_start, plan_successor

POLICY = RestartPolicy(short_life_s=5.0, short_lives_max=2, window_s=60.0)


def test_a_row_says_how_many_there_shall_be_and_how_they_died() -> None:
    board = Board()
    row = board.row(1)
    row.name, row.wanted = "worker", 3
    row.note_start()
    row.note_start()
    row.note_death("signal 9 \udcff" + "x" * 2000, 12.5)
    row.note_death("exit code 70", 13.5)
    (seen,) = list(board)
    assert (seen.name, seen.wanted, seen.started, seen.deaths) == ("worker", 3, 2, 2)
    assert (seen.died_at, seen.last_words) == (13.5, "exit code 70")
    assert board.row(0).name == board.row(2).name == ""


def test_words_and_names_that_are_too_long_are_cut() -> None:
    board = Board()
    row, neighbour = board.row(0), board.row(1)
    neighbour.name = "neighbour"
    row.name = "r" * 100
    row.note_death("ä" * 2000, 1.0)
    assert row.name == "r" * 32
    assert row.last_words.startswith("ä" * 200)
    assert neighbour.name == "neighbour"


def test_more_roles_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(IndexError, match="at the most"):
        Board().row(ROLES_MAX)


def test_it_tells_since_when_and_whether_all_is_stopping() -> None:
    before = time.monotonic()
    board = Board()
    assert before <= board.since <= time.monotonic()
    assert not board.draining
    board.note_drain()
    assert board.draining
    assert board.since >= before


def dying(*, optional: bool) -> tuple[Process, RoleState]:
    role = Role("admin", 0, lambda _: 0, POLICY, optional=optional)
    table = SlotTable(2, 1)
    state = RoleState.of(role, table.board.row(0))
    return Process(role, 0, table.slot(0), pid=1, pidfd=0, started_at=100.0), state


@pytest.mark.parametrize("optional", [False, True])
def test_only_an_optional_role_may_die_young_without_end(optional: bool) -> None:
    process, state = dying(optional=optional)
    state.was_ready = True
    reasons = [plan_successor(process, state, 100.1, struck=False) for _ in range(5)]
    assert reasons[:2] == ["", ""]
    assert any(reasons) is not optional
    if optional:
        assert state.start_at == 100.1 + OPTIONAL_PAUSE_S


@pytest.mark.parametrize("optional", [False, True])
def test_only_an_optional_role_may_be_unable_to_start(optional: bool) -> None:
    process, state = dying(optional=optional)
    assert cannot_start(process, state, 2) is not optional

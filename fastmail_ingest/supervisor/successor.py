"""When the successor of a dead child starts, or why there shall be none."""

import logging
import random

from fastmail_ingest.errors import EXIT_ROLE_FAILED
from fastmail_ingest.policy import restart
from fastmail_ingest.supervisor.process import Process, RoleState

_log = logging.getLogger(__name__)

OPTIONAL_PAUSE_S = 30.0


def cannot_start(process: Process, state: RoleState, code: int) -> bool:
    """Whether a child ended by itself before it could begin, and the next would end the same.

    So it is if none of its role ever could, or if it says itself that it has tried again and again.
    """
    if process.was_ready or process.killed_for or code <= 0 or process.role.optional:
        return False
    return code == EXIT_ROLE_FAILED or not state.was_ready


def plan_successor(process: Process, state: RoleState, now: float, *, struck: bool) -> str:
    """Set when the next child of the role may start; returns why the role is broken, empty if it is not.

    A child that was `struck` down from outside says nothing about its role, however short its life was.
    """
    role = process.role
    state.failed_starts = 0 if process.was_ready else state.failed_starts + 1
    if role.finite and state.failed_starts >= restart.FINITE_FAILED_STARTS_MAX:
        return f"{role.name} cannot start, tried {state.failed_starts} times in a row"
    chance = random.random()  # noqa: S311 - spreads restarts, keeps no secret
    if role.cleared_up and process.slot.held():
        # Each piece of work is to blame for a limited number of deaths only: this ends by itself.
        _note_blamed_death(process, state)
        start = restart.after_blamed_death(role.restart, state.deadly, now, chance)
        if state.deadly > role.restart.deadly_max:
            _log.error(
                "%d pieces of work in a row killed %s: the next is tried in %.1f s",
                state.deadly, role.name, start.at - now,
            )  # fmt: skip
        state.start_at = start.at
        return ""
    lived = now - process.started_at
    if struck:
        state.start_at = restart.after_strike(role.restart, state.strikes, now, chance).at
        state.strikes.append(now)
        return ""
    verdict = restart.decide(role.restart, state.young_deaths, lived, now, chance)
    if isinstance(verdict, restart.RoleBroken) and role.optional:
        _log.error("%s died young %d times: going on without it, next try in %.0f s",
                   role.name, verdict.short_lives, OPTIONAL_PAUSE_S)  # fmt: skip
        state.start_at = now + OPTIONAL_PAUSE_S
        return ""
    if isinstance(verdict, restart.RoleBroken):
        return f"{role.name} died young {verdict.short_lives} times"
    if lived < role.restart.short_life_s:
        state.young_deaths.append(now)
    state.start_at = verdict.at
    return ""


def _note_blamed_death(process: Process, state: RoleState) -> None:
    """Count deaths in a row between which nothing was finished."""
    progress = process.role.progress() if process.role.progress is not None else 0
    state.deadly = state.deadly + 1 if progress == state.progress else 1
    state.progress = progress

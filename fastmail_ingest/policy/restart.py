"""Whether and when a dead child is started again."""

from collections.abc import Sequence

import msgspec

from fastmail_ingest.policy.backoff import Backoff, delay_s


class RestartPolicy(msgspec.Struct, frozen=True):
    """A child that lived less than `short_life_s` died young; too many of those end its role."""

    short_life_s: float
    short_lives_max: int
    window_s: float
    deadly_max: int = (
        10  # pieces of work that kill one after the other, before it looks like all of them would
    )
    recovery_s: float = 10.0  # the wait between tries from then on
    # The first young death costs nothing: most are one bad mail.
    backoff: Backoff = Backoff(first_s=0.05, multiplier=2.0, cap_s=5.0, jitter=0.3)


# A handler that every mail kills must not run through the whole mailbox at full speed.
BLAMED_BACKOFF = Backoff(first_s=0.05, multiplier=2.0, cap_s=1.0, jitter=0.3)


# Somebody waits for the end of finite work: a child that cannot start is not tried for long.
FINITE_FAILED_STARTS_MAX = 3

STRIKES_FREE = 5
STRIKES_WINDOW_S = 10.0


class StartAt(msgspec.Struct, frozen=True):
    """Start a successor at this time (same clock as `now`)."""

    at: float


class RoleBroken(msgspec.Struct, frozen=True):
    """Do not start another one: the role fails."""

    short_lives: int


def decide(
    policy: RestartPolicy, young_deaths: Sequence[float], lived_s: float, now: float, random: float
) -> StartAt | RoleBroken:
    """Decide on a child that died at `now` after `lived_s`; `young_deaths` are the earlier ones' times."""
    if lived_s >= policy.short_life_s:
        return StartAt(now)
    recent = sum(1 for at in young_deaths if now - at < policy.window_s) + 1
    if recent > policy.short_lives_max:
        return RoleBroken(recent)
    if recent == 1:
        return StartAt(now)
    return StartAt(now + delay_s(policy.backoff, recent - 1, random))


def after_blamed_death(policy: RestartPolicy, deadly: int, now: float, random: float) -> StartAt:
    """When to start again after a death at which work was in hand: that work is to blame, not the role.

    `deadly` such deaths came in a row, with nothing finished between them. One is a bad mail, and its
    neighbours must not wait; from `deadly_max` on it is the code that runs the work: one at a time is tried.
    """
    if deadly > policy.deadly_max:
        return StartAt(now + policy.recovery_s)
    return StartAt(now if deadly <= 1 else now + delay_s(BLAMED_BACKOFF, deadly - 1, random))


def after_strike(policy: RestartPolicy, strikes: Sequence[float], now: float, random: float) -> StartAt:
    """When to start again after a child at work was killed from outside; `strikes`: times of earlier ones.

    A few cost nothing; a kernel that has no memory for it must not be asked a hundred times a second.
    """
    recent = sum(1 for at in strikes if now - at < STRIKES_WINDOW_S)
    return StartAt(
        now if recent < STRIKES_FREE else now + delay_s(policy.backoff, recent - STRIKES_FREE + 1, random)
    )

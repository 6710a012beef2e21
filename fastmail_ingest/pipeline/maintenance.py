"""The round that keeps the stream tidy: lease, the dead's work, due retries, the books, gauges.

Every step looks at the whole state and can be repeated: a bell only makes a round come sooner.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from fastmail_ingest.model.census import Census
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.orphans import Orphans
from fastmail_ingest.pipeline.outage import Outage

_log = logging.getLogger(__name__)

ROUND_S = 0.25  # due retries are this late at the most
SWEEP_EVERY_S = 0.5
# The books are mended when they have not agreed for so many sweeps, and not again for a while: an entry of
# another program is in no book until a worker has made a dead letter of it.
DISAGREEING_SWEEPS = 3
RECONCILE_EVERY_S = 30.0

Entries = Sequence[tuple[Lane, bytes]]


class DeadWorker(msgspec.Struct, frozen=True):
    """A worker of ours that died, and what it had in hand."""

    consumer: str
    client_id: int
    blamed: Entries
    reason: str  # of the dead letters that become of the blamed: killed_worker or hung
    bury: Callable[[], None]  # to be called when its work has been given back


class Stream(Protocol):
    """What maintenance needs of the stream."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    def make_groups(self) -> int: ...  # noqa: D102
    def regroup(self) -> tuple[int, bool]: ...  # noqa: D102
    def claim(self, consumer: str, held: Entries) -> None: ...  # noqa: D102
    def renew_lease(self, node_id: str, lease_s: float) -> None: ...  # noqa: D102
    def end_lease(self, node_id: str) -> None: ...  # noqa: D102
    def lease_lives(self, node_id: str) -> bool: ...  # noqa: D102
    def consumers(self) -> set[str]: ...  # noqa: D102
    def put_back(self, consumer: str, ending: Ending, client_id: int = 0) -> tuple[int, int]: ...  # noqa: D102
    def promote(self) -> int: ...  # noqa: D102
    def census(self) -> Census: ...  # noqa: D102
    def unread(self) -> bool: ...  # noqa: D102
    def reconcile(self) -> tuple[int, int, list[str]]: ...  # noqa: D102


class Household(Protocol):
    """What maintenance needs to know of the processes of this supervisor, and of others."""

    node_id: str

    def dead_workers(self) -> Iterable[DeadWorker]: ...  # noqa: D102
    def in_hand(self) -> Iterable[tuple[str, Entries]]: ...  # noqa: D102
    def living_consumers(self) -> set[str]: ...  # noqa: D102
    def node_of(self, consumer: str) -> str: ...  # noqa: D102
    def surely_gone(self, node_id: str) -> bool: ...  # noqa: D102


class Gauges(Protocol):
    """Whom to tell what was found."""

    def counted(self, census: Census, unread: bool) -> None: ...  # noqa: D102
    def promoted(self, count: int) -> None: ...  # noqa: D102
    def put_back(self, count: int) -> None: ...  # noqa: D102
    def blamed(self, count: int, reason: str) -> None: ...  # noqa: D102
    def buried(self, count: int, reason: str) -> None: ...  # noqa: D102
    def redis(self, state: int) -> None: ...  # noqa: D102


class Maintenance:
    """One per supervisor; several supervisors on one stream do not disturb each other."""

    def __init__(
        self,
        stream: Stream,
        household: Household,
        gauges: Gauges,
        lease_s: float,
        deaths_max: int,
        orphans: Orphans | None = None,
    ) -> None:
        self._stream = stream
        self._household = household
        self._gauges = gauges
        self._lease_s = lease_s
        self._deaths_max = deaths_max
        self._orphans = orphans
        self._renew_at = 0.0
        self._sweep_at = 0.0
        self._disagreed = 0
        self._reconcile_at = 0.0
        self._outage = Outage()
        self._regrouping = False
        self._silent_since: dict[str, float] = {}
        # While Redis was away no lease could be renewed: after it came back, and at our own start,
        # the others get the time of a lease to say that they live.
        self._judge_others_at = time.monotonic() + lease_s

    def run(self, wait: Callable[[float], bool], ready: Callable[[], None]) -> None:
        """Make rounds until `wait(seconds)` says False; then a last one, so that nothing is left behind."""
        going_on = True
        while going_on:
            pause_s = ROUND_S
            self._outage.asking()
            try:
                self.round(time.monotonic())
                ready()
                self._outage.over()
            except self._stream.unavailable as error:
                self._judge_others_at = time.monotonic() + self._lease_s
                self._silent_since.clear()
                if self._orphans is not None:
                    self._orphans.forget()
                pause_s = self._outage.wait_s(error)
                _log.warning("Redis is away (%s), trying again", error)
            self._gauges.redis(self._outage.state)
            going_on = wait(pause_s)
        self._leave()

    def round(self, now: float) -> None:
        """One round; a step that Redis refuses does not keep the others from being made.

        Raises what the stream raises when Redis is away, after the last step.
        """
        steps: list[Callable[[], None]] = []
        if now >= self._renew_at:
            steps.append(self._renew)
        steps.append(self._bury_dead_workers)
        if now >= self._sweep_at:
            steps.append(self._sweep)
        refusals: list[BaseException] = []
        for step in [*steps, self._promote, self._count, self._look_for_orphans]:
            try:
                step()
            except self._stream.unavailable as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def _renew(self) -> None:
        self._stream.renew_lease(self._household.node_id, self._lease_s)
        self._renew_at = time.monotonic() + self._lease_s / 4

    def _promote(self) -> None:
        self._gauges.promoted(self._stream.promote())

    def _count(self) -> None:
        self._gauges.counted(self._stream.census(), self._stream.unread())

    def _look_for_orphans(self) -> None:
        if self._orphans is not None:
            self._orphans.look(time.monotonic())

    def _bury_dead_workers(self) -> None:
        for dead in self._household.dead_workers():
            ending = Ending(dead.blamed, deaths_max=self._deaths_max, reason=dead.reason)
            moved, buried = self._stream.put_back(dead.consumer, ending, dead.client_id)
            self._gauges.blamed(len(dead.blamed), dead.reason)
            self._note(dead.consumer, moved, buried, dead.reason)
            dead.bury()

    def _sweep(self) -> None:
        """Find consumers whose process is gone: ours that slipped through, and those of dead hosts."""
        # Somebody may have emptied the database under us.
        if self._stream.make_groups():
            _log.error("the consumer group was removed under us; it is made anew, no mail is lost")
        self._regroup()
        self._check_books()
        named = self._stream.consumers()
        # Asked for in this order: a worker that starts in between is in neither of the two.
        for consumer in named - self._household.living_consumers():
            self._take_over(consumer, self._household.node_of(consumer))
        self._sweep_at = time.monotonic() + SWEEP_EVERY_S

    def _regroup(self) -> None:
        """After a consumer group was removed: what is in hand stays there, the rest comes back."""
        if self._regrouping:
            self._claim_what_is_in_hand()
        moved, finished = self._stream.regroup()
        self._regrouping = not finished
        self._gauges.put_back(moved)
        if moved:
            _log.warning("%d mails that the removed consumer group left without owner are put back", moved)
        if not finished:
            self._claim_what_is_in_hand()

    def _claim_what_is_in_hand(self) -> None:
        for consumer, held in self._household.in_hand():
            self._stream.claim(consumer, held)

    def _check_books(self) -> None:
        """Mend what hands in the database, or a restore, have broken."""
        self._disagreed = 0 if self._stream.census().agrees else self._disagreed + 1
        now = time.monotonic()
        if self._disagreed < DISAGREEING_SWEEPS or now < self._reconcile_at:
            return
        self._reconcile_at = now + RECONCILE_EVERY_S
        forgotten, taken_in, names = self._stream.reconcile()
        if forgotten:
            _log.error(
                "%d mails were in the books but nowhere in the stream (keys or entries removed by hand?); "
                "they will be fetched again: %s",
                forgotten, ", ".join(names),
            )  # fmt: skip
        if taken_in:
            _log.error("%d mails were in the stream but not in the books; they are taken in", taken_in)

    def _take_over(self, consumer: str, node: str) -> None:
        """Give back what a consumer without a living process of ours left, if its host is gone."""
        if node == self._household.node_id or self._household.surely_gone(node):
            self._note(consumer, *self._stream.put_back(consumer, Ending(deaths_max=self._deaths_max)))
        elif self._is_surely_silent(consumer, node):
            # Another host's: the script itself looks whether its lease has run out.
            ending = Ending(deaths_max=self._deaths_max, lease_of=node)
            self._note(consumer, *self._stream.put_back(consumer, ending))

    def _is_surely_silent(self, consumer: str, node: str) -> bool:
        """Whether another host's lease was missing for a while: all run out at once in a Redis that slept.

        A name that is not of our kind was given by another program: it gets the time of a lease.
        """
        now = time.monotonic()
        if now < self._judge_others_at or (node and self._stream.lease_lives(node)):
            self._silent_since.pop(consumer, None)
            return False
        patience_s = SWEEP_EVERY_S * 0.9 if node else self._lease_s
        return now - self._silent_since.setdefault(consumer, now) >= patience_s

    def _note(self, consumer: str, moved: int, buried: int, reason: str = "killed_worker") -> None:
        if moved > 0 or buried > 0:
            _log.warning("%s is gone: %d mails put back, %d to the dead letters", consumer, moved, buried)
            self._gauges.put_back(max(moved, 0))
            self._gauges.buried(buried, reason)

    def _leave(self) -> None:
        try:
            self._bury_dead_workers()
            self._sweep()
            self._count()
            self._stream.end_lease(self._household.node_id)
        except self._stream.unavailable as error:
            _log.warning("stopping while Redis is away (%s): the next supervisor clears up", error)

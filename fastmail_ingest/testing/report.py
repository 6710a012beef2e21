"""What a run found, for people and for machines."""

from collections.abc import Iterator, Mapping

import msgspec

_SHOWN = 5


class Recovery(msgspec.Struct, frozen=True):
    """From a worker's death to the moment when a mail it had begun is begun by another, in ms."""

    mails: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    @staticmethod
    def of(seconds: list[float]) -> "Recovery":
        """Condense measured times."""
        if not seconds:
            return Recovery()
        ordered = sorted(1000 * each for each in seconds)
        last = len(ordered) - 1
        return Recovery(len(ordered), ordered[round(last * 0.5)], ordered[round(last * 0.99)], ordered[-1])


class Repeats(msgspec.Struct, frozen=True):
    """Mails that were given to the handler again, marked by `attempt`, and why that had to be."""

    after_failure: int = 0  # the handler raised
    in_hand: int = 0  # begun, and the process died
    unsettled: int = 0  # finished, and the process died before that was written down

    def in_words(self) -> str:
        """One line."""
        return (
            f"{self.after_failure:,} after a failure, {self.in_hand:,} in hand at a death, "
            f"{self.unsettled:,} finished but not yet settled at a death"
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run. `ok` says whether every promise was kept."""

    seed: int
    emails: int
    seconds: float
    handled: int
    vanished: int  # removed on the server before they could be fetched
    dead: Mapping[str, int]  # dead letters by reason
    lost: list[str]  # neither handled nor a dead letter
    doubled: list[str]  # finished, and given to the handler again as if it were new
    unmarked: list[str]  # begun, and begun again as if it were new
    unforced: list[str]  # finished, and repeated although the process did not die
    repeats: Repeats
    effects: int  # rows in the effects table
    effects_doubled: int
    kills: Mapping[str, int]
    disturbances: Mapping[str, int]
    mail_faults: Mapping[str, int]  # what the mail server did on purpose
    hung: int  # workers that the supervisor killed because one mail took too long
    died: int  # workers that died by the hand of the handler
    recovery: Recovery  # worker deaths while nothing else was wrong
    recovery_disturbed: Recovery  # worker deaths while Redis or the supervisor was away, too
    breaches: list[str]  # anything else that must not be
    timeline: list[str]  # each action with its time
    log_tail: list[str]  # of the supervisor's log
    files: str = ""  # where configuration, records, data and log are kept; empty if they were removed

    @property
    def ok(self) -> bool:
        """No mail lost, none doubled, no repeat without need or mark, no invariant breached."""
        wrong = (self.lost, self.doubled, self.unmarked, self.unforced, self.breaches)
        return not any(wrong) and not self.effects_doubled

    @property
    def emails_per_s(self) -> float:
        """Mails a second over the whole run, kills and all."""
        return self.emails / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        lines = [f"{name:<28} {value}" for name, value in self.rows()]
        if not self.ok:
            lines += [
                f"files kept in {self.files}",
                "actions:",
                *self.timeline,
                "end of the log:",
                *self.log_tail,
            ]
        return "\n".join(lines)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and value of everything, in reading order."""
        yield "verdict", "every promise kept" if self.ok else "BROKEN"
        yield "seed", str(self.seed)
        yield "mails delivered", f"{self.emails:,} in {self.seconds:,.1f} s ({self.emails_per_s:,.0f}/s)"
        yield "handled", f"{self.handled:,}"
        if self.vanished:
            yield "removed on the server", f"{self.vanished:,}"
        yield "dead letters", _counts(self.dead)
        yield "lost", _some(self.lost)
        yield "handled twice as if new", _some(self.doubled)
        yield "begun twice as if new", _some(self.unmarked)
        yield "repeated without need", _some(self.unforced)
        yield "repeats, marked", self.repeats.in_words()
        yield "effects", f"{self.effects:,} under the unique key, {self.effects_doubled:,} doubled"
        yield "kill -9", _counts(self.kills)
        yield "disturbances", _counts(self.disturbances)
        yield "mail server's faults", _counts(self.mail_faults)
        yield "workers hung / died by a mail", f"{self.hung:,} / {self.died:,}"
        yield "recovery after a death", _recovery(self.recovery)
        yield "with more trouble around", _recovery(self.recovery_disturbed)
        yield "invariants breached", _some(self.breaches)


def _counts(counts: Mapping[str, int]) -> str:
    if not counts:
        return "0"
    return f"{sum(counts.values()):,}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _some(found: list[str]) -> str:
    more = ", ..." if len(found) > _SHOWN else ""
    return f"{len(found):,}" + (f": {'; '.join(found[:_SHOWN])}{more}" if found else "")


def _recovery(recovery: Recovery) -> str:
    if not recovery.mails:
        return "nothing was in hand"
    return (
        f"p50 {recovery.p50_ms:,.0f} ms, p99 {recovery.p99_ms:,.0f} ms, max {recovery.max_ms:,.0f} ms "
        f"({recovery.mails:,} mails)"
    )

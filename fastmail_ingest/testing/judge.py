"""From the evidence to the verdict. Does nothing but read: what it says of doctored evidence is tested.

A mail that reaches the handler again is fine if its `attempt` says so and there was no way around it: the
handler raised, or the process of the call before died (by our hand, its own, or the supervisor's) before the
outcome was written down. Anything else is a breach of a promise.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from fastmail_ingest.testing.evidence import Deed, Evidence
from fastmail_ingest.testing.plan import KILLS, Action
from fastmail_ingest.testing.records import FINISHED, RAISED, Call, Life
from fastmail_ingest.testing.report import Recovery, Repeats, Report


class Deaths:
    """Which processes died violently, and when."""

    def __init__(self, evidence: Evidence) -> None:
        self._worker_kills = [d for d in evidence.deeds if d.action is Action.KILL_WORKER]
        self._supervisor_kills = [d for d in evidence.deeds if d.action is Action.KILL_SUPERVISOR]
        self._log_deaths = evidence.log_deaths
        self._hung = [ended for ended in evidence.log_deaths if ended.killed]
        self._lives = evidence.records.lives.values()
        self._at = {id(life): self._find(life) for life in self._lives}

    def of(self, life: Life) -> float | None:
        """When the process was killed or killed itself; None if it ended in peace, or lives."""
        return self._at[id(life)]

    def kill_of(self, life: Life) -> Deed | None:
        """Our own kill of this very process, if there was one."""
        kills = [kill for kill in self._worker_kills if kill.pid == life.pid and kill.at >= life.born]
        return min(kills, key=lambda kill: kill.at, default=None)

    def _find(self, life: Life) -> float | None:
        kill = self.kill_of(life)
        times = [] if kill is None else [kill.at]
        times += [kill.at for kill in self._supervisor_kills if kill.pid == life.parent]
        times += [ended.at for ended in self._hung if ended.pid == life.pid]
        times = [at for at in times if at >= life.born]
        # A call without an end: nothing but death keeps the recorder from writing one down.
        if life.open_calls and (not times or self._died_by_itself(life)):
            times.append(max(life.open_calls.values()))
        return min(times, default=None)

    def _died_by_itself(self, life: Life) -> bool:
        return any(e.pid == life.pid and e.at >= life.born and not e.killed for e in self._log_deaths)

    def by_handler(self) -> int:
        """How many died in the middle of a call although nobody killed them."""
        hung = {ended.pid for ended in self._hung}
        return sum(
            1
            for life in self._lives
            if life.open_calls
            and self.kill_of(life) is None
            and life.pid not in hung
            and self._died_by_itself(life)
        )


class Judge:
    """Looks at each mail whose story is not simply "begun once, finished once"."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._deaths = Deaths(evidence)
        self._stories = evidence.records.calls(evidence.records.suspects())
        self.doubled: list[str] = []
        self.unmarked: list[str] = []
        self.unforced: list[str] = []
        self.repeats: Counter[str] = Counter()
        self.calm: list[float] = []  # recovery times, s
        self.disturbed: list[float] = []
        self.breaches: list[str] = list(evidence.troubles) + list(evidence.breaches)
        for identity, calls in self._stories.items():
            finished = False
            for before, call in pairwise(calls):
                finished |= before.outcome == FINISHED
                self._compare(identity, before, call, finished=finished)
        self.breaches += [*self._strangers(), *self._odd_dead_letters(), *self._crashes(), *self._effects()]

    def _compare(self, identity: str, before: Call, call: Call, *, finished: bool) -> None:
        died = self._deaths.of(before.life)
        if call.attempt <= 1:
            (self.doubled if finished else self.unmarked).append(identity)
        elif before.outcome == RAISED:
            self.repeats["after_failure"] += 1
        elif died is None or died > call.begun_at:
            self.unforced.append(identity)
        else:
            self.repeats["unsettled" if before.outcome == FINISHED else "in_hand"] += 1
            self._time_recovery(before, call)

    def _time_recovery(self, before: Call, call: Call) -> None:
        kill = self._deaths.kill_of(before.life)
        if kill is None:
            return
        troubled = any(deed.hinders(kill.at, call.begun_at) for deed in self._evidence.deeds)
        (self.disturbed if troubled else self.calm).append(call.begun_at - kill.at)

    # --- other breaches ----------------------------------------------------------------------------

    def lost(self) -> list[str]:
        """Delivered, and neither handled nor a dead letter; whether it is at least still queued."""
        evidence, finished = self._evidence, self._evidence.records.finished
        known = {letter.identity for letter in evidence.dead_letters} | set(evidence.vanished)
        missing = [i for i in evidence.expected if i.encode() not in finished and i not in known]
        return [f"{i} (still queued)" if i in evidence.queued else i for i in missing]

    def _strangers(self) -> Iterator[str]:
        expected = {identity.encode() for identity in self._evidence.expected}
        if strangers := self._evidence.records.begun.keys() - expected:
            example = min(strangers).decode()
            yield f"{len(strangers)} mails were handled that nobody sent, for example {example}"

    def _odd_dead_letters(self) -> Iterator[str]:
        finished = self._evidence.records.finished
        for letter in self._evidence.dead_letters:
            if letter.identity.encode() in finished:
                yield f"{letter.identity} was handled, and is a dead letter all the same ({letter.reason})"
            elif not self._stories.get(letter.identity):
                yield f"{letter.identity} is a dead letter ({letter.reason}), but no handler ever saw it"

    def _crashes(self) -> Iterator[str]:
        explained = {deed.pid for deed in self._evidence.deeds if deed.action in KILLS}
        explained |= {ended.pid for ended in self._evidence.log_deaths if ended.killed}
        explained |= {life.pid for life in self._evidence.records.lives.values() if life.open_calls}
        for ended in self._evidence.log_deaths:
            if ended.pid not in explained:
                yield f"a process died, and nobody had killed it: {ended.message}"

    def _effects(self) -> Iterator[str]:
        happened = set(self._evidence.effects)
        missing = [i for i in self._evidence.records.finished if i.decode() not in happened]
        if missing:
            yield f"{len(missing)} mails were handled without effect, for example {min(missing).decode()}"


def judge(evidence: Evidence, seed: int, seconds: float) -> Report:
    """The report on one run; `evidence.records` must have been read to the end."""
    found = Judge(evidence)
    kills = Counter(str(deed.action) for deed in evidence.deeds if deed.action in KILLS)
    others = Counter(str(deed.action) for deed in evidence.deeds if deed.action not in KILLS)
    return Report(
        seed=seed,
        emails=len(evidence.expected),
        seconds=seconds,
        handled=evidence.records.handled,
        vanished=len(evidence.vanished),
        dead=dict(Counter(letter.reason for letter in evidence.dead_letters)),
        lost=found.lost(),
        doubled=found.doubled,
        unmarked=found.unmarked,
        unforced=found.unforced,
        repeats=Repeats(**found.repeats),
        effects=len(evidence.effects),
        effects_doubled=len(evidence.effects) - len(set(evidence.effects)),
        kills=dict(kills),
        disturbances=dict(others),
        mail_faults=dict(evidence.struck),
        hung=sum(1 for ended in evidence.log_deaths if ended.killed),
        died=Deaths(evidence).by_handler(),
        recovery=Recovery.of(found.calm),
        recovery_disturbed=Recovery.of(found.disturbed),
        breaches=found.breaches,
        timeline=[deed.in_words(evidence.started) for deed in evidence.deeds],
        log_tail=list(evidence.log_tail),
    )

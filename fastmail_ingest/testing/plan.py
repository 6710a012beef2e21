"""What a chaos run shall do: its size, its actions, and the seeded schedule drawn from them. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from random import Random

import msgspec

Settings = Mapping[str, Mapping[str, str | int | float | bool]]
"""Sections of `supervisor.toml` with their keys, laid over those of the kit."""


class Action(StrEnum):
    """One thing that is done to the running system."""

    KILL_WORKER = "kill -9 a worker"
    KILL_PRODUCER = "kill -9 a producer"
    KILL_MAINTENANCE = "kill -9 maintenance"
    KILL_SUPERVISOR = "kill -9 the supervisor, start it again"
    KILL_REDIS = "kill -9 Redis, start it again"
    STOP_WORKER = "SIGSTOP a worker for a moment"
    STOP_REDIS = "SIGSTOP Redis for a moment"
    CUT_CONNECTIONS = "CLIENT KILL all connections"
    FLUSH_SCRIPTS = "SCRIPT FLUSH"
    FILL_MEMORY = "maxmemory 1 for a moment"
    READ_ONLY = "REPLICAOF nobody for a moment"
    NO_REPLICAS = "min-replicas-to-write 1 for a moment"
    DROP_GROUPS = "XGROUP DESTROY in all lanes"
    RELOAD = "SIGHUP"
    SCALE = "SIGTTIN, then SIGTTOU"


KILLS = (
    Action.KILL_WORKER,
    Action.KILL_PRODUCER,
    Action.KILL_MAINTENANCE,
    Action.KILL_SUPERVISOR,
    Action.KILL_REDIS,
)


class Mishap(StrEnum):
    """What the handler is made to do with a chosen mail; `..._ONCE` when it is first given it."""

    RAISE_ONCE = "raises once"
    RAISE_ALWAYS = "raises always"
    DIE_ONCE = "kills its process once"
    DIE_ALWAYS = "kills its process always"
    HANG_ONCE = "hangs once"


ENDS_DEAD = (Mishap.RAISE_ALWAYS, Mishap.DIE_ALWAYS)

_DEFAULT_WEIGHTS: dict[Action, float] = {
    Action.KILL_WORKER: 10,
    Action.KILL_PRODUCER: 3,
    Action.KILL_MAINTENANCE: 3,
    Action.KILL_SUPERVISOR: 2,
    Action.KILL_REDIS: 2,
    Action.STOP_WORKER: 2,
    Action.STOP_REDIS: 2,
    Action.CUT_CONNECTIONS: 2,
    Action.FLUSH_SCRIPTS: 1,
    Action.FILL_MEMORY: 1,
    Action.READ_ONLY: 1,
    Action.NO_REPLICAS: 1,
    Action.DROP_GROUPS: 1,
    Action.RELOAD: 1,
    Action.SCALE: 1,
}


class Chaos(msgspec.Struct, frozen=True, kw_only=True):
    """One run. The same values give the same schedule; what the processes make of it is up to them.

    `kills` of the weighted `actions` are kills, `disturbances` (as many, if None) are others. `mishaps`
    says how many mails the handler fails on, and how. `settings` go over the configuration of the kit.
    """

    emails: int = 1000
    kills: int = 10
    seed: int = 1
    disturbances: int | None = None
    actions: Mapping[Action, float] = msgspec.field(default_factory=lambda: dict(_DEFAULT_WEIGHTS))
    mishaps: Mapping[Mishap, int] = {}
    mail_faults: float = 0.0  # for each command to the simulated mail server: the chance that it fails
    procs: int = 2
    size: int = 1200  # bytes of each mail
    mailboxes: int = 2
    ahead: int = 0  # mails that wait for the handler at once; 0 = a tenth of all, from 40 to 4000
    rate: float = 0.0  # mails a second that are delivered at most; 0 = as fast as they are handled
    hang_timeout_s: float = 1.0  # [handler] timeout
    hold_s: tuple[float, float] = (0.02, 0.3)  # how long a moment is, at least and at most
    patience_s: float = 30.0  # without any progress for so long, the run ends and says what is stuck
    settings: Settings = {}

    @property
    def mails_ahead(self) -> int:
        """How many mails may wait for the handler at once."""
        return self.ahead or min(4000, max(40, self.emails // 10))


class Step(msgspec.Struct, frozen=True):
    """One action of a schedule: as soon as `at` mails were handled, and `delay_s` later."""

    at: int
    delay_s: float
    action: Action
    hold_s: float  # how long a lasting state lasts
    choice: float  # 0 to 1: which of several processes


def draw_steps(chaos: Chaos) -> list[Step]:
    """The schedule of a run, in its order."""
    rng = Random(f"steps {chaos.seed}")  # noqa: S311 - to be repeated, not to be secret
    kills = _weighted(chaos.actions, kills=True)
    others = _weighted(chaos.actions, kills=False)
    drawn = rng.choices(list(kills), list(kills.values()), k=chaos.kills) if kills else []
    wanted = chaos.kills if chaos.disturbances is None else chaos.disturbances
    drawn += rng.choices(list(others), list(others.values()), k=wanted) if others else []
    rng.shuffle(drawn)
    moments = sorted(rng.randrange(max(1, int(chaos.emails * 0.95))) for _ in drawn)
    # Later than all that a burst takes is as good a moment as in the middle of it: both are drawn.
    return [
        Step(at, rng.choice((0.0, rng.uniform(0, 0.01), rng.uniform(0, 0.1))), action, hold, rng.random())
        for at, action, hold in zip(moments, drawn, (rng.uniform(*chaos.hold_s) for _ in drawn), strict=True)
    ]


def _weighted(actions: Mapping[Action, float], *, kills: bool) -> dict[Action, float]:
    return {action: weight for action, weight in actions.items() if weight > 0 and (action in KILLS) == kills}


def draw_mishaps(chaos: Chaos, identities: Sequence[str]) -> dict[str, Mishap]:
    """Which of the mails the handler fails on; each of them in one way only."""
    rng = Random(f"mishaps {chaos.seed}")  # noqa: S311
    wanted = [mishap for mishap, count in chaos.mishaps.items() for _ in range(count)]
    return dict(zip(rng.sample(identities, len(wanted)), wanted, strict=True))

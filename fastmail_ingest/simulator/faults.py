"""What goes wrong on purpose, and when: the schedule of faults. How each is done stands in `mischief.py`."""

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from enum import Enum
from random import Random

import msgspec


class Fault(Enum):
    """What real mail servers, and the networks before them, do to a client."""

    CUT_LITERAL = "the connection ends in the middle of a mail"
    BYE = "the server says BYE and hangs up, in the middle of a FETCH or while the client idles"
    THROTTLE = "the server refuses a command for now, or answers it byte by byte"
    STUCK_IDLE = "IDLE is accepted and news are never told"
    HALF_OPEN = "the server answers no more, and the connection stays"
    WRONG_SIZE = "the size announced for a mail is not the size that comes"
    EXPUNGE_RACE = "mails that the client knows of are gone for good when it fetches them"
    SPLIT = "a FETCH comes in tiny pieces, mixed with flag updates and EXISTS"
    NO_TO_FETCH = "a FETCH is answered with NO, after some of its mails or before the first"
    DROP_ON_COMMAND = "the connection is reset when a command arrives"


VARIANTS: dict[Fault, tuple[str, ...]] = {
    Fault.THROTTLE: ("no", "bye", "drip"),
    Fault.WRONG_SIZE: ("larger", "endless", "smaller"),
    Fault.HALF_OPEN: ("at once", "within"),
    Fault.NO_TO_FETCH: ("at once", "within"),
}
"""The ways in which a fault can show, where there is more than one."""

OVER_QUOTA = ("over quota", "over quota, bye")
"""Ways of THROTTLE that chance never chooses, since a client rests for hours after them; see `over_quota`."""


class Strike(msgspec.Struct, frozen=True):
    """One fault that happens now; `variant` is one of VARIANTS, empty where there is only one way."""

    fault: Fault
    variant: str = ""


class _Armed(msgspec.Struct):
    strike: Strike
    after: int  # fitting occasions to let pass


class Faults:
    """Decides at each command whether a fault strikes: by chance, or because a test has armed it.

    The same seed gives the same decisions for the same commands. `rate` is the probability for each command,
    `kinds` are the faults that chance may choose. `drip_s` is the time in seconds between two bytes of an
    answer that drips. All methods may be called from any thread.
    """

    def __init__(
        self,
        seed: int = 0,
        rate: float = 0.0,
        kinds: Sequence[Fault] = tuple(Fault),
        *,
        drip_s: float = 1.0,
    ) -> None:
        self.struck: Counter[Fault] = Counter()
        self.expunged: set[tuple[str, int]] = set()
        """Mailbox name and UID of each mail that an EXPUNGE_RACE removed; none was ever sent to a client."""
        self.over_quota = False
        """While true, commands are refused as by Google when the bytes of a day are used up."""
        self.drip_s = drip_s
        self.random = Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._rate = rate
        self._kinds = tuple(kinds)
        self._armed: list[_Armed] = []
        self._poisoned: dict[tuple[str, int], Strike] = {}
        self._lock = threading.Lock()

    def arm(self, fault: Fault, times: int = 1, variant: str = "", after: int = 0) -> None:
        """Let `times` fitting occasions be struck for sure, once `after` of them have passed.

        Without a `variant`, chance chooses the way in which the fault shows.
        """
        if variant and variant not in VARIANTS.get(fault, ()):
            raise ValueError(f"{fault.name} has no variant {variant!r}")
        with self._lock:
            self._armed += [_Armed(Strike(fault, variant), after) for _ in range(times)]

    def poison(self, mailbox: str, uid: int, fault: Fault, variant: str = "") -> None:
        """From now on this mail strikes whenever its body is asked for: a fault of a FETCH."""
        with self._lock:
            self._poisoned[mailbox, uid] = Strike(fault, variant)

    def heal(self) -> None:
        """No mail is poisoned any more."""
        with self._lock:
            self._poisoned.clear()

    def poison_of(self, mailbox: str, uid: int) -> Strike | None:
        """What this mail does, if it is poisoned."""
        with self._lock:
            strike = self._poisoned.get((mailbox, uid))
            if strike is not None:
                self.struck[strike.fault] += 1
            return strike

    def refusal(self) -> Strike | None:
        """How a command is refused, if the account is over quota."""
        with self._lock:
            if not self.over_quota:
                return None
            self.struck[Fault.THROTTLE] += 1
            return Strike(Fault.THROTTLE, self.random.choice(OVER_QUOTA))

    def quiet(self) -> None:
        """No faults from now on, neither by chance nor armed ones; what has begun goes on."""
        with self._lock:
            self._rate = 0.0
            self._armed.clear()

    @property
    def armed(self) -> int:
        """How many armed faults still wait for their occasion."""
        return len(self._armed)

    def strike(self, fitting: Collection[Fault]) -> Strike | None:
        """What happens at an occasion that these faults fit; None if nothing does."""
        with self._lock:
            chosen = self._due(fitting) or self._by_chance(fitting)
            if chosen is None:
                return None
            self.struck[chosen.fault] += 1
            variants = VARIANTS.get(chosen.fault)
            if variants and not chosen.variant:
                return Strike(chosen.fault, self.random.choice(variants))
            return chosen

    def _due(self, fitting: Collection[Fault]) -> Strike | None:
        for at, armed in enumerate(self._armed):
            if armed.strike.fault in fitting:
                if armed.after == 0:
                    return self._armed.pop(at).strike
                armed.after -= 1
        return None

    def _by_chance(self, fitting: Collection[Fault]) -> Strike | None:
        if self._rate <= 0 or self.random.random() >= self._rate:
            return None
        kinds = [kind for kind in self._kinds if kind in fitting]
        return Strike(self.random.choice(kinds)) if kinds else None

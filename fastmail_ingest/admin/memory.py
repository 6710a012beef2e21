"""What has to be remembered from look to look, so that readiness can be judged."""

from collections import deque
from collections.abc import Sequence

from fastmail_ingest.model.snapshot import ReasonStanding, RoleStanding
from fastmail_ingest.model.standing import AccountStanding
from fastmail_ingest.policy.readiness import Limits, Reason, RoleFacts


class Memory:
    """Remembers deaths, shortages, mail that came, and reasons."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deaths: dict[str, deque[tuple[float, int]]] = {}
        self._short_since: dict[str, float] = {}
        self._been_ready: set[str] = set()
        self._appended: dict[tuple[str, str], tuple[int, float]] = {}
        self._reasons_since: dict[tuple[str, str], float] = {}

    def roles(self, roles: Sequence[RoleStanding], now: float) -> list[RoleFacts]:
        """What is to be judged of the roles; `now` is time.monotonic()."""
        return [self._role(role, now) for role in roles]

    def _role(self, role: RoleStanding, now: float) -> RoleFacts:
        seen = self._deaths.setdefault(role.role, deque())
        seen.append((now, role.deaths))
        while seen[0][0] < now - self._limits.deaths_window_s:
            seen.popleft()
        if role.ready >= role.wanted:
            self._been_ready.add(role.role)
            self._short_since.pop(role.role, None)
        short_s = now - self._short_since.setdefault(role.role, now) if role.ready < role.wanted else 0.0
        return RoleFacts(
            role.role, role.wanted, role.ready, short_s, role.deaths - seen[0][1], role.last_words,
            role.role in self._been_ready,
        )  # fmt: skip

    def moving(self, accounts: Sequence[AccountStanding], now: float) -> frozenset[tuple[str, str]]:
        """The mailboxes out of which mail came lately."""
        found: set[tuple[str, str]] = set()
        for account in accounts:
            for mailbox in account.mailboxes:
                key = (account.account, mailbox.mailbox)
                count, since = self._appended.get(key, (mailbox.appended, -self._limits.freshness_s))
                if count != mailbox.appended:
                    count, since = mailbox.appended, now
                self._appended[key] = (count, since)
                if now - since < self._limits.freshness_s:
                    found.add(key)
        return frozenset(found)

    def reasons(self, reasons: Sequence[Reason], now: float) -> list[ReasonStanding]:
        """The reasons with the time since which each holds; `now` is epoch seconds."""
        since = {
            key: self._reasons_since.get(key, now) for key in ((each.name, each.about) for each in reasons)
        }
        self._reasons_since = since
        return [
            ReasonStanding(each.name, each.about, each.message, each.remedy, since[each.name, each.about])
            for each in reasons
        ]

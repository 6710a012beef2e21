"""What a producer counts of the accounts that it fetches from."""

from collections.abc import Sequence

from fastmail_ingest.policy.breaker import State
from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry.metrics import counter, gauge, harmless, histogram


class ProducerMetrics:
    """One a process, shared by its threads. `accounts` are all that are configured."""

    def __init__(self, accounts: Sequence[str]) -> None:
        # The first ones as they are configured: so all processes give the same accounts a label.
        self._labelled = frozenset(accounts[: c.ACCOUNTS_MAX])
        self._fetched = counter(c.EMAILS_FETCHED)
        self._bytes = counter(c.FETCHED_BYTES)
        self._produced = counter(c.EMAILS_PRODUCED)
        self._duplicates = counter(c.DUPLICATES)
        self._polls = counter(c.IMAP_POLLS)
        self._poll_duration = histogram(c.IMAP_POLL_DURATION)
        self._breaker = gauge(c.CIRCUIT_BREAKER_STATE, "livemax")
        self._shown: dict[str, State] = {}
        # A series that is there from the beginning shows its first rise, too.
        for account in accounts:
            for metric in (self._fetched, self._bytes, self._produced, self._duplicates):
                metric.labels(self._label(account))
            for result in ("ok", "failed"):
                self._polls.labels(self._label(account), result)

    def _label(self, account: str) -> str:
        return account if account in self._labelled else c.OTHER

    @harmless
    def fetched(self, account: str, mails: int, size: int) -> None:
        """Mails and their bytes came from the server."""
        label = self._label(account)
        self._fetched.labels(label).inc(mails)
        self._bytes.labels(label).inc(size)

    @harmless
    def appended(self, account: str, new: int, known: int) -> None:
        """Of these mails some were new, the others known."""
        label = self._label(account)
        self._produced.labels(label).inc(new)
        self._duplicates.labels(label).inc(known)

    @harmless
    def polled(self, account: str, ok: bool, seconds: float) -> None:
        """A mailbox was looked at, and what was new was taken over."""
        self._polls.labels(self._label(account), "ok" if ok else "failed").inc()
        self._poll_duration.observe(seconds)

    @harmless
    def breaker(self, name: str, state: State) -> None:
        """The state of the breaker around an account; may be called as often as one likes."""
        if self._shown.get(name) is not state and (name in self._shown or len(self._shown) < c.ACCOUNTS_MAX):
            self._shown[name] = state
            self._breaker.labels(name).set(state)

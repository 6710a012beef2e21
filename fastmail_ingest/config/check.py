"""What no single value shows: combinations that cannot work, and files that are not there."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fastmail_ingest.config.account import Account
from fastmail_ingest.config.admin import HOW_TO_MAKE_ONE, AdminConfig
from fastmail_ingest.config.draft import NOT_REPEATED, Draft
from fastmail_ingest.config.explain import complaint, literal
from fastmail_ingest.config.failure import RetryConfig, RetryFor
from fastmail_ingest.config.layout import ACCOUNTS, RETRY_FOR, label
from fastmail_ingest.config.provider import OAUTH_OF, PROVIDERS, provider_of
from fastmail_ingest.config.schema import Config, RedisConfig

# What a handler raises to say what is to be done: no rule changes that.
_WITHOUT_RULES = ("Reject", "CircuitOpen")
_ACCOUNT_EXAMPLE = """write one into {file}:
  [[accounts]]
  name = "work"
  host = "imap.example.com"
  user = "me@example.com"
  password_file = "work.password\""""


def check(config: Config, draft: Draft, *, require_accounts: bool) -> None:
    """Raise ConfigError for the first combination that cannot work."""
    if require_accounts and not config.accounts:
        file = draft.origin if draft.from_file else "supervisor.toml"
        place = f"{draft.origin}: [[accounts]]"
        raise complaint(place, "expected at least one, got none", _ACCOUNT_EXAMPLE.format(file=file))
    names = [account.name for account in config.accounts]
    _check_labels_differ(ACCOUNTS, names, draft, 'rename the newer one, e.g. name = "{}2"')
    for index, account in enumerate(config.accounts):
        _check_account(account, draft, index)
    _check_redis(config.redis, draft)
    _check_admin(config.admin, config.producer.poll_max, draft)
    _check_handlers(draft)
    producer, retry = config.producer, config.retry
    _check_order(draft, "producer", ("poll_min", producer.poll_min), ("poll_max", producer.poll_max))
    _check_order(draft, "retry", ("first", retry.first), ("cap", retry.cap))
    errors = [rule.error for rule in config.retry_for]
    _check_labels_differ(RETRY_FOR, errors, draft, "keep one of the two blocks")
    for index, rule in enumerate(config.retry_for):
        _check_rule(rule, config.retry, draft, index)


def _check_rule(rule: RetryFor, general: RetryConfig, draft: Draft, index: int) -> None:
    """Refuse a rule that could not do what it says."""
    if rule.error.rpartition(".")[2] in _WITHOUT_RULES:
        problem = f"expected an exception that rules are for, got {literal(rule.error)}"
        remedy = "remove the block: Reject never is tried again, and CircuitOpen waits for its breaker"
        raise complaint(draft.place(RETRY_FOR, "error", index), problem, remedy)
    if not rule.reject:
        said = rule.over(general)
        _check_order(draft, RETRY_FOR, ("first", said.first), ("cap", said.cap), index)


def _check_order(
    draft: Draft, section: str, low: tuple[str, float], high: tuple[str, float], index: int = NOT_REPEATED
) -> None:
    if high[1] >= low[1]:
        return
    written = draft.tables.get(section, {}) if index == NOT_REPEATED else draft.listed(section)[index]
    # Blame what was written: the other one may be a default that stands nowhere.
    blamed = high[0] if high[0] in written else low[0]
    problem = f"expected {high[0]} >= {low[0]}, got {high[0]} = {high[1]:g} and {low[0]} = {low[1]:g}"
    remedy = f"raise {high[0]} to {low[1]:g} or more, or lower {low[0]}"
    raise complaint(draft.place(section, blamed, index), problem, remedy)


def _check_labels_differ(section: str, labels: list[str], draft: Draft, remedy: str) -> None:
    """Refuse two tables of a list with one label; `remedy` may quote it."""
    for index in _repeated(labels):
        first = labels.index(labels[index]) + 1
        place = draft.place(section, label(section), index)
        problem = f"expected one of its own, got that of number {first}"
        raise complaint(place, problem, remedy.format(labels[index][:30]))


def _check_account(account: Account, draft: Draft, index: int) -> None:
    # INBOX is the one mailbox whose name means the same in any case (RFC 3501, 5.1).
    boxes = ["INBOX" if name.upper() == "INBOX" else name for name in account.mailboxes]
    for repeated in _repeated(boxes):
        name = literal(account.mailboxes[repeated])
        problem = f"expected each mailbox once, got {name} again"
        raise complaint(draft.place(ACCOUNTS, "mailboxes", index), problem, f"remove the second {name}")
    if not account.host:
        place = draft.place(ACCOUNTS, "host", index)
        remedy = 'write host = "imap.example.com", or provider = "gmail" or another that is known'
        raise complaint(place, "missing; expected a host name, or a provider", remedy)
    _check_login(account, draft, index)
    if account.tls_ca_file:
        _check_readable(account.tls_ca_file, draft, index)


def _check_login(account: Account, draft: Draft, index: int) -> None:
    """Refuse tokens of one provider for a mailbox of another."""
    provider = provider_of(account.provider, account.host)
    allowed = PROVIDERS[provider].oauth
    for key in OAUTH_OF:
        if not getattr(account, key) or key in allowed:
            continue
        problem = f"expected a login that {provider} takes, got one of {OAUTH_OF[key]}"
        instead = f"{allowed[0]} = ..." if allowed else f'password_file = "{account.name}.password"'
        remedy = f'write {instead} (see docs/OAUTH2_SETUP.md), or provider = "{OAUTH_OF[key]}"'
        raise complaint(draft.place(ACCOUNTS, key, index), problem, remedy)


def _check_readable(name: str, draft: Draft, index: int) -> None:
    try:
        with Path(name).open("rb"):
            return
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a path"
    problem = f"expected a readable PEM file at {literal(name)}, got: {reason}"
    remedy = "correct the path, or remove the line to trust the system's authorities"
    raise complaint(draft.place(ACCOUNTS, "tls_ca_file", index), problem, remedy)


def _check_handlers(draft: Draft) -> None:
    written = draft.tables.get("handler", {})
    if "target" in written and written.get("handlers"):
        problem = "expected target or handlers, got both"
        raise complaint(draft.place("handler", "handlers"), problem, "keep one of them")


def _check_redis(redis: RedisConfig, draft: Draft) -> None:
    place = draft.place("redis", "url")
    try:
        # Asking for the port is what makes urlsplit look at it.
        _ = urlsplit(redis.url).port
    except ValueError:
        problem = "expected host and port that can be read from the URL (not shown), got something else"
        raise complaint(place, problem, 'write url = "redis://localhost:6379/0"') from None
    if redis.password and not redis.url:
        problem = "expected an address to go with the password, got none"
        raise complaint(place, problem, 'write url = "redis://localhost:6379/0", or remove the password')


def _repeated(names: Sequence[str]) -> list[int]:
    """The positions at which a name stands that stood before."""
    return [index for index, name in enumerate(names) if name in names[:index]]


def _check_admin(admin: AdminConfig, poll_max: float, draft: Draft) -> None:
    if 0 < admin.freshness < poll_max:
        problem = f"expected at least [producer] poll_max ({poll_max:g}), got {admin.freshness:g}"
        remedy = "raise it, or remove the line: it then follows from poll_max"
        raise complaint(draft.place("admin", "freshness"), problem, remedy)
    if admin.metrics_port and admin.metrics_port == admin.port:
        problem = f"expected another port than that of the rest, got {admin.port} for both"
        remedy = "remove the line: /metrics is on that port, too"
        raise complaint(draft.place("admin", "metrics_port"), problem, remedy)
    if admin.metrics_port and not admin.port:
        problem = "expected a port for the rest as well, got port = 0"
        raise complaint(
            draft.place("admin", "metrics_port"), problem, "write port = 8080, or remove the line"
        )
    if admin.port and not admin.is_loopback and not admin.token:
        problem = f"expected a token for an address that others can reach, got {literal(admin.host)} without"
        remedy = f'{HOW_TO_MAKE_ONE}; or write host = "127.0.0.1"'
        raise complaint(draft.place("admin", "host"), problem, remedy)

"""`cursor show|reset|rewind`: where we are in each mailbox, and how to go back in it."""

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.audit import listed, named
from fastmail_ingest.app.operate.history import connecting
from fastmail_ingest.config import Account, Config
from fastmail_ingest.errors import ConfigError, FastmailIngestError, StreamUnavailable
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.policy import uidplan
from fastmail_ingest.source.history import HistoryConnection
from fastmail_ingest.stream.cursors import Cursors, StoredCursor, is_below

__all__ = ["Cursors", "Target", "reset", "rewind", "show"]

_STATES_AT_ONCE = 1000


class Target(msgspec.Struct, frozen=True):
    """Whose cursors are meant; without a mailbox those of all mailboxes of the account."""

    account: str
    mailbox: str = ""


class Forecast(msgspec.Struct):
    """What going back will cause in one mailbox: `read` mails are read again.

    Of those `done` and `queued` are known and not handled again; `unknown` ones are, unless their content is
    known. `error` says why nobody knows. `last_uid` is where a cursor is put back to; None: it is not.
    """

    account: str
    mailbox: str
    last_uid: int | None = None
    read: int = 0
    done: int = 0
    queued: int = 0
    unknown: int = 0
    note: str = ""
    error: str = ""


# --- show ----------------------------------------------------------------------------------------------


def show(cursors: Cursors, target: Target, *, as_json: bool) -> None:
    """Print the cursors."""
    found = cursors.all(target.account, target.mailbox)
    if not found and target.account:
        raise _no_such(cursors)
    if as_json:
        words.say_json({"cursors": [_facts(each) for each in found]})
        return
    if not found:
        words.say("no mailbox was read yet")
        return
    columns = ("mailbox", "UIDVALIDITY", "UID or byte", "mails", "last moved (UTC)", "since (UTC)")
    words.console().print(
        words.table(columns, map(_row, found), numbers=("UIDVALIDITY", "UID or byte", "mails"))
    )


def _facts(stored: StoredCursor) -> dict[str, object]:
    return {
        **msgspec.structs.asdict(stored.key), **msgspec.structs.asdict(stored.cursor),
        "moved_at": stored.moved_at, "since": stored.since, "count": stored.count, "import": stored.is_import,
        "name": stored.name,
    }  # fmt: skip


def _row(stored: StoredCursor) -> Sequence[object]:
    cursor = stored.cursor
    # What an archive's position counts is no UID, and its validity says nothing.
    validity = "" if stored.is_import else uidplan.server_validity(cursor.uid_validity)
    times = (words.moment(at) if at else "" for at in (stored.moved_at, stored.since))
    name = f"{stored.key} ({stored.name})" if stored.name else str(stored.key)
    return (name, validity, cursor.last_uid, stored.count, *times)


# --- reset ---------------------------------------------------------------------------------------------


def reset(
    config: Config, cursors: Cursors, target: Target, ask: Callable[[str], None], *, as_json: bool
) -> None:
    """Forget cursors, after saying what that will cause and asking."""
    meant = _meant(cursors, target)
    forecasts = [_of_reset(config, cursors, stored) for stored in meant]
    ask(f"{_foretold(forecasts)}\nForget {_counted(meant)}?")
    forgotten = sum(cursors.forget(stored.key) for stored in meant)
    _say(forecasts, f"{_cursors(forgotten)} forgotten", as_json=as_json)


def _of_reset(config: Config, cursors: Cursors, stored: StoredCursor) -> Forecast:
    found = Forecast(stored.key.account, stored.key.mailbox)
    account = _account(config, stored.key.account)
    if stored.is_import:
        found.note = "it is read from its beginning when it is imported again; known mails are recognised"
    elif account is not None and account.start == "now":
        found.note = (
            'with start = "now" all that is there then is left alone. '
            "remedy: to read it anew, use `cursor rewind --to 1`"
        )
    else:
        _survey(config, cursors, stored, found, lambda _: 0)
    return found


# --- rewind --------------------------------------------------------------------------------------------


def rewind(
    config: Config,
    cursors: Cursors,
    target: Target,
    to: int | date,
    *,
    ask: Callable[[str], None],
    as_json: bool,
) -> None:
    """Put cursors back, so that the mails from UID `to` on, or from that day on, are read again."""
    meant = [stored for stored in _meant(cursors, target) if not stored.is_import]
    if not meant:
        raise ConfigError("an import has no UIDs. remedy: `cursor reset`, or `import --restart`")
    if isinstance(to, int) and len(meant) > 1:
        raise ConfigError("a UID belongs to one mailbox. remedy: name it, or use --since")
    forecasts = [_of_rewind(config, cursors, stored, to) for stored in meant]
    behind = [each for each in forecasts if each.last_uid is not None]
    if not behind:
        _say(forecasts, "nothing is put back", as_json=as_json)
        return
    ask(f"{_foretold(forecasts)}\nPut {_counted(behind)} back?")
    moved = [
        cursors.put_back(MailboxKey(each.account, each.mailbox), each.last_uid)
        for each in behind
        if each.last_uid is not None
    ]
    _say(forecasts, f"{_cursors(len(moved) - moved.count(None))} put back", as_json=as_json)


def _of_rewind(config: Config, cursors: Cursors, stored: StoredCursor, to: int | date) -> Forecast:
    found, last_uid = Forecast(stored.key.account, stored.key.mailbox), stored.cursor.last_uid
    if isinstance(to, int):
        if to > last_uid:
            found.note = f"its cursor is at UID {last_uid}, and never put forward: that would pass over mails"
        else:
            found.last_uid = to - 1
            _survey(config, cursors, stored, found, lambda _: to - 1)
        return _told_of_beginning(found, stored)

    def before(source: HistoryConnection) -> int:
        uids = source.uids_between(to, None, last_uid + 1)
        found.last_uid = uids[0] - 1 if uids else None
        found.note = "" if uids else f"no mail that was read came since {to}"
        return uids[0] - 1 if uids else last_uid

    _survey(config, cursors, stored, found, before)
    return _told_of_beginning(found, stored)


def _told_of_beginning(found: Forecast, stored: StoredCursor) -> Forecast:
    if found.last_uid is not None and is_below(found.last_uid, stored.cursor, stored.began):
        what = 'it began with start = "now", and what was left alone then is no longer, not even later'
        found.note = f"{found.note} {what}".strip()
    return found


# --- what it will cause --------------------------------------------------------------------------------


def _meant(cursors: Cursors, target: Target) -> list[StoredCursor]:
    """The cursors that are meant; imports only by their own name."""
    found = cursors.all(target.account, target.mailbox)
    meant = [stored for stored in found if target.mailbox or not stored.is_import]
    if not meant:
        raise _no_such(cursors)
    return meant


def _no_such(cursors: Cursors) -> ConfigError:
    known = ", ".join(str(stored.key) for stored in cursors.all())
    there = f"one of {known}" if known else "nothing was read yet: start `fastmail-ingest supervise`"
    return ConfigError(f"there is no such cursor. remedy: {words.clean(there)}")


def _account(config: Config, name: str) -> Account | None:
    return next((account for account in config.accounts if account.name == name), None)


def _survey(
    config: Config,
    cursors: Cursors,
    stored: StoredCursor,
    found: Forecast,
    before: Callable[[HistoryConnection], int],
) -> None:
    """Ask the mail server which mails would be read again, and the ledger which of them it knows."""
    account = _account(config, stored.key.account)
    if account is None:
        found.error = "its account is not configured, so its mail server cannot be asked"
        return
    try:
        with closing(connecting(config, account)()) as source:
            state = source.examine(stored.key.mailbox)
            if uidplan.start(stored.cursor, state) != stored.cursor:
                found.note = "the server has given up its UIDs: it is read anew in any case"
            with words.busy(f"look at what is in {stored.key}"):
                for mails in listed(source, state, before(source)):
                    behind = [mail for mail in mails if mail.uid <= stored.cursor.last_uid]
                    _count(found, cursors, list(named(stored.key, stored.cursor.uid_validity, behind)))
                    if len(behind) < len(mails):
                        return
    except StreamUnavailable:
        raise
    except FastmailIngestError as error:
        found.error = str(error)


def _count(found: Forecast, cursors: Cursors, identities: Sequence[str]) -> None:
    found.read += len(identities)
    for start in range(0, len(identities), _STATES_AT_ONCE):
        states = cursors.states(identities[start : start + _STATES_AT_ONCE])
        found.unknown += states.count("unknown")
        found.queued += states.count("queued")
        found.done += len(states) - states.count("unknown") - states.count("queued")


# --- saying it -----------------------------------------------------------------------------------------


def _foretold(forecasts: Sequence[Forecast]) -> str:
    return "\n".join(map(_in_words, forecasts))


def _in_words(each: Forecast) -> str:
    name = f"{each.account}/{each.mailbox}"
    if each.error:
        return f"{name}: what it will cause cannot be told: {each.error}"
    if each.last_uid is None and each.note:
        return f"{name}: {each.note}"
    known = f"{each.done} are done and {each.queued} queued, and not handled again"
    anew = f"{each.unknown} are unknown, and handled anew unless their content is known"
    return f"{name}: {each.read} mails will be read again: {known}; {anew}. {each.note}".rstrip()


def _counted(cursors: Sequence[object]) -> str:
    return "it" if len(cursors) == 1 else f"these {len(cursors)} cursors"


def _cursors(count: int) -> str:
    return "1 cursor is" if count == 1 else f"{count} cursors are"


def _say(forecasts: Sequence[Forecast], what: str, *, as_json: bool) -> None:
    if as_json:
        words.say_json({"result": what, "mailboxes": [msgspec.structs.asdict(each) for each in forecasts]})
        return
    for each in forecasts:
        words.say(_in_words(each))
    words.say(what)

"""`supervise --dry-run`: what would be fetched and handled, without writing anything anywhere."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fastmail_ingest.app.credentials import tokens_of
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.producer_role import connections
from fastmail_ingest.config import Account, Config, mask_url
from fastmail_ingest.errors import EXIT_OK, EXIT_UNAVAILABLE, FastmailIngestError
from fastmail_ingest.handler.chain import load as load_handler
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey
from fastmail_ingest.model.mime import Mail
from fastmail_ingest.policy import uidplan
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.server import OwnServer, find_binary

SHOWN_PER_MAILBOX = 20


class FoundMail(msgspec.Struct, frozen=True):
    """A mail that would be handled."""

    uid: int
    size_bytes: int
    sender: str
    subject: str


class FoundMailbox(msgspec.Struct):
    """A mailbox: the mails in it, those that would be handled, and the first of them."""

    account: str
    mailbox: str
    mails: int
    to_handle: int = 0
    to_handle_bytes: int = 0
    first: list[FoundMail] = []


class DryRun(msgspec.Struct):
    """All that was found; `redis_error` if it is unknown what was handled, `errors` of mail servers."""

    handlers: list[str]
    redis_error: str = ""
    mailboxes: list[FoundMailbox] = []
    errors: list[str] = []


def dry_run(config: Config, config_path: Path | None, *, as_json: bool) -> int:
    """Print each mailbox with the mails that a real run would hand to the handler; returns the exit code."""
    load_handler(config, search_paths(config_path))
    found = DryRun(list(config.handler.targets))
    if not as_json:
        words.say(f"dry run: nothing is written; handler would be {', '.join(found.handlers)}", "bold")
    ledger = _ledger(config, found)
    if found.redis_error and not as_json:
        words.say(found.redis_error)
    for account, mailboxes in connections(config.accounts):
        try:
            for mailbox in _mailboxes(config, account, mailboxes, ledger):
                found.mailboxes.append(mailbox)
                if not as_json:
                    _say(mailbox)
        except FastmailIngestError as error:
            found.errors.append(str(error))
            if not as_json:
                words.say(str(error), "red")
    if as_json:
        words.say_json(msgspec.to_builtins(found))
    return EXIT_UNAVAILABLE if found.errors else EXIT_OK


def _ledger(config: Config, found: DryRun) -> Ledger | None:
    """The ledger if Redis runs. Our own server is not started for this: that would write files."""
    url = config.redis.url or OwnServer(find_binary(), Path(config.redis.data_dir)).url
    ledger = Ledger(url, config.redis.password, Arguments(Keys(config.redis.prefix), config.ledger.keep_days))
    try:
        ledger.ping()
    except UNAVAILABLE:
        found.redis_error = f"Redis {mask_url(url)} is not running: all mails count as new"
        return None
    return ledger


def _mailboxes(
    config: Config, account: Account, names: list[str], ledger: Ledger | None
) -> Iterator[FoundMailbox]:
    section = config.producer
    source = Connection(account, section.timeout, section.max_mail, tokens_of(account))
    for name in names:
        key = MailboxKey(account.name, name)
        stored = ledger.cursor(key) if ledger else Cursor()
        state = source.examine(name)
        cursor = uidplan.start(stored, state, begin_now=account.start == "now")
        found = FoundMailbox(account.name, name, state.exists)
        for mail in _headers(source, cursor, state.uid_next, section.window):
            found.to_handle += 1
            found.to_handle_bytes += mail.size
            if found.to_handle <= SHOWN_PER_MAILBOX:
                found.first.append(_head_of(mail))
        yield found
    source.close()


def _headers(source: Connection, cursor: Cursor, uid_next: int, window: int) -> Iterator[Fetched]:
    last_uid = cursor.last_uid
    while part := uidplan.next_window(last_uid, uid_next, window):
        yield from source.fetch(part, headers_only=True)
        last_uid = part.last


def _head_of(mail: Fetched) -> FoundMail:
    head = Mail(mail.raw or b"").head
    return FoundMail(mail.uid, mail.size, head.from_.address if head.from_ else "", head.subject)


def _say(mailbox: FoundMailbox) -> None:
    name = str(MailboxKey(mailbox.account, mailbox.mailbox))
    for mail in mailbox.first:
        what = f"from {mail.sender or 'nobody'}: {mail.subject or '(no subject)'}"
        words.say(f"  {name} uid {mail.uid}, {mail.size_bytes} bytes, {what}")
    more = f" (the first {SHOWN_PER_MAILBOX} are shown)" if mailbox.to_handle > len(mailbox.first) else ""
    size = f"{mailbox.to_handle_bytes / 1e6:.1f} MB"
    words.say(f"{name}: {mailbox.mails} mails, {mailbox.to_handle} would be handled, {size}{more}")

"""`supervise --dry-run`: what would be fetched and handled, without writing anything anywhere."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from fastmail_ingest.app.credentials import tokens_of
from fastmail_ingest.app.producer_role import connections
from fastmail_ingest.config import Config, mask_url
from fastmail_ingest.errors import EXIT_OK, EXIT_UNAVAILABLE, FastmailIngestError
from fastmail_ingest.handler.chain import load as load_handler
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey, MailboxState
from fastmail_ingest.model.mime import Mail
from fastmail_ingest.policy import uidplan
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.server import OwnServer, find_binary

SHOWN_PER_MAILBOX = 20


def dry_run(config: Config, config_path: Path | None) -> int:
    """Print each mailbox with the mails that a real run would hand to the handler."""
    out = Console(soft_wrap=True)
    load_handler(config, search_paths(config_path))
    out.print(
        f"dry run: nothing is written; handler would be [bold]{escape(', '.join(config.handler.targets))}[/]"
    )
    ledger = _ledger(config, out)
    failed = False
    for account, mailboxes in connections(config.accounts):
        try:
            section = config.producer
            source = Connection(account, section.timeout, section.max_mail, tokens_of(account))
            for mailbox in mailboxes:
                key = MailboxKey(account.name, mailbox)
                stored = ledger.cursor(key) if ledger else Cursor()
                state = source.examine(mailbox)
                cursor = uidplan.start(stored, state, begin_now=account.start == "now")
                _show(key, state, _headers(source, cursor, state.uid_next, section.window), out)
            source.close()
        except FastmailIngestError as error:
            failed = True
            out.print(f"[red]{escape(str(error))}[/]")
    return EXIT_UNAVAILABLE if failed else EXIT_OK


def _ledger(config: Config, out: Console) -> Ledger | None:
    """The ledger if Redis runs. Our own server is not started for this: that would write files."""
    url = config.redis.url or OwnServer(find_binary(), Path(config.redis.data_dir)).url
    ledger = Ledger(url, config.redis.password, Arguments(Keys(config.redis.prefix), config.ledger.keep_days))
    try:
        ledger.ping()
    except UNAVAILABLE:
        out.print(f"Redis {escape(mask_url(url))} is not running: all mails count as new")
        return None
    return ledger


def _show(key: MailboxKey, state: MailboxState, mails: Iterator[Fetched], out: Console) -> None:
    count = size = 0
    for fetched in mails:
        count += 1
        size += fetched.size
        if count <= SHOWN_PER_MAILBOX:
            out.print(f"  {escape(str(key))} {_line(fetched)}")
    more = f" (the first {SHOWN_PER_MAILBOX} are shown)" if count > SHOWN_PER_MAILBOX else ""
    out.print(
        f"{escape(str(key))}: {state.exists} mails, {count} would be handled, {size / 1e6:.1f} MB{more}"
    )


def _headers(source: Connection, cursor: Cursor, uid_next: int, window: int) -> Iterator[Fetched]:
    last_uid = cursor.last_uid
    while part := uidplan.next_window(last_uid, uid_next, window):
        yield from source.fetch(part, headers_only=True)
        last_uid = part.last


def _line(fetched: Fetched) -> str:
    head = Mail(fetched.raw or b"").head
    sender = head.from_.address if head.from_ else "nobody"
    text = f"uid {fetched.uid}, {fetched.size} bytes, from {sender}: {head.subject or '(no subject)'}"
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))

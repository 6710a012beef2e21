"""A mail server for demo, benchmarks and tests: real IMAP over real sockets, with mails made up as needed.

Put `Mail`s into a `Mailbox`, mailboxes into an `Account`, accounts into a `Store`, and serve it with an
`ImapServer` on a running event loop, or with a `ServerThread` beside a program that has none. A `Link` is a
slow or broken line to it.
"""

from fastmail_ingest.simulator.corpus import Corpus, mixed
from fastmail_ingest.simulator.delivery import DUE_HEADER, NUMBER_HEADER, bench_stamp, deliver, preload
from fastmail_ingest.simulator.faults import Fault, Faults
from fastmail_ingest.simulator.line import Line
from fastmail_ingest.simulator.link import Link
from fastmail_ingest.simulator.mailbox import Account, Fixed, Mail, Mailbox, Store, mail_of
from fastmail_ingest.simulator.samples import demo_account, samples
from fastmail_ingest.simulator.server import ImapServer
from fastmail_ingest.simulator.session import Session, Tally
from fastmail_ingest.simulator.thread import ServerThread
from fastmail_ingest.simulator.uidset import UidSet

__all__ = [
    "DUE_HEADER",
    "NUMBER_HEADER",
    "Account",
    "Corpus",
    "Fault",
    "Faults",
    "Fixed",
    "ImapServer",
    "Line",
    "Link",
    "Mail",
    "Mailbox",
    "ServerThread",
    "Session",
    "Store",
    "Tally",
    "UidSet",
    "bench_stamp",
    "deliver",
    "demo_account",
    "mail_of",
    "mixed",
    "preload",
    "samples",
]

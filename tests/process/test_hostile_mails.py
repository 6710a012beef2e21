"""Hostile mails through real workers whose handler reads all of each: every one is handled, no worker dies."""

from pathlib import Path

from support.corpora import kept_mails
from support.invariants import assert_invariants, dead_letters, done_count

from fastmail_ingest.simulator import mail_of
from fastmail_ingest.testing import hostile_mails

COUNT = 600
TESTS = Path(__file__).parent.parent
BODY = f"""

    import sys

    sys.path.insert(0, {str(TESTS)!r})
    from support.everything import read_everything

    def handle(email):
        read_everything(email)
        note(email)
"""


def test_every_hostile_mail_is_handled(house, simulated, redis_server) -> None:
    bases = [path.read_bytes() for path in kept_mails()]
    mails = [mail_of(raw) for raw in hostile_mails(5, COUNT, bases)]
    simulated.server.call(lambda: [simulated.mailbox.append(mail) for mail in mails])
    run = house(BODY, retry="attempts = 1")
    assert run.run("--once") == 0, run.text()
    client = redis_server.client()
    assert dead_letters(client) == []
    assert done_count(client) == COUNT
    assert "died" not in run.text()
    assert_invariants(client)

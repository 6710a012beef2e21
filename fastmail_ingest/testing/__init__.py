"""For tests of your own handler: one mail through it, or chaos around it.

What becomes of one mail, as a worker would handle it; no Redis, no mail server, no process of its own:

    from fastmail_ingest.testing import run_handler

    outcome = run_handler("shop:handle", "sample.eml")
    assert outcome.done, outcome

An `Email` for a test of what the handler is made of:

    from fastmail_ingest.testing import make_email

    assert order_number(make_email(b"Subject: Order 4711\\n\\n")) == "4711"

Kill everything around the handler by a seeded schedule, and see that nothing is lost:

    from fastmail_ingest.testing import Chaos, run_chaos

    report = run_chaos("shop:handle", Chaos(emails=2000, kills=20, seed=7))
    print(report)
    assert report.ok, report

Mails as strangers send them, the same from the same seed, and sound ones with what is in them:

    from fastmail_ingest.testing import hostile_mails, run_handler, sound_mail

    for raw in hostile_mails(seed=7, count=1000):
        assert run_handler("shop:handle", raw).done
    assert run_handler("shop:handle", sound_mail(seed=7, number=1).raw).done

For chaos, a simulated mail server, a Redis of its own (redis-server or valkey-server on PATH, else the
`embedded` extra) and the real `fastmail-ingest supervise` run around it. Nothing but a temporary directory
is touched.
"""

from importlib import import_module
from typing import Any

from fastmail_ingest.testing.outcome import Outcome
from fastmail_ingest.testing.run_handler import make_email, run_handler

# Loaded when they are asked for: a test of one mail needs neither Redis' client nor a mail server.
_LAZY = {
    "KILLS": "plan",
    "Action": "plan",
    "Chaos": "plan",
    "Login": "mail",
    "MailSource": "mail",
    "Mishap": "plan",
    "Progress": "conductor",
    "Recovery": "report",
    "Repeats": "report",
    "Report": "report",
    "SimulatedMail": "mail",
    "Step": "plan",
    "SoundMail": "mails.sound",
    "draw_steps": "plan",
    "hostile_mail": "mails.hostile",
    "hostile_mails": "mails.hostile",
    "run_chaos": "run",
    "sound_mail": "mails.sound",
}

__all__ = ["Outcome", "make_email", "run_handler"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"fastmail_ingest.testing.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Chaos for your own handler: kill everything around it by a seeded schedule, and see that nothing is lost.

    from fastmail_ingest.testing import Chaos, run_chaos

    report = run_chaos("shop:handle", Chaos(emails=2000, kills=20, seed=7))
    print(report)
    assert report.ok, report

A simulated mail server, a Redis of its own (redis-server or valkey-server on PATH, else the `embedded` extra)
and the real `fastmail-ingest supervise` run around the handler. Nothing but a temporary directory is touched.
"""

from fastmail_ingest.testing.conductor import Progress
from fastmail_ingest.testing.mail import Login, MailSource, SimulatedMail
from fastmail_ingest.testing.plan import KILLS, Action, Chaos, Mishap, Step, draw_steps
from fastmail_ingest.testing.report import Recovery, Repeats, Report
from fastmail_ingest.testing.run import run_chaos

__all__ = [
    "KILLS",
    "Action",
    "Chaos",
    "Login",
    "MailSource",
    "Mishap",
    "Progress",
    "Recovery",
    "Repeats",
    "Report",
    "SimulatedMail",
    "Step",
    "draw_steps",
    "run_chaos",
]

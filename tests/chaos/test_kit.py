"""The kit sees what goes wrong in a real run, not only in doctored evidence."""

from pathlib import Path

import redis

from fastmail_ingest.testing import Action, Chaos, Progress, SimulatedMail, run_chaos

HANDLER = "handlers_under_chaos:sync"


class Forgetful(SimulatedMail):
    """Says that it delivered all mails, and keeps the last one to itself."""

    def deliver(self, first: int, count: int) -> None:
        super().deliver(first, count - (first + count == 60))


def test_a_mail_that_never_arrives_is_found() -> None:
    report = run_chaos(HANDLER, Chaos(emails=60, kills=1, disturbances=0, patience_s=2.0), mail=Forgetful)
    assert report.lost == ["chaos:Folder-1:7:30"]
    assert not report.ok
    assert "nothing moved any more" in str(report)


class Saboteur:
    """Puts a waiting entry into its lane a second time, behind the ledger's back."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.done = False

    def __call__(self, _: Progress) -> None:
        if not self.done:
            client = redis.Redis.from_url(f"unix://{self._directory}/redis.sock")
            for _, fields in client.xrange("{chaos:0}:live", count=1):
                client.xadd("{chaos:0}:live", fields)
                self.done = True


def test_a_mail_that_is_in_the_stream_twice_is_found(tmp_path: Path) -> None:
    saboteur = Saboteur(tmp_path)
    chaos = Chaos(emails=100, kills=0, patience_s=2.0)
    report = run_chaos(HANDLER, chaos, directory=tmp_path, watch=saboteur)
    assert saboteur.done
    assert len(report.doubled) == 1
    assert report.effects_doubled == 0
    assert not report.ok


def test_what_is_done_to_it_stands_in_the_report() -> None:
    chaos = Chaos(emails=400, kills=3, actions={Action.KILL_WORKER: 1}, seed=3)
    report = run_chaos(HANDLER, chaos)
    assert report.ok, report
    assert report.kills == {Action.KILL_WORKER: 3}
    assert sum("kill -9 a worker" in line for line in report.timeline) == 3
    assert report.files == ""


def test_a_handler_that_rejects_some_mails_breaks_no_promise() -> None:
    report = run_chaos("handlers_under_chaos:rejecting", Chaos(emails=200, kills=3, disturbances=1, seed=7))
    assert report.ok, report
    assert report.dead == {"rejected": 20}
    assert report.handled == 180

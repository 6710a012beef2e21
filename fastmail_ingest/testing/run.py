"""`run_chaos`: a mail server, a Redis and the real supervisor around a handler, and trouble by schedule."""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from fastmail_ingest.testing.conductor import Conductor, Stage, Watch
from fastmail_ingest.testing.deeds import Deeds
from fastmail_ingest.testing.effects import Effects
from fastmail_ingest.testing.evidence import Evidence
from fastmail_ingest.testing.judge import judge
from fastmail_ingest.testing.ledger_view import LedgerView
from fastmail_ingest.testing.mail import MailSource, SimulatedMail
from fastmail_ingest.testing.plan import Chaos, draw_mishaps, draw_steps
from fastmail_ingest.testing.recorder import Orders
from fastmail_ingest.testing.records import Records
from fastmail_ingest.testing.redis_server import RedisServer
from fastmail_ingest.testing.report import Report
from fastmail_ingest.testing.supervised import Supervised, configuration

_PREFIX = "chaos"
_LOG_TAIL = 60


class OpenMail(MailSource, AbstractContextManager["OpenMail"], Protocol):
    """A mail source that is used in a `with` block."""


def run_chaos(
    target: str,
    chaos: Chaos,
    *,
    mail: Callable[[Chaos], OpenMail] | None = None,
    directory: Path | None = None,
    watch: Watch = lambda _: None,
) -> Report:
    """Play the schedule of `chaos` around the handler `target` ("module:function"; here or installed).

    `mail` makes the mail server (default: the simulator). Everything runs in `directory`, or in one that is
    removed afterwards if all went well. Raises UnavailableError if there is no Redis binary.
    """
    # A unix socket lies below: the path has to be short (unix(7): 107 bytes).
    base = directory or Path(tempfile.mkdtemp(prefix="fmi-chaos-"))
    with (mail or SimulatedMail)(chaos) as source:
        report = Run(target, chaos, source, base).play(watch)
    if directory is None and report.ok:
        shutil.rmtree(base, ignore_errors=True)
        return report
    return msgspec.structs.replace(report, files=str(base))


class Run:
    """One run in its directory."""

    def __init__(self, target: str, chaos: Chaos, mail: MailSource, base: Path) -> None:
        self._chaos, self._mail, self._base = chaos, mail, base
        self._identities = [mail.identity(number) for number in range(chaos.emails)]
        self._effects = Effects(base / "effects.db")
        self._server = RedisServer(base)
        self._supervised = Supervised(base, base / "orders.json")
        self._records_at = base / "records"
        self._target = target

    def play(self, watch: Watch) -> Report:
        """From the first process to the verdict; leaves no process behind."""
        records = Records(self._records_at)
        self._effects.make()
        self._give_orders()
        try:
            self._server.start()
            login = self._mail.login
            self._supervised.configure(configuration(self._chaos, login, self._server.url, _PREFIX))
            deeds = Deeds(self._supervised, self._server, _PREFIX)
            ledger = LedgerView(self._server.url, _PREFIX)
            stage = Stage(self._supervised, self._server, self._mail, records, deeds, ledger)
            conductor = Conductor(self._chaos, draw_steps(self._chaos), stage, watch)
            started = time.monotonic()
            self._supervised.start()
            conductor.play()
            seconds = time.monotonic() - started
            return judge(self._evidence(stage, conductor.troubles, started), self._chaos.seed, seconds)
        finally:
            self._supervised.kill()
            self._server.kill()

    def _give_orders(self) -> None:
        orders = Orders(
            self._target,
            str(Path.cwd()),
            str(self._base / "supervisor.toml"),
            str(self._records_at),
            str(self._base / "effects.db"),
            str(self._base / "marks"),
            draw_mishaps(self._chaos, self._identities),
        )
        (self._base / "orders.json").write_bytes(msgspec.json.encode(orders))

    def _evidence(self, stage: Stage, troubles: list[str], started: float) -> Evidence:
        ahead = time.time() - time.monotonic()
        deaths = [msgspec.structs.replace(each, at=each.at - ahead) for each in stage.supervised.deaths()]
        finished = {identity.decode() for identity in stage.records.finished}
        breaches = list(stage.ledger.breaches(self._identities, finished))
        return Evidence(
            expected=self._identities,
            vanished=set(stage.mail.vanished()),
            struck=stage.mail.struck(),
            records=stage.records,
            deeds=stage.deeds.done,
            log_deaths=deaths,
            dead_letters=stage.ledger.dead_letters(),
            effects=self._effects.identities(),
            queued=stage.ledger.queued(),
            breaches=breaches,
            troubles=troubles,
            started=started,
            log_tail=stage.supervised.tail(_LOG_TAIL),
        )

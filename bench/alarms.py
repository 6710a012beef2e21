"""How soon is an operator told? Each trouble on a real supervisor, watched by a real Prometheus as it is shipped.

    python bench/alarms.py [--runs 5]

Measured from the moment of the trouble until `/ready` names it, and until the alert fires. All defaults of ours and
of deploy/prometheus are in force (scrape 15 s); each run begins at a random time between two scrapes. The troubles
run side by side. Prints a Markdown table; exit code 1 if one was told by neither within 30 s.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import requests
from msgspec import Struct
from support.prometheus_server import PrometheusServer, free_port
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.supervised import Supervised
from support.token_endpoint import CLIENT_ID, TokenEndpoint
from support.waiting import wait_until

from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.token_file import TokenFile
from fastmail_ingest.simulator import Link, ServerThread

TOLD_WITHIN_S = 30.0
PATIENCE_S = 120.0
SCRAPE_S = 15.0
MAILS_PER_S = 5
_STARTING = threading.Lock()  # what a process inherits is that of its own stage
HANDLER = """

    import os
    import signal
    from pathlib import Path
    from fastmail_ingest import Reject

    def handle(email):
        mode = Path("mode").read_text()
        if mode == "reject":
            raise Reject("planted")
        if mode == "die":
            os.kill(os.getpid(), signal.SIGKILL)
"""


class Stage:
    """A supervisor, its mail server behind a line, its Redis, and a Prometheus; mail comes all the time."""

    def __init__(self, stack: contextlib.ExitStack, *, oauth: bool) -> None:
        directory = Path(tempfile.mkdtemp(prefix="fmi-alarms-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        self.simulated = Simulated()
        stack.enter_context(self.simulated.server)
        self.link = stack.enter_context(ServerThread(Link(self.simulated.port)))
        self.redis = RedisServer(str(shutil.which("redis-server")))
        stack.callback(self.redis.close)
        self.mode = directory / "mode"
        self.mode.write_text("well")
        self.tokens = TokenEndpoint()
        stack.callback(self.tokens.close)
        self.port = free_port()
        account = self._account(directory) if oauth else 'user = "u"\npassword = "p"\ntls = "off"'
        self.run = Supervised(
            directory, self.link.port, self.redis.url, HANDLER, account=account, admin=f"port = {self.port}"
        )
        with _STARTING:
            os.environ.update(self.tokens.trust)
            self.run.start()
        stack.callback(self.run.close)
        self.prometheus = PrometheusServer(str(shutil.which("prometheus")), self.port)
        stack.callback(self.prometheus.close)

    def _account(self, directory: Path) -> str:
        store = self.simulated.server.server.store
        store.accounts["u"].token_valid = lambda token: token in self.tokens.access
        self.tokens.user = "u"
        file = TokenFile(str(directory / "sim.token.json"), "")
        with file.locked():
            refresh = self.tokens.new_refresh_token()
            file.write(Grant(method="google", user="u", client_id=CLIENT_ID, refresh_token=refresh))
        return f'user = "u"\ntls = "off"\noauth_client_file = "{self.tokens.client_file(directory)}"'

    def reasons(self) -> set[str]:
        """What /ready names."""
        with contextlib.suppress(requests.RequestException):
            told = requests.get(f"http://127.0.0.1:{self.port}/ready", timeout=5).json()
            return {reason["name"] for reason in told["reasons"]}
        return {"nobody answers"}


def stuck(stage: Stage) -> None:
    stage.link.call(lambda: setattr(stage.link.server, "black_hole", True))


def redis_killed(stage: Stage) -> None:
    stage.redis.kill()


def redis_hangs(stage: Stage) -> None:
    os.kill(stage.redis.process.pid, signal.SIGSTOP)


def workers_die(stage: Stage) -> None:
    stage.mode.write_text("die")


def mails_rejected(stage: Stage) -> None:
    stage.mode.write_text("reject")


def token_expired(stage: Stage) -> None:
    """The grant is gone; a session outlives its token, so the server ends it, as they do within the hour."""
    stage.tokens.forget_grants()
    stage.link.call(stage.link.server.cut)


class Trouble(Struct, frozen=True):
    """What happens, and who must tell of it by which name."""

    what: str
    happens: Callable[[Stage], None]
    reason: str
    alert: str
    mail: bool = True  # whether mail goes on coming


TROUBLES = (
    Trouble("a mail server that hangs, nothing else to do (IDLE)", stuck, "mailbox_stuck", "MailboxStuck", False),
    Trouble("... while mail comes", stuck, "mailbox_stuck", "MailboxStuck"),
    Trouble("Redis killed", redis_killed, "redis_unreachable", "RedisUnreachable"),
    Trouble("Redis hangs (SIGSTOP)", redis_hangs, "redis_unreachable", "RedisUnreachable"),
    Trouble("each mail kills its worker", workers_die, "crash_loop", "CrashLoop"),
    Trouble("each mail becomes a dead letter, 5 a second", mails_rejected, "dead_letters_growing", "DeadLettersGrowing"),
    Trouble("a grant that is gone, and a token that is not taken", token_expired, "token_expired", "TokenExpired"),
)  # fmt: skip


def measure(trouble: Trouble) -> tuple[float, float]:
    """Seconds until /ready, and until the alert."""
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, oauth=trouble.reason == "token_expired")
        wait_until(lambda: stage.reasons() == set(), f"all is well; {stage.run.log}", PATIENCE_S)
        wait_until(
            lambda: stage.prometheus.query("fastmail_ingest_redis_up == 1"), "it is scraped", PATIENCE_S
        )
        quiet_until = time.monotonic() + SCRAPE_S + random.uniform(0.0, SCRAPE_S)
        wait_until(lambda: _mail_comes(stage, wanted=trouble.mail) or time.monotonic() > quiet_until,
                   "the moment comes", PATIENCE_S)  # fmt: skip
        trouble.happens(stage)
        began = time.monotonic()
        told: dict[str, float] = {}

        def all_told() -> bool:
            _mail_comes(stage, wanted=trouble.mail)
            if "ready" not in told and trouble.reason in stage.reasons():
                told["ready"] = time.monotonic() - began
            if "alert" not in told and trouble.alert in stage.prometheus.firing():
                told["alert"] = time.monotonic() - began
            return len(told) == 2

        wait_until(all_told, f"{trouble.what} is told: {told}", PATIENCE_S)
        if trouble.happens is redis_hangs:
            os.kill(stage.redis.process.pid, signal.SIGCONT)
        return told["ready"], told["alert"]


def _mail_comes(stage: Stage, *, wanted: bool) -> bool:
    """The mail of a fifth of a second; the pace of all loops here."""
    time.sleep(1 / MAILS_PER_S)
    if wanted:
        stage.simulated.add(1)
    return False


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs: int = parser.parse_args().runs
    print("| trouble | `/ready` says | s, median (worst) | alert | s, median (worst) |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    late = 0
    with ThreadPoolExecutor(len(TROUBLES)) as pool:
        found = [[pool.submit(measure, trouble) for _ in range(runs)] for trouble in TROUBLES]
        for trouble, futures in zip(TROUBLES, found, strict=True):
            times = [future.result() for future in futures]
            ready, alert = ([pair[n] for pair in times] for n in (0, 1))
            late += sum(min(pair) > TOLD_WITHIN_S for pair in times)
            print(f"| {trouble.what} | `{trouble.reason}` | {_short(ready)} | `{trouble.alert}` | {_short(alert)} |",  # noqa: T201
                  flush=True)  # fmt: skip
    return int(late > 0)


def _short(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} ({max(seconds):.1f})"


if __name__ == "__main__":
    sys.exit(main())

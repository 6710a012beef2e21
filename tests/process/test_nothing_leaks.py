"""A whole run at level debug, with troubles of all kinds: no secret and no word of a mail in anything it tells."""

import base64
import os
import signal
import socket
import subprocess
import sys
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import pytest
import redis
import requests
from support.collector import Collector
from support.http_sink import HttpSink, says
from support.supervised import Supervised
from support.token_endpoint import CLIENT_ID, CLIENT_SECRET, TokenEndpoint
from support.waiting import wait_until

from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.token_file import TokenFile
from fastmail_ingest.simulator import Account, Mailbox
from fastmail_ingest.simulator.mailbox import mail_of

WEBHOOK_KEY = b"planted webhook key, 32 bytes ok"
SECRETS = {
    "imap password": "planted-imap-password", "wrong password": "planted-wrong-password",
    "client secret": CLIENT_SECRET, "revoked token": "1//planted-revoked-token",
    "redis password": "planted-redis-password", "admin token": "planted-admin-token-of-32-characters",
    "postgres password": "planted-postgres-password", "collector": "planted-collector-token",
    "webhook secret": base64.b64encode(WEBHOOK_KEY).decode(), "path of the webhook": "planted-webhook-path",
}  # fmt: skip
WORDS = ("plantedsubject", "plantedbody", "plantedhtml", "plantedname", "plantedsender", "plantedheader")

# Each in its own way, all with words of the mail: the handler is the last of the chain.
HANDLER = """

    import asyncio, signal, time
    from fastmail_ingest import Email

    async def startup():
        pass

    async def handle(email):
        note(email)
        words = [email.subject, email.body_text, email.html, email.sender, email.attachments[0].filename]
        kind = email.uid % 8
        if kind == 0:
            raise ValueError(*words)
        if kind == 1:
            raise KeyError(email.attachments[0].filename)
        if kind == 2:
            try:
                raise RuntimeError(email.body_text)
            except RuntimeError as error:
                raise OSError(2, email.subject, email.attachments[0].filename) from error
        if kind == 3:
            return ValueError(email.body_text)
        if kind == 4 and email.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == 5 and email.attempt == 1:
            time.sleep(600)  # blocks the loop: its stacks are dumped, and it is killed
        if kind == 6:
            await asyncio.wait_for(asyncio.sleep(600), 0.01)
        if kind == 7:
            raise type("Own", (Exception,), {"__str__": lambda self: email.body_text})()
"""


def mail(number: int) -> bytes:
    made = EmailMessage()
    made["From"] = f"Plantedsender <plantedsender{number}@example.org>"
    made["To"], made["Subject"] = "b@example.net", f"plantedsubject {number}"
    made["X-Words"] = "plantedheader"
    made.set_content(f"plantedbody {number}\n")
    made.add_alternative("<p>plantedhtml</p>", subtype="html")
    made.add_attachment(b"plantedbody", maintype="application", subtype="pdf", filename="plantedname.pdf")
    return bytes(made)


class Told:
    """Whatever is shown to somebody, and where it was."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, str]] = []

    def heard(self, where: str, text: str) -> None:
        self._texts.append((where, text))

    def heard_processes(self) -> None:
        for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/comm")]:
            try:
                self.heard(str(path), path.read_bytes().decode(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue

    def leaks(self, planted: dict[str, str]) -> set[tuple[str, str]]:
        return {
            (name, where)
            for where, text in self._texts
            for name, secret in planted.items()
            if secret.lower() in text.lower()
        }


def grant_of(directory: Path, account: str, user: str, refresh_token: str) -> None:
    file = TokenFile(str(directory / f"{account}.token.json"), "")
    with file.locked():
        file.write(Grant(method="google", user=user, client_id=CLIENT_ID, refresh_token=refresh_token))


@pytest.fixture
def planted_redis(redis_server):
    """The URL of a Redis with a password, and a client of it."""
    redis_server.client().config_set("requirepass", SECRETS["redis password"])
    path = f"{redis_server.directory}/redis.sock"
    url = f"unix://:{SECRETS['redis password']}@{path}"
    return url, redis.Redis(unix_socket_path=path, password=SECRETS["redis password"])


def accounts_of(simulated, token_endpoint: TokenEndpoint, directory: Path) -> str:
    """Four accounts: by password, by a wrong one, by token, by a token that was revoked."""
    store = simulated.server.server.store
    store.accounts["u"].password = SECRETS["imap password"]
    store.accounts["t"] = Account("t", "unused", token_valid=lambda token: token in token_endpoint.access)
    store.accounts["t"].add(Mailbox("INBOX", uid_validity=9))
    token_endpoint.user = "t"
    grant_of(directory, "bytoken", "t", token_endpoint.new_refresh_token())
    token_endpoint.secrets.add(SECRETS["revoked token"])
    grant_of(directory, "revoked", "r", SECRETS["revoked token"])
    client = token_endpoint.client_file(directory)
    where = f'host = "127.0.0.1"\nport = {simulated.port}\ntls = "off"'
    return "\n".join((
        f'user = "u"\ntls = "off"\npassword = "{SECRETS["imap password"]}"',
        f'[[accounts]]\nname = "wrong"\nuser = "u"\n{where}\npassword = "{SECRETS["wrong password"]}"',
        f'[[accounts]]\nname = "bytoken"\nuser = "t"\n{where}\noauth_client_file = "{client}"',
        f'[[accounts]]\nname = "revoked"\nuser = "r"\n{where}\noauth_client_file = "{client}"',
    ))  # fmt: skip


def answered(url: str, headers: dict[str, str]) -> str:
    """Empty if nobody answers: there may be a successor soon."""
    try:
        answer = requests.get(url, headers=headers, timeout=20)
    except requests.ConnectionError:
        return ""
    return f"{answer.headers}\n{answer.text}"


def ask_all(run: Supervised, port: int, told: Told) -> None:
    """Everything that a person or a program may look at without being allowed to see mails."""
    for path in ("/health", "/ready", "/status", "/metrics", "/", "/api/history", "/nowhere"):
        for token in ("", SECRETS["admin token"], "planted-but-wrong-token"):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = wait_until(partial(answered, f"http://127.0.0.1:{port}{path}", headers), "an answer")
            told.heard(f"HTTP {path}", answer)
    for words in (["status"], ["status", "--json"], ["health"], ["config", "show"]):
        command = [sys.executable, "-m", "fastmail_ingest", *words, "--config", str(run.config)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=run.directory, check=False)
        told.heard(" ".join(words), done.stdout + done.stderr)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_run_with_all_kinds_of_trouble(
    tmp_path, simulated, token_endpoint: TokenEndpoint, planted_redis, postgres, monkeypatch, form: str
) -> None:
    url, client = planted_redis
    told, mailbox = Told(), simulated.mailbox
    quoting = says(422, b"plantedbody is no JSON"), says(503, b"busy with plantedsubject", Retry_After="0")
    database = f"leaks_{form}"
    with (
        HttpSink(*quoting, says(200)) as sink,
        Collector() as collector,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        port = free.getsockname()[1]
        free.close()
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {SECRETS['collector']}")
        hook = f"{sink.url}/{SECRETS['path of the webhook']}"
        dsn = f"postgresql://mail:{SECRETS['postgres password']}@/{database}?host={postgres.directory}"
        run = Supervised(
            tmp_path, simulated.port, url, HANDLER,
            account=accounts_of(simulated, token_endpoint, tmp_path),
            handler='handlers = ["postgres", "webhook", "handler_under_test:handle"]\ntimeout = 1',
            logging=f'format = "{form}"\nlevel = "debug"', tracing="enabled = true",
            admin=f'port = {port}\ntoken = "{SECRETS["admin token"]}"',
            webhook=f'url = "{hook}"\nsecret = "whsec_{SECRETS["webhook secret"]}"\nallow_private = true',
            postgres=f'url = "{dsn}"', retry="attempts = 2\nfirst = 0.01", supervisor="drain_timeout = 10",
        )  # fmt: skip
        simulated.server.call(lambda: [mailbox.append(mail_of(mail(number))) for number in range(16)])
        try:
            run.start()
            wait_until(lambda: "startup failed" in run.text(), f"its database is not there yet; {run.log}")
            ask_all(run, port, told)
            postgres.connect().execute(f"CREATE DATABASE {database}")
            wait_until(lambda: run.text().count("dead letter now") >= 9, f"dead letters; {run.log}")
            wait_until(lambda: len(run.handled()) >= 15, f"all but the refused reach the handler; {run.log}")
            os.kill(run.pid, signal.SIGUSR1)
            wait_until(lambda: " taken, " in run.text(), "the status")
            told.heard_processes()
            ask_all(run, port, told)
            # Redis goes, and comes back.
            client.client_kill_filter(_type="normal", skipme=True)
            os.kill(run.pid, signal.SIGHUP)
            wait_until(lambda: "reloaded" in run.text(), "a reload")
            ask_all(run, port, told)
            run.stop()
        finally:
            run.close()
    text = run.text()
    told.heard("log", text)
    told.heard("spans", b"".join(collector.bodies).decode(errors="replace"))
    assert "ValueError (handler_under_test.py:" in text
    assert collector.named("handle")
    assert sum(b"plantedbody" in request.body for request in sink.requests) >= 15  # the words do arrive
    assert client.xlen("{fmi:0}:dead") >= 9
    assert not told.leaks(SECRETS)
    assert not told.leaks(dict(enumerate(token_endpoint.secrets)))
    assert not told.leaks({word: word for word in WORDS})

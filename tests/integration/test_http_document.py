"""docs/HTTP.md: the paths that it names are answered, in the shapes that it shows, and its reasons are ours."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.admin_server import TOKEN, AdminServer, admin_server
from support.operated import Operated
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.admin import letters, listener
from fastmail_ingest.config import Account, AdminConfig
from fastmail_ingest.model.account_state import AccountState
from fastmail_ingest.policy import readiness

DOCUMENT = (Path(__file__).parents[2] / "docs/HTTP.md").read_text()
SHAPES = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)]
RAW = (
    b"From: Ann <ann@example.org>\r\nTo: a@example.com\r\nSubject: s\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n--x\r\n"
    b"Content-Type: application/pdf; name=i.pdf\r\n\r\nx\r\n--x--\r\n"
)


@pytest.fixture
def stream(redis_server: RedisServer) -> Operated:
    made = Operated(redis_server)
    made.delay(3)
    made.bury(1, raw=RAW)
    made.append(2)
    made.ledger.accounts.put_state("a", AccountState("suspended", time.time() + 3600, 1, "why", time.time()))
    return made


@pytest.fixture
def admin(stream: Operated) -> Iterator[AdminServer]:
    with admin_server(stream.url, [Account(name="a", host="h", user="u", password="p")]) as made:
        yield made


def differences(shown: Any, real: Any, where: str = "") -> Iterator[str]:
    """Where two values are not of one shape; None may stand for anything, an empty list for any."""
    if shown is None or real is None:
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        if shown.keys() != real.keys():
            yield f"{where}: {sorted(shown.keys() ^ real.keys())}"
        for name in shown.keys() & real.keys():
            yield from differences(shown[name], real[name], f"{where}.{name}")
    elif isinstance(shown, list) and isinstance(real, list):
        if shown and real:
            yield from differences(shown[0], real[0], f"{where}[]")
    elif {type(shown), type(real)} not in ({int, float}, {type(shown)}):
        yield f"{where}: {type(shown)} is shown, {type(real)} comes"


def test_the_answers_have_the_shapes_that_are_shown(admin: AdminServer, stream: Operated) -> None:
    status, history, dead, letter, retries, rest = SHAPES
    admin.table.slot(0).hold(0, time.monotonic(), 1, b"1-0")
    wait_until(lambda: admin.get("/status").json()["processes"][1]["in_hand"], "a mail is in hand")
    wait_until(lambda: admin.get("/api/history?step=1").json()["time"], "a whole second is known")
    told = admin.get("/status").json()
    told["processes"].pop(0)  # the supervisor, which has no mail in hand
    assert list(differences(status, told)) == []
    assert list(differences(history, admin.get("/api/history").json())) == []
    page = admin.get("/api/dead", TOKEN).json()
    assert list(differences(dead, page)) == []
    view = admin.get(f"/api/dead/{page['letters'][0]['id']}", TOKEN).json()
    assert list(differences(dead["letters"][0] | letter, view)) == []
    assert view["mail"]["attachments"]
    assert list(differences(retries, admin.get("/api/retries").json())) == []
    for shown, real in zip(
        rest,
        [
            admin.get("/health"), admin.get("/ready"), admin.get("/api/session"),
            admin.post("/api/dead/replay", {"ids": []}), admin.post("/api/dead/remove", {"ids": []}),
        ],
        strict=True,
    ):  # fmt: skip
        assert list(differences(shown, real.json())) == []


def test_every_path_that_is_named_is_answered(admin: AdminServer, stream: Operated) -> None:
    named = re.findall(r"^\| `(GET|POST) (\S+)`", DOCUMENT, re.MULTILINE)
    assert len(named) == 13
    (letter,) = stream.letter_ids()
    for method, path in named:
        if path != "/api/events":
            response = admin.ask(method, path.replace("ID", letter), TOKEN, Content_Type="application/json")
            assert response.status_code not in {404, 405}, path
    index = admin.get("/api").text
    assert all(path in index for _, path in named if not path.endswith("ID"))


def test_the_reasons_are_ours() -> None:
    table = DOCUMENT.partition("## Why it is not ready")[2].partition("## What the answers")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    ours = re.findall(r"^ *([a-z_]+) {2,}", readiness.__doc__ or "", re.MULTILINE)[1:]
    assert sorted(named) == sorted(ours)
    source = Path(readiness.__file__).read_text().partition('"""\n')[2]
    assert all(f'"{name}"' in source for name in named)
    admin = AdminConfig()
    for said in (f"`[admin] deaths` ({admin.deaths})", f"`[admin] backlog_age` ({admin.backlog_age:.0f} s)",
                 f"`[admin] dead_growth` ({admin.dead_growth})"):  # fmt: skip
        assert said in table


def test_the_limits_are_ours() -> None:
    assert f"through {letters.LOOKED_AT_MAX:,} dead letters" in DOCUMENT
    assert f"changes {letters.CHANGED_MAX:,}" in DOCUMENT
    assert f"slower than {listener.ARRIVE_TIMEOUT_S:.0f} s" in DOCUMENT
    assert f"beyond {listener.CONNECTIONS_MAX}" in DOCUMENT
    assert listener.BODY_MAX_BYTES == 64 * 1024

"""The handlers that send mails on, under the schedule of kills: `redis-stream` once, `webhook` under one name."""

import base64
import json
import sqlite3
from pathlib import Path

import pytest
from support.http_sink import HttpSink, says
from support.redis_server import RedisServer

from fastmail_ingest.testing import Action, Chaos, Mishap, run_chaos

SEEDS = (1, 2, 3)
EMAILS = 400
ACTIONS = {
    Action.KILL_WORKER: 8, Action.KILL_SUPERVISOR: 1, Action.KILL_REDIS: 1, Action.STOP_WORKER: 2,
    Action.CUT_CONNECTIONS: 1, Action.RELOAD: 1,
}  # fmt: skip
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ok!").decode()


def chaos_of(seed: int, **settings: dict[str, object]) -> Chaos:
    return Chaos(
        emails=EMAILS,
        kills=8,
        disturbances=3,
        seed=seed,
        actions=ACTIONS,
        mishaps={Mishap.RAISE_ONCE: 2, Mishap.DIE_ONCE: 1, Mishap.RAISE_ALWAYS: 1},
        ahead=100,
        hang_timeout_s=5.0,
        settings=settings,
    )


def handled(directory: Path) -> list[str]:
    with sqlite3.connect(directory / "effects.db") as effects:
        return sorted(identity for (identity,) in effects.execute("SELECT identity FROM effects"))


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_redis_stream_adds_each_mail_once(seed: int, tmp_path: Path, redis_server: RedisServer) -> None:
    report = run_chaos(
        "redis-stream", chaos_of(seed, redis_stream={"url": redis_server.url}), directory=tmp_path
    )
    assert report.ok, report
    added = [fields[b"id"].decode() for _, fields in redis_server.client().xrange("mails")]
    assert len(added) == EMAILS - 1
    assert sorted(added) == handled(tmp_path)


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_webhook_sends_each_mail_under_one_name(seed: int, tmp_path: Path) -> None:
    with HttpSink(*[says(500), says(429, Retry_After="0")] * 5, says(200)) as sink:
        section = {"url": sink.url, "secret": SECRET, "allow_private": True}
        report = run_chaos("webhook", chaos_of(seed, webhook=section), directory=tmp_path)
        assert report.ok, report
        names: dict[str, set[str]] = {}
        for request in sink.requests:
            names.setdefault(json.loads(request.body)["data"]["id"], set()).add(request.headers["webhook-id"])
    assert set(handled(tmp_path)) <= set(names)
    assert all(len(given) == 1 for given in names.values())
    assert len(set().union(*names.values())) == len(names)

"""Handlers in the box at work under a supervisor: a chain that ends in a webhook, and our own Redis."""

import base64
import json
import re
from collections import Counter
from pathlib import Path

import redis
from support.http_sink import HttpSink, says
from support.invariants import done_count
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.stream.server import OwnServer

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ok!").decode()
RULE = '[[classify_rules]]\ncategory = "all"\npatterns = [\'@\']\nlook_in = ["sender"]'
MAILS = 40


def test_a_chain_into_a_webhook_that_fails_at_first(house, simulated, redis_server: RedisServer) -> None:
    failing = [says(500), says(503, Retry_After="0"), says(429, Retry_After="1"), says(408)]
    with HttpSink(*failing, says(200)) as sink:
        run = house(
            handler='handlers = ["classify", "webhook"]',
            retry="first = 0.05",
            webhook=f'url = "{sink.url}"\nsecret = "{SECRET}"\nallow_private = true\n{RULE}',
        )
        simulated.add(MAILS)
        run.start()
        client = redis_server.client()
        wait_until(lambda: done_count(client) == MAILS, f"all mails are handled; {run.log}")
        assert run.stop() == 0
    calls = Counter(sink.ids())
    assert len(calls) == MAILS
    assert calls.total() == MAILS + len(failing)
    for request in sink.requests:
        assert json.loads(request.body)["data"]["classification"]["categories"] == ["all"]
    assert sum(map(int, re.findall(r"classified (\d+) mails", run.text()))) == MAILS
    assert SECRET.removeprefix("whsec_") not in run.text()


def test_while_the_webhook_is_down_no_mail_is_taken_or_blamed(
    house, simulated, redis_server: RedisServer
) -> None:
    with HttpSink(*[says(503)] * 12, says(200)) as sink:
        run = house(
            handler='target = "webhook"', retry="attempts = 20\nfirst = 0.05", breaker="recovery = 0.05",
            webhook=f'url = "{sink.url}"\nsecret = "{SECRET}"\nallow_private = true',
            worker="procs = 1",
        )  # fmt: skip
        simulated.add(MAILS)
        run.start()
        client = redis_server.client()
        wait_until(lambda: done_count(client) == MAILS, f"all mails are handled; {run.log}")
        assert run.stop() == 0
    assert 'circuit breaker "handler" is open' in run.text()
    assert len(set(sink.ids())) == MAILS


def test_a_stream_in_our_own_redis(tmp_path: Path, simulated, redis_binary: str) -> None:
    """[redis] has no url: the handler is told where our own server listens."""
    run = Supervised(
        tmp_path, simulated.port, redis=f'data_dir = "{tmp_path}/data"', handler='target = "redis-stream"'
    )
    simulated.add(MAILS)
    try:
        run.start()
        client = redis.Redis.from_url(OwnServer(Path(redis_binary), tmp_path / "data").url)
        wait_until(lambda: _length(client) == MAILS, f"all mails are in the stream; {run.log}")
        assert len({fields[b"id"] for _, fields in client.xrange("mails")}) == MAILS
        assert run.stop() == 0
    finally:
        run.close()


def _length(client: redis.Redis) -> int:
    try:
        return int(client.xlen("mails"))
    except redis.RedisError:
        return 0

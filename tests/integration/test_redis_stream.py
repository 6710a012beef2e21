"""The handler `redis-stream` on real servers: once, nothing trimmed, and what happens when Redis cannot."""

import json
import logging

import msgspec
import pytest
from support.redis_server import RedisServer

from fastmail_ingest.config import Config, HandlerConfig, RedisConfig
from fastmail_ingest.config.classify import ClassifyConfig, ClassifyRule
from fastmail_ingest.config.failure import DEPENDENCY_ERRORS
from fastmail_ingest.config.outgoing import RedisStreamConfig
from fastmail_ingest.errors import HandlerLoadError, SinkUnavailable
from fastmail_ingest.handler.chain import load
from fastmail_ingest.handler.redis_stream import mark_key
from fastmail_ingest.policy.faulty import speaks_of_a_dependency
from fastmail_ingest.testing import Outcome, run_handler

RAW = b"From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\nsome text\r\n"
OTHER = RAW.replace(b"Hello", b"Goodbye")


@pytest.fixture(autouse=True)
def empty(server: RedisServer) -> None:
    server.client().flushall()


def config(server: RedisServer, **settings: object) -> Config:
    """The stream is in the Redis of [redis], unless a url says otherwise."""
    return Config(
        redis=RedisConfig(url=server.url),
        handler=HandlerConfig(target="redis-stream"),
        redis_stream=RedisStreamConfig(**settings),
    )


def added(made: Config, raw: bytes = RAW, attempt: int = 1) -> Outcome:
    handler = load(made, [])

    class Hooked:
        startup, shutdown = staticmethod(handler.startup[0]), staticmethod(handler.shutdown[0])

        async def __call__(self, email: object) -> None:
            await handler.function(email)

    return run_handler(Hooked(), raw, attempt=attempt)


def test_a_mail_is_an_entry(server: RedisServer) -> None:
    outcome = added(config(server))
    assert outcome.done
    ((_, fields),) = server.client().xrange("mails")
    assert fields[b"id"].decode() == outcome.email.id
    assert fields[b"format"] == b"json"
    assert fields[b"traceparent"].decode() == outcome.email.traceparent != ""
    document = json.loads(fields[b"document"])
    assert (document["id"], document["subject"], document["version"]) == (outcome.email.id, "Hello", 1)


def test_msgpack(server: RedisServer) -> None:
    added(config(server, format="msgpack", stream="other"))
    ((_, fields),) = server.client().xrange("other")
    assert msgspec.msgpack.decode(fields[b"document"])["subject"] == "Hello"


def test_a_mail_that_comes_again_is_added_once(server: RedisServer) -> None:
    made = config(server)
    assert added(made).done
    assert added(made, attempt=2).done
    # Also when its consumer has read and removed it meanwhile.
    ((entry, _),) = server.client().xrange("mails")
    server.client().xdel("mails", entry)
    assert added(made, attempt=3).done
    assert server.client().xlen("mails") == 0


def test_the_mark_is_forgotten_in_time(server: RedisServer) -> None:
    outcome = added(config(server, remember_days=2))
    ttl_s = server.client().ttl(mark_key("mails", outcome.email.id))
    assert 86400 < ttl_s <= 2 * 86400


def test_a_full_stream_takes_no_more_and_loses_nothing(server: RedisServer) -> None:
    made = config(server, max_length=1)
    assert added(made).done
    outcome = added(made, OTHER)
    assert outcome.retry
    assert "mails is full with 1 entries. remedy: " in outcome.reason
    assert speaks_of_a_dependency(outcome.exception, DEPENDENCY_ERRORS)
    assert added(made, attempt=2).done  # is in it, and needs no room
    ((entry, _),) = server.client().xrange("mails")
    server.client().xdel("mails", entry)
    assert added(made, OTHER, attempt=2).done
    assert server.client().xlen("mails") == 1


def test_0_is_no_limit(server: RedisServer) -> None:
    made = config(server, max_length=0)
    assert [added(made, raw).done for raw in (RAW, OTHER)] == [True, True]
    assert server.client().xlen("mails") == 2


def test_a_key_of_another_kind_is_a_mistake_of_nobodys_mail(server: RedisServer) -> None:
    server.client().set("mails", "text")
    outcome = added(config(server))
    assert outcome.retry
    assert "WRONGTYPE" in outcome.reason
    assert server.client().keys("*once*") == []  # a mail that was not added is not marked as added


def test_a_redis_that_is_away(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SinkUnavailable, match=r"\[redis_stream\] Redis at redis://\*\*\*@127") as caught:
        added(config(server, url="redis://me:planted-password@127.0.0.1:1/0"))
    assert "planted" not in f"{caught.value} {caplog.text}"
    assert "remedy: start it" in str(caught.value)


def test_without_hooks_it_connects_by_itself(server: RedisServer) -> None:
    handler = load(config(server), [])

    class Unhooked:
        async def __call__(self, email: object) -> None:
            await handler.function(email)
            await handler.function(email)
            await handler.shutdown[0]()

    assert run_handler(Unhooked(), RAW).done
    assert server.client().xlen("mails") == 1


def test_no_redis_at_all_is_told_with_a_remedy() -> None:
    with pytest.raises(HandlerLoadError, match=r"\[redis_stream\] url is not set, .*remedy: "):
        run_handler("redis-stream", RAW)


@pytest.mark.parametrize(
    "url", ["redis://h:99999/", "redis://me:se/cret@h/", "redis://[::1", "unix:///a?db=x"]
)
def test_an_address_that_cannot_be_read_is_told_and_not_shown(url: str) -> None:
    with pytest.raises(HandlerLoadError, match=r"\[redis_stream\] url .*remedy: ") as caught:
        load(
            Config(handler=HandlerConfig(target="redis-stream"), redis_stream=RedisStreamConfig(url=url)),
            [],
        )
    assert url not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_results_of_classify_have_a_stream_of_their_own(server: RedisServer) -> None:
    made = Config(
        redis=RedisConfig(url=server.url),
        handler=HandlerConfig(target="classify"),
        classify=ClassifyConfig(stream="classes", reject=["no_date"]),
        classify_rules=[ClassifyRule(category="greeting", words=["hello"], priority="low")],
    )
    for attempt in (1, 2):
        assert added(made, attempt=attempt).rejected
    ((_, fields),) = server.client().xrange("classes")
    assert json.loads(fields[b"document"]) == {
        "priority": "low", "categories": ["greeting"], "words": ["hello"], "problems": ["no_date"],
    }  # fmt: skip

"""Where `redis-stream` remembers what it added."""

import msgspec
import pytest
from redis.crc import key_slot

from fastmail_ingest.config.classify import ClassifyConfig
from fastmail_ingest.config.outgoing import RedisStreamConfig
from fastmail_ingest.handler.redis_stream import mark_key


@pytest.mark.parametrize("stream", ["mails", "{tenant}:mails", "a{b}", "f\u00fcr mich", "-"])
def test_the_mark_is_in_the_slot_of_the_stream(stream: str) -> None:
    """A script may touch only keys of one slot on a cluster."""
    assert msgspec.convert({"stream": stream}, RedisStreamConfig).stream == stream
    assert key_slot(stream.encode()) == key_slot(mark_key(stream, "work:INBOX:1:2").encode())


@pytest.mark.parametrize("stream", ["", "{", "a}", "{}a", "{a}{b}", "{a}b}", "a\nb"])
def test_a_name_that_would_part_them_is_refused(stream: str) -> None:
    for section in (RedisStreamConfig, ClassifyConfig):
        if stream or section is RedisStreamConfig:
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({"stream": stream}, section)


def test_each_mail_has_a_mark_of_its_own() -> None:
    assert len({mark_key("mails", f"work:INBOX:1:{uid}") for uid in range(1000)}) == 1000

"""All that is in the keyspace, read from outside, in the words of the model."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import redis

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.stream.keys import GROUP, Keys

COUNT_MAX = 1_000_000


class Place(NamedTuple):
    """Where an entry is: `stream` is a lane's label, delayed or dead; `owner` holds it, if somebody does."""

    stream: str
    owner: str | None
    failures: int
    returns: int
    deaths: int


class View(NamedTuple):
    """One moment of the stream: `ids` are the entry ids of what is in a stream, `books` what queued has."""

    places: dict[str, Place]
    ids: dict[str, bytes]
    twice: list[str]
    books: set[str]
    letters: dict[str, str]  # name -> what the books know the dead letter by
    scored: set[str]
    bytes: int


def look(client: redis.Redis, keys: Keys, name_of: Callable[[dict[bytes, bytes]], str]) -> View:
    """Read everything; `name_of` tells the name of an entry by its fields."""
    view = View({}, {}, [], set(), {}, set(), int(client.get(keys.bytes) or 0))

    def note(name: str, place: Place, entry_id: bytes = b"") -> None:
        if name in view.places:
            view.twice.append(name)
        view.places[name] = place
        view.ids[name] = entry_id

    for lane in Lane:
        owners = _owners(client, keys.lanes[lane])
        for entry_id, fields in client.xrange(keys.lanes[lane]):
            note(name_of(fields), _place(lane.label, fields, owners.get(entry_id)), entry_id)
    for body in client.hvals(keys.delayed_body):
        fields = {
            word.encode(): _bytes(value) for word, value in msgspec.msgpack.decode(_binary(body)).items()
        }
        note(name_of(fields), _place("delayed", fields, None))
    for entry_id, fields in client.xrange(keys.dead):
        note(name_of(fields), _place("dead", fields, None), entry_id)
        view.letters[name_of(fields)] = fields[b"id"].decode()
    view.books.update(name.decode() for name in client.smembers(keys.queued))
    view.scored.update(name.decode() for name in client.zrange(keys.delayed, 0, -1))
    return view


def _owners(client: redis.Redis, lane: str) -> dict[bytes, str]:
    try:
        pending = client.xpending_range(lane, GROUP, "-", "+", 1000)
    except redis.ResponseError:  # the group was removed
        return {}
    return {item["message_id"]: item["consumer"].decode() for item in pending}


def _place(stream: str, fields: dict[bytes, bytes], owner: str | None) -> Place:
    failures, returns, deaths = (_count(fields.get(name, b"0")) for name in (b"f", b"r", b"k"))
    return Place(stream, owner, failures, returns, deaths)


def _count(value: bytes) -> int:
    return min(int(value), COUNT_MAX) if value.isdigit() else 0


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _binary(packed: bytes) -> bytes:
    """Redis' cmsgpack packs all strings as text, which the payload is not: turn these marks into binary ones.

    Its bodies are one small map of strings: a fixstr, str8, str16 or str32 for each name and value.
    """
    out, at = [packed[:1]], 1
    while at < len(packed):
        head = packed[at]
        if 0xA0 <= head <= 0xBF:
            width, size = 0, head & 31
        else:
            width = {0xD9: 1, 0xDA: 2, 0xDB: 4}[head]
            size = int.from_bytes(packed[at + 1 : at + 1 + width], "big")
        body = packed[at + 1 + width : at + 1 + width + size]
        is_name = len(out) % 2 == 1
        out.append(
            packed[at : at + 1 + width + size] if is_name else b"\xc6" + size.to_bytes(4, "big") + body
        )
        at += 1 + width + size
    return b"".join(out)

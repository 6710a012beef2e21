"""What other programs and broken clocks put before the stream: a dead letter or a mended book, never an end."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from support.invariants import assert_invariants, dead_letters
from support.one_stream import INBOX, Stream
from support.redis_server import RedisServer
from support.stream_world import MAILBOXES, envelope, mail_at

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor
from fastmail_ingest.pipeline.opening import open_mail
from fastmail_ingest.stream.keys import GROUP
from fastmail_ingest.stream.scripts import source

ARCHIVE, GMAIL_INBOX, GMAIL_ALL = MAILBOXES[1:4]
DECADE_S = 10 * 365 * 86_400


@pytest.fixture
def stream(server: RedisServer) -> Iterator[Stream]:
    made = Stream(server)
    yield made
    made.close()


# --- clocks -----------------------------------------------------------------------------------------


def test_the_calendar_of_the_scripts_is_that_of_the_world(stream: Stream) -> None:
    rng = random.Random(7)
    days = [
        datetime(year, month, day, tzinfo=UTC)
        for year in (1970, 1972, 1999, 2000, 2024, 2026, 2038, 2100, 2400, 9999)
        for month in range(1, 13)
        for day in (1, 28)
    ]
    first_seconds = [int(day.timestamp()) for day in days]
    last_seconds = [second - 1 for second in first_seconds if second]
    leap_days = [
        int(datetime(year, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp()) for year in (2000, 2024, 2096)
    ]
    others = [rng.randrange(int(days[-1].timestamp())) for _ in range(2000)]
    times = first_seconds + last_seconds + leap_days + others
    numbers = stream.client.eval(_calendar(), 0, *times)
    for seconds, number in zip(times, numbers, strict=True):
        moment = datetime.fromtimestamp(seconds, UTC)
        assert divmod(number, 12) == (moment.year, moment.month - 1), moment


def _calendar() -> str:
    """`month_number` for each argument, out of the text that all scripts of the ledger have in front."""
    text = source("states")
    beginning = text.index("local SPAN")
    end = text.index("-- The months that are remembered")
    loop = "local out = {} for i, at in ipairs(ARGV) do out[i] = month_number(tonumber(at)) end return out"
    return f"{text[beginning:end]}\n{loop}"


@pytest.mark.parametrize("jump_s", [-3 * DECADE_S, -86_400, 86_400, 5 * DECADE_S])
def test_a_host_whose_clock_jumps_changes_nothing(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    mails = [mail_at(INBOX, 1, uid) for uid in (1, 2, 3)]
    assert stream.append(*mails[:2], last_uid=2) == 2
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    assert stream.append(*mails, last_uid=3) == 1
    first, second, third = stream.read()
    settlement = Settlement()
    settlement.add_done(first, mails[0].identity, 0.0)
    settlement.add_done(second, mails[1].identity, time.time())
    stream.settle(settlement)
    stream.ledger.renew_lease("n", 60)
    assert stream.ledger.put_back("n:1", Ending(lease_of="n")) == (-1, 0)
    monkeypatch.setattr(time, "time", real)
    assert stream.append(*mails, last_uid=3) == 0
    assert stream.ledger.states([mail.identity for mail in mails]) == ["done", "done", "queued"]
    assert stream.ledger.put_back("n:1", Ending()) == (1, 0)
    assert set(stream.client.scan_iter("*:done:??????")) == {
        datetime.fromtimestamp(int(stream.client.time()[0]), UTC).strftime("{fmi:0}:done:%Y%m").encode()
    }
    assert third.attempt == 1
    assert [entry.attempt for entry in stream.read()] == [2]


# --- entries ----------------------------------------------------------------------------------------


def whole(identity: str = "zz:1:1:1", version: int = codec.CODEC_VERSION) -> bytes:
    return codec.encode(envelope(identity, raw=b"Subject: x\r\n\r\nbody", version=version))


def test_an_entry_cut_at_any_length_is_a_dead_letter(stream: Stream) -> None:
    payloads = [whole(f"zz:1:1:{length}")[:length] for length in range(len(whole()))]
    for payload in payloads:
        stream.client.xadd(stream.live, {"m": payload})
    settlement = stream.open_all()
    assert len(settlement.dead) == len(payloads)
    assert {dead.reason for dead in settlement.dead} == {"undecodable"}
    assert [letter[b"m"] for letter in dead_letters(stream.client)] == payloads
    assert stream.ledger.waiting() == (0, 0)
    assert_invariants(stream.client)


def test_entries_cut_at_any_length_come_back_from_a_dead_worker(stream: Stream) -> None:
    payloads = [whole(f"zz:1:1:{length}")[:length] for length in range(len(whole()))]
    for payload in payloads:
        stream.client.xadd(stream.live, {"m": payload})
    blamed = [(entry.lane, entry.id) for entry in stream.read()]
    assert stream.ledger.put_back("n:1", Ending(blamed[:3], deaths_max=3)) == (len(payloads) - 1, 1)
    stream.open_all()
    assert sorted(letter[b"m"] for letter in dead_letters(stream.client)) == sorted(payloads)
    assert_invariants(stream.client)


def test_any_bytes_at_all_are_dead_letters(stream: Stream) -> None:
    rng = random.Random(11)
    payloads = [rng.randbytes(rng.randrange(1, 80)) for _ in range(300)]
    # Arrays with a version, and an identity that is no text, is a number, is huge, or nests.
    payloads += [b"\x92\x01\xc4\x02\xff\xfe", b"\x92\x01\x05", b"\x92\x01\xdb\xff\xff\xff\xff", b"\x91" * 200]
    payloads += [
        b"\x92\x01\xa4\xff\xfe\xfd\xfc",
        b"\xdc\x00\x02\x01\xa1\xff",
        b"\xdd\x00\x00\x00\x02\x01\xa1x",
    ]
    for payload in payloads:
        stream.client.xadd(stream.live, {"m": payload})
    stream.read()
    stream.ledger.put_back("n:1", Ending(may_have_run=False))
    assert len(stream.open_all().dead) == len(payloads)
    assert [letter[b"m"] for letter in dead_letters(stream.client)] == payloads
    stream.ledger.reconcile()
    assert stream.ledger.waiting() == (0, 0)


@pytest.mark.parametrize("way", ["put_back", "hand_back", "regroup", "settle"])
def test_the_fields_of_a_foreign_entry_are_kept_whichever_way_it_goes(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("fastmail_ingest.stream.ledger.REGROUP_GRACE_MS", 0)
    stream.client.xadd(stream.live, {"M": "wrong name", b"\xff": b"\xfe", "f": "many"})
    entries = stream.read()
    if way == "put_back":
        assert stream.ledger.put_back("n:1", Ending()) == (0, 1)
    elif way == "hand_back":
        stream.loop.run_until_complete(stream.worker.hand_back(entries))
    elif way == "regroup":
        stream.client.xack(stream.live, GROUP, entries[0].id)
        stream.ledger.regroup()
        assert stream.ledger.regroup()[0] == 1
    else:
        settlement = Settlement()
        open_mail(entries[0], settlement)
        stream.settle(settlement)
    stream.open_all()
    (letter,) = dead_letters(stream.client)
    assert letter[b"m"] == b""
    assert b"wrong name" in letter[b"x"]
    assert_invariants(stream.client)


@pytest.mark.parametrize(
    "number", [b"9" * 5000, b"-3", b"1e300", b"nan", b"inf", b"0x1f", b" 7", b"\xff", b""]
)
def test_numbers_that_are_none_stop_nobody(stream: Stream, number: bytes) -> None:
    mail = mail_at(INBOX, 1, 1)
    stream.client.xadd(stream.live, {"m": mail.payload, "f": number, "r": number, "k": number, "p": number})
    (entry,) = stream.read()
    assert 0 <= entry.failures <= 1_000_000
    assert stream.ledger.put_back("n:1", Ending([(entry.lane, entry.id)])) == (1, 0)
    (again,) = stream.read()
    assert again.attempt > 1
    assert again.deaths == min(entry.deaths + 1, 1_000_000)
    assert len(stream.open_all()) == 0
    settlement = Settlement()
    settlement.add_done(again, mail.identity, 0.0)
    assert stream.settle(settlement) == 0
    assert stream.ledger.states([mail.identity]) == ["done"]


def test_two_foreign_entries_with_one_id_are_two_dead_letters(stream: Stream) -> None:
    for lane in stream.keys.lanes.values():
        stream.client.xadd(lane, {"by": "hand"}, id="5-0")
    stream.open_all()
    assert len({letter[b"id"] for letter in dead_letters(stream.client)}) == 3
    assert_invariants(stream.client)


def test_a_copy_of_an_entry_is_handled_once_when_the_books_are_mended(stream: Stream) -> None:
    queued, done, dead = (mail_at(INBOX, 1, uid) for uid in (1, 2, 3))
    stream.append(done, dead, last_uid=3)
    first, second = stream.read()
    settlement = Settlement()
    settlement.add_done(first, done.identity, 0.0)
    open_mail(Entry(second.lane, second.id, b""), settlement)
    stream.settle(settlement)
    stream.append(queued, last_uid=3)
    for copied in (queued, done, dead):
        stream.client.xadd(stream.live, {"m": copied.payload})
    stream.ledger.reconcile()
    assert stream.ledger.census().agrees
    assert stream.ledger.states([queued.identity, done.identity]) == ["queued", "done"]
    handled = stream.open_all().done[Lane.LIVE].identities
    assert sorted(handled).count(queued.identity) == 1
    assert done.identity not in handled


def test_bodies_that_are_damaged_are_fetched_again(stream: Stream) -> None:
    stream.append(*(mail_at(INBOX, 1, uid) for uid in (1, 2, 3)), last_uid=3)
    names = [mail_at(INBOX, 1, uid).identity for uid in (1, 2, 3)]
    stream.client.delete(stream.live)
    for name, body in zip(names, [b"\xc1", b"\x05", b"\x81\xa1m\x05"], strict=True):
        stream.client.hset(stream.keys.delayed_body, name, body)
        stream.client.zadd(stream.keys.delayed, {name: 0})
    stream.ledger.make_groups()
    assert stream.ledger.reconcile()[0] == 3
    assert stream.ledger.cursor(INBOX).last_uid == 0
    assert stream.ledger.promote() == 0
    assert stream.ledger.census().agrees


def test_a_damaged_body_whose_time_has_come_stops_no_other(stream: Stream) -> None:
    stream.append(mail_at(INBOX, 1, 1))
    name = mail_at(INBOX, 1, 1).identity
    stream.client.delete(stream.live)
    stream.client.hset(stream.keys.delayed_body, name, b"\xc1\xc1")
    stream.client.zadd(stream.keys.delayed, {name: 0})
    stream.ledger.make_groups()
    assert stream.ledger.promote() == 1
    assert stream.ledger.reconcile()[0] == 1


# --- what lies in a mailbox twice, and is lost ------------------------------------------------------


@pytest.mark.parametrize("keys", [(INBOX, ARCHIVE), (GMAIL_INBOX, GMAIL_ALL)])
def test_a_mail_that_a_hand_removed_is_fetched_again_through_whichever_folder(stream: Stream, keys) -> None:
    """Its content is known, which must not make it look like a copy of itself."""
    mine, other = keys
    if mine is INBOX:
        mails = [(mine, mail_at(INBOX, 1, 4)), (other, mail_at(ARCHIVE, 1, 1))]
    else:
        mails = [(mine, mail_at(GMAIL_INBOX, 1, 4)), (other, mail_at(GMAIL_ALL, 1, 1))]
    for key, mail in mails:
        stream.ledger.append(Append(key, [mail], Cursor(1, 4), Cursor()))
    stream.client.delete(stream.live)
    stream.ledger.make_groups()
    assert stream.ledger.reconcile()[0] == 1
    new = 0
    for key, mail in reversed(mails):
        new += stream.ledger.append(Append(key, [mail], Cursor(1, 4), stream.ledger.cursor(key))).new
    assert new == 1
    assert len(stream.open_all()) == 1

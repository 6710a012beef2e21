"""Dead letters: found, shown, replayed and removed by an operator, however many, large or foreign they are."""

from collections.abc import Iterator

import pytest
from support.invariants import assert_invariants
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.errors import ConfigError, StreamUnavailable
from fastmail_ingest.stream import dead_letters as module
from fastmail_ingest.stream.dead_letters import DeadLetters
from fastmail_ingest.stream.letter import LetterFilter


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def dead(stream: Operated) -> Iterator[DeadLetters]:
    with DeadLetters(stream.url, "", stream.arguments) as made:
        yield made


def test_there_are_none(dead: DeadLetters) -> None:
    assert (len(dead), list(dead), dead.count(LetterFilter(reason="hung"))) == (0, [], 0)
    assert dead.replay(LetterFilter()) == dead.clear() == 0


def test_a_letter_tells_all(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(
        5, reason="rejected", error="Reject", message="not for us", raw=b"Subject: Hi\r\n\r\n" + b"x" * 90_000
    )
    (letter,) = dead
    assert (letter.identity, letter.reason, letter.error, letter.message) == (
        "a:INBOX:7:5", "rejected", "Reject", "not for us",
    )  # fmt: skip
    assert (letter.account, letter.mailbox, letter.email.uid, letter.email.size) == ("a", "INBOX", 5, 90_015)
    assert letter.email.subject == "Hi"
    assert len(letter.email.raw) < 10_000
    assert letter.stored_bytes > 90_000
    assert abs(letter.died_at - dead.now_ms() / 1000) < 60
    assert dead.export(letter.id) == dead.export(letter.identity) == b"Subject: Hi\r\n\r\n" + b"x" * 90_000


def test_filters_take_what_they_say(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(1, 2, reason="rejected", error="Reject")
    stream.bury(3, mailbox="Leads")
    stream.bury(4, account="b")
    stream.bury(5, error="KeyError")

    def uids(**wanted: object) -> list[int]:
        return [letter.email.uid for letter in dead.find(LetterFilter(**wanted))]  # type: ignore[arg-type]

    assert uids() == [1, 2, 3, 4, 5]
    assert uids(reason="rejected") == [1, 2]
    assert uids(mailbox="Leads") == [3]
    assert uids(account="b") == [4]
    assert uids(error="KeyError") == [5]
    assert uids(error="KeyError", account="b") == []
    assert uids(newer_than_s=3600) == [1, 2, 3, 4, 5]
    assert uids(older_than_s=3600) == []
    assert uids(older_than_s=0) == [1, 2, 3, 4, 5]
    assert [letter.email.uid for letter in dead.find(newest_first=True)] == [5, 4, 3, 2, 1]


def test_ages_are_told_by_the_id(stream: Operated, dead: DeadLetters) -> None:
    old = dead.now_ms() - 7_200_000
    stream.client.xadd(
        stream.keys.dead, {"m": b"", "id": "foreign:1-1", "reason": "undecodable"}, id=f"{old}-0"
    )
    stream.client.sadd(stream.keys.queued, "foreign:1-1")
    stream.bury(1)
    assert [letter.identity for letter in dead.find(LetterFilter(older_than_s=3600))] == ["foreign:1-1"]
    assert [letter.identity for letter in dead.find(LetterFilter(newer_than_s=3600))] == ["a:INBOX:7:1"]
    assert dead.clear(LetterFilter(older_than_s=3600)) == 1
    assert_invariants(stream.client)


def test_more_than_a_page(stream: Operated, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 7)
    stream.bury(*range(1, 101))
    assert [letter.email.uid for letter in dead] == list(range(1, 101))
    assert [letter.email.uid for letter in dead.find(newest_first=True)] == list(range(100, 0, -1))
    assert dead.replay(LetterFilter()) == 100
    assert_invariants(stream.client)


def test_large_letters_are_not_carried_about(stream: Operated, dead: DeadLetters) -> None:
    for uid in range(1, 6):
        stream.bury(uid, raw=b"Subject: large\r\n\r\n" + b"%d" % uid * 12_000_000)
    before = stream.client.info("stats")["total_net_output_bytes"]
    assert sum(letter.stored_bytes for letter in dead) > 60_000_000
    assert {letter.email.subject for letter in dead} == {"large"}
    assert stream.client.info("stats")["total_net_output_bytes"] - before < 1_000_000
    assert dead.replay(LetterFilter()) == 5
    assert len(stream.entries()) == 5
    assert_invariants(stream.client)


# --- replay and removal ---------------------------------------------------------------------------------


def test_a_replayed_mail_comes_again_as_one_that_was_seen(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(1, 2)
    first, _ = stream.letter_ids()
    assert dead.replay([first]) == 1
    ((_, fields),) = stream.client.xrange(stream.keys.again)
    assert (fields[b"f"], fields[b"r"], fields[b"p"]) == (b"0", b"1", b"1")
    assert stream.ledger.waiting() == (1, len(fields[b"m"]))
    assert_invariants(stream.client)
    assert dead.replay(["a:INBOX:7:2"]) == 1
    assert len(dead) == 0
    assert stream.finish() == 2
    assert stream.ledger.waiting() == (0, 0)
    assert_invariants(stream.client)


def test_a_name_that_is_none_changes_nothing(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(1)
    for wrong in ("1-1", "a:INBOX:7:2", "", "*", "(0-0", "99999999999999999999999-1"):
        with pytest.raises(ConfigError, match="dead list"):
            dead.replay([stream.letter_ids()[0], wrong])
        with pytest.raises(ConfigError, match="dead list"):
            dead.remove([wrong])
    with pytest.raises(ConfigError, match="dead list"):
        dead.show("1-1")
    assert len(dead) == 1


def test_what_dies_anew_while_all_are_replayed_is_not_replayed_twice(
    stream: Operated, dead: DeadLetters
) -> None:
    stream.bury(*range(1, 251))
    died = []

    def die_again(_: int) -> None:
        died.append(len(stream.entries()))
        stream.bury(1000 + len(died))  # all that is in the lanes dies, and one more

    assert dead.replay(LetterFilter(), progress=die_again) == 250
    assert len(died) == 3
    assert len(dead) == 253
    assert_invariants(stream.client)


def test_the_rate_is_kept(stream: Operated, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    stream.bury(*range(1, 41))
    assert dead.replay(LetterFilter(), rate=20) == 40
    assert sum(slept) == pytest.approx(2.0)
    assert len(slept) >= 10
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="rate"):
            dead.replay(LetterFilter(), rate=wrong)


def test_removed_mails_are_done_and_do_not_come_again(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(1, 2, 3)
    assert dead.remove(["a:INBOX:7:1", stream.letter_ids()[0]]) == 1
    assert dead.clear(LetterFilter(reason="hung")) == 0
    assert dead.clear() == 2
    assert stream.ledger.states([stream.identity(uid) for uid in (1, 2, 3)]) == ["done"] * 3
    stream.client.delete(stream.keys.cursors + "a:INBOX")
    stream.append(1, 2, 3)
    assert stream.entries() == []
    assert_invariants(stream.client)


def test_a_full_redis_takes_a_replay_and_a_removal(stream: Operated, dead: DeadLetters) -> None:
    stream.bury(1, 2)
    stream.client.config_set("maxmemory", "1")
    try:
        assert dead.replay([stream.letter_ids()[0]]) == 1
        assert dead.clear() == 1
    finally:
        stream.client.config_set("maxmemory", "0")
    assert_invariants(stream.client)


# --- what is not ours -----------------------------------------------------------------------------------


def test_a_foreign_entry_is_shown_with_its_fields_and_stays(stream: Operated, dead: DeadLetters) -> None:
    stream.bury_foreign({"by": b"hand\x1b[31m", "bytes": b"\xff\xfe"})
    (letter,) = dead
    assert letter.identity.startswith("foreign:")
    assert (letter.account, letter.mailbox, letter.email, letter.reason) == ("", "", None, "undecodable")
    assert dict(letter.fields) == {b"by": b"hand\x1b[31m", b"bytes": b"\xff\xfe"}
    assert dead.replay(LetterFilter()) == 0
    assert b"hand" in dead.export(letter.id)
    assert_invariants(stream.client)
    assert dead.remove([letter.identity]) == 1
    assert_invariants(stream.client)
    assert stream.client.scard(stream.keys.queued) == 0


@pytest.mark.parametrize(
    "payload", [b"\xff" * 100_000, b"garbage", b"\xdc\x00\x10\x01", b"\x91\x01", b"\xa3abc"]
)
def test_a_payload_that_is_no_mail_stays_and_is_exported_as_it_is(
    stream: Operated, dead: DeadLetters, payload: bytes
) -> None:
    stream.bury_foreign({"m": payload})
    (letter,) = dead
    assert letter.email is None
    assert dict(letter.fields)[b"m"] == payload[: len(dict(letter.fields)[b"m"])]
    assert dead.replay(LetterFilter()) == 0
    assert dead.export(letter.id) == payload
    assert stream.ledger.waiting() == (0, 0)
    assert_invariants(stream.client)


def test_a_letter_that_a_hand_wrote_does_not_disturb_the_others(stream: Operated, dead: DeadLetters) -> None:
    stream.client.xadd(stream.keys.dead, {"what": "ever", "f": "many", "at": "soon"})
    stream.bury(1)
    strange, mine = dead
    assert strange.identity == f"foreign:{strange.id}"
    assert (strange.failures, dict(strange.fields)) == (0, {b"what": b"ever"})
    assert mine.identity == "a:INBOX:7:1"


def test_redis_away_and_a_key_of_another_kind(redis_binary: str) -> None:
    server = RedisServer(redis_binary)
    try:
        stream = Operated(server)
        dead = DeadLetters(server.url, "", stream.arguments)
        stream.client.set(stream.keys.dead, "no stream")
        with pytest.raises(StreamUnavailable, match="remedy"):
            list(dead)
        server.kill()
        for ask in (lambda: list(dead), lambda: len(dead), lambda: dead.show("1-1"), dead.clear):
            with pytest.raises(StreamUnavailable, match="does not answer"):
                ask()
    finally:
        server.close()

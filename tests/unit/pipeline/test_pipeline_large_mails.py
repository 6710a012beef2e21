"""Blobs around the stream: there before the entry, gone after it, and never taken from a mail that needs them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from fastmail_ingest.errors import BlobUnavailable, SourceUnavailable
from fastmail_ingest.model.blob import blob_name
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.large import Underway, Unneeded
from fastmail_ingest.pipeline.orphans import ABANDONED_S, LOOK_EVERY_S, ORPHANED_S, Orphans

SPACE = "fmi-0123456789abcdef"
HOUR_S = 3600.0


class RedisAway(Exception):
    pass


class Draft:
    """A draft, and what was done with it."""

    def __init__(self, deeds: list[str]) -> None:
        self.deeds = deeds
        self.gone = False

    def write(self, chunk: bytes) -> None: ...

    def commit(self, name: str) -> None:
        if self.gone:
            raise BlobUnavailable("disk full")
        self.deeds.append(f"commit {name}")

    def renew(self) -> None:
        if self.gone:
            raise BlobUnavailable("gone")
        self.deeds.append("renew")

    def discard(self) -> None:
        self.deeds.append("discard")

    def remove(self) -> None:
        self.deeds.append("remove")


class Intake:
    """What a producer asks of Redis about large mails."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    @property
    def blobs(self) -> "Intake":
        return self

    def space(self) -> str:
        return SPACE

    def states(self, identities: list[str]) -> list[str]:
        return [self.known.get(identity, "queued") for identity in identities]


@pytest.fixture
def intake() -> Intake:
    return Intake()


@pytest.fixture
def underway(intake) -> Underway:
    return Underway(intake, lambda ask: ask())


def test_a_blob_is_durable_and_renewed_before_its_entry(underway) -> None:
    draft = Draft([])
    name = underway.keep("a:INBOX:7:1", draft)
    assert name == blob_name(SPACE, b"a:INBOX:7:1")
    underway.renew()
    underway.appended(all_new=True)
    underway.renew()  # of the next append: the first is none of its business
    assert draft.deeds == [f"commit {name}", "renew"]


def test_a_blob_of_a_mail_that_was_handled_before_goes_at_once(underway, intake) -> None:
    drafts = {state: Draft([]) for state in ("done", "queued", "unknown", "both")}
    for state, draft in drafts.items():
        intake.known[f"mail {state}"] = state
        underway.keep(f"mail {state}", draft)
    underway.appended(all_new=False)
    assert [state for state, draft in drafts.items() if "remove" in draft.deeds] == ["done"]


def test_what_cannot_be_kept_holds_up_no_other(underway) -> None:
    full, good = Draft([]), Draft([])
    full.gone = True
    with pytest.raises(BlobUnavailable, match="disk full"):
        underway.keep("a:INBOX:7:1", full)
    underway.keep("a:INBOX:7:2", good)
    underway.renew()
    assert good.deeds[-1] == "renew"


def test_a_blob_that_was_taken_for_an_orphan_has_its_mail_fetched_again(underway) -> None:
    draft = Draft([])
    underway.keep("a:INBOX:7:1", draft)
    draft.gone = True
    with pytest.raises(SourceUnavailable, match="gone"):
        underway.renew()


def test_a_blob_that_is_gone_because_its_mail_is_done_disturbs_nobody(underway, intake) -> None:
    draft = Draft([])
    underway.keep("a:gm:1", draft)
    draft.gone, intake.known["a:gm:1"] = True, "done"
    underway.renew()
    underway.appended(all_new=False)
    assert "remove" not in draft.deeds


def test_a_window_that_ended_early_leaves_its_blobs_to_the_next_fetch(underway) -> None:
    draft = Draft([])
    underway.keep("a:INBOX:7:1", draft)
    underway.begin()
    underway.renew()
    assert "renew" not in draft.deeds


@pytest.mark.parametrize(("ignored", "removed"), [(0, ["b1", "b2"]), (1, [])])
def test_the_blobs_of_done_mails_go_only_if_all_mails_were_ours(ignored, removed) -> None:
    gone: list[str] = []
    first, second = Settlement(), Settlement()
    first.add_done(Entry(Lane.LIVE, b"1-1", b"", blob="b1"), "m1", 0.0)
    first.add_done(Entry(Lane.LIVE, b"1-2", b""), "small", 0.0)
    second.add_done(Entry(Lane.LIVE, b"1-3", b"", blob="b2"), "m2", 0.0)
    Unneeded(gone.append).settled(first.merged_with(second), ignored)
    assert gone == removed


# --- orphans -------------------------------------------------------------------------------------------


class Stored(NamedTuple):
    name: str
    age_s: float


class World:
    """Blobs with ages, and what Redis says."""

    def __init__(self) -> None:
        self.blobs: dict[str, float] = {}
        self.queued: set[str] = set()
        self.renewed: set[str] = set()  # while we look through the queue
        self.current = SPACE
        self.away = False
        self.drafts_older_than: list[float] = []
        self.broken = False
        self.scans = 0

    def space(self) -> str:
        if self.away:
            raise RedisAway
        return self.current

    def needed(self, space: str) -> Iterator[str]:
        self.scans += 1
        yield from (blob_name(space, identity.encode()) for identity in self.queued)
        self.blobs.update(dict.fromkeys(self.renewed & self.blobs.keys(), 0.0))

    def stored(self, space: str) -> list[Stored]:
        return [Stored(name, age) for name, age in self.blobs.items() if name.startswith(space)]

    def remove(self, name: str) -> None:
        del self.blobs[name]

    def sweep_drafts(self, older_than_s: float) -> int:
        if self.broken:
            raise PermissionError(13, "Permission denied")
        self.drafts_older_than.append(older_than_s)
        return 0

    def put(self, identity: str, age_s: float = 10 * HOUR_S, space: str = SPACE) -> str:
        name = blob_name(space, identity.encode())
        self.blobs[name] = age_s
        return name


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def look(world) -> Callable[[float], None]:
    return Orphans(world, world).look


def test_an_orphan_goes_after_an_hour_of_being_one(world, look) -> None:
    world.put("m1")
    for now in range(0, int(ORPHANED_S), int(LOOK_EVERY_S)):
        look(float(now))
        assert world.blobs
    look(ORPHANED_S)
    assert not world.blobs


def test_a_blob_that_is_needed_stays_for_ever(world, look) -> None:
    world.put("m1")
    world.queued.add("m1")
    for now in range(0, 100_000, 1000):
        look(float(now))
    assert world.blobs


def test_a_blob_that_is_needed_once_in_between_gets_its_hour_anew(world, look) -> None:
    world.put("m1")
    look(0.0)
    world.queued.add("m1")
    look(HOUR_S / 2)
    world.queued.clear()
    look(HOUR_S)
    look(HOUR_S * 1.8)
    assert world.blobs
    look(HOUR_S * 2)
    assert not world.blobs


def test_a_blob_that_a_producer_holds_while_redis_is_away_for_it_stays(world, look) -> None:
    name = world.put("m1")
    for now in range(0, 100_000, 1000):
        world.blobs[name] = 30.0  # renewed at each of its attempts to append
        look(float(now))
    assert world.blobs


def test_a_blob_that_is_written_anew_while_the_queue_is_looked_through_stays(world, look) -> None:
    name = world.put("m1")
    look(0.0)
    world.renewed.add(name)
    look(HOUR_S)
    assert world.blobs == {name: 0.0}


def test_an_hour_with_redis_away_in_between_does_not_count(world) -> None:
    orphans = Orphans(world, world)
    world.put("m1")
    orphans.look(0.0)
    world.away = True
    with pytest.raises(RedisAway):
        orphans.look(HOUR_S / 2)
    orphans.forget()  # as maintenance does whenever Redis is away
    world.away = False
    orphans.look(HOUR_S + 1)
    assert world.blobs
    orphans.look(2 * HOUR_S + 1)
    assert not world.blobs


def test_the_blobs_of_other_databases_and_of_the_time_before_a_flush_stay(world, look) -> None:
    before = world.put("m1")
    world.current = "fmi-ffffffffffffffff"  # FLUSHALL, or another Redis behind the same configuration
    gone = world.put("m1", space=world.current)
    for now in range(0, 20_000, 1000):
        look(float(now))
    assert set(world.blobs) == {before}
    assert gone not in world.blobs


def test_without_old_blobs_the_queue_is_not_looked_through(world, look) -> None:
    world.put("m1", age_s=10.0)
    look(0.0)
    assert world.scans == 0
    world.put("m2")
    look(LOOK_EVERY_S)
    assert world.scans == 1


def test_it_looks_only_now_and_then(world, look) -> None:
    for now in range(1201):
        look(float(now))
    assert world.drafts_older_than == [ABANDONED_S] * 3


def test_a_broken_directory_is_told_and_ends_nothing(world, look, caplog) -> None:
    world.broken = True
    look(0.0)
    assert "Permission denied" in caplog.text
    world.broken = False
    world.put("m1")
    look(LOOK_EVERY_S)
    assert world.scans == 1

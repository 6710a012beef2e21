"""What may befall the stream, as rules of the state machine; and that in the end nothing is lost by it."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Dead, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor
from support import stream_hands as hands
from support.stream_bench import CONSUMERS, Bench
from support.stream_model import LANES, ORPHAN, UNREAD, Item
from support.stream_world import MAILBOXES, UIDS, envelope, mail_at

consumers = st.sampled_from(CONSUMERS)
lanes = st.sampled_from(LANES)
has_groups = precondition(lambda self: not self.bench.groups_lost)
# A hand works where there is memory: this is about what it removes.
hand_is_free = precondition(lambda self: not self.bench.groups_lost and not self.bench.full)


class MeddledMachine(RuleBasedStateMachine):
    """Other programs, operators at the keyboard, and a Redis without memory."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.bench.clear()

    @precondition(lambda self: not self.bench.groups_lost and not self.bench.full)
    @rule(steps=st.integers(1, 3))
    def fill_memory(self, steps) -> None:
        """Redis has no memory for some steps, and has forgotten the scripts."""
        self.bench.client.script_flush()
        self.bench.fill(steps + 1)

    @hand_is_free
    @rule(lane=lanes)
    def destroy_group(self, lane) -> None:
        bench = self.bench
        bench.client.xgroup_destroy(f"{bench.keys.base}:{lane}", "workers")
        bench.model.lose_group(lane)
        bench.lose_group(lane)

    @hand_is_free
    @rule(lane=lanes)
    def remove_lane(self, lane) -> None:
        bench = self.bench
        bench.client.delete(f"{bench.keys.base}:{lane}")
        hands.remove_lane(bench.model, lane)
        bench.lose_group(lane)

    @hand_is_free
    @rule(what=st.sampled_from(["queued", "delayed", "bodies", "bytes", "groups"]))
    def remove_key(self, what) -> None:
        bench, model, keys = self.bench, self.bench.model, self.bench.keys
        names = {
            "queued": keys.queued,
            "delayed": keys.delayed,
            "bodies": keys.delayed_body,
            "bytes": keys.bytes,
        }
        bench.client.delete(names.get(what, keys.groups))
        if what == "queued":
            # An append before the books are mended would make a second entry of a mail.
            nowhere = model.queued - {item.book for item in model.items.values()}
            model.queued = set()
            model.forgotten |= nowhere
            model.excused |= {model.content_of[name] for name in nowhere if name in model.content_of}
            self.mend()
        elif what == "delayed":
            model.scored = {}
            model.broken = True
        elif what == "bodies":
            hands.remove_bodies(model)
        elif what == "bytes":
            self.mend()
        else:
            model.marks = {}
            bench.ledger.make_groups()

    @hand_is_free
    @rule(key=st.sampled_from(MAILBOXES))
    def remove_cursor(self, key) -> None:
        self.bench.client.delete(self.bench.keys.cursor(key))
        self.bench.model.cursors.pop(key, None)

    @hand_is_free
    @rule(data=st.data(), deed=st.sampled_from(["xdel", "xack", "delconsumer", "setid"]))
    def meddle(self, data, deed) -> None:
        """XDEL, XACK, XGROUP DELCONSUMER and XGROUP SETID by hand."""
        bench, model = self.bench, self.bench.model
        lane, consumer = data.draw(lanes), data.draw(consumers)
        name = f"{bench.keys.base}:{lane}"
        there = model.lane(lane)
        if deed == "setid":
            bench.client.xgroup_setid(name, "workers", "$")
            hands.skip_unread(model, lane)
        elif deed == "delconsumer":
            for label in LANES:
                bench.client.xgroup_delconsumer(f"{bench.keys.base}:{label}", "workers", consumer)
            hands.lose_owner(model, consumer)
        elif there:
            item = data.draw(st.sampled_from(there))
            if deed == "xdel":
                bench.client.xdel(name, item.id)
                hands.remove_entry(model, item)
            elif item.owner not in (UNREAD, ORPHAN):
                bench.client.xack(name, "workers", item.id)
                item.owner = ORPHAN

    @precondition(lambda self: not self.bench.full)
    @rule(lane=lanes, kind=st.sampled_from(["fields", "empty", "garbage", "cut", "newer", "numbers"]))
    def write_foreign_entry(self, lane, kind) -> None:
        bench = self.bench
        bench.strays += 1
        name, mark = f"zz:{bench.strays}", b"stray-%d" % bench.strays
        item = Item(name, lane, 0)
        fields: dict[bytes, bytes] = {}
        if kind in ("fields", "empty"):
            fields = {b"by": mark} if kind == "fields" else {b"m": b"", b"by": mark}
            item.name, item.named, item.payload = mark.decode(), False, False
        elif kind == "garbage":
            fields = {b"m": mark + b"\xff\xc1"}
            item.name, item.named = mark.decode(), False
        else:
            whole = codec.encode(envelope(name, version=9 if kind == "newer" else 1))
            fields = {b"m": whole if kind == "newer" else whole[: len(whole) // 2]}
            bench.names[fields[b"m"]] = name
            if kind == "numbers":
                fields |= {b"f": b"9" * 400, b"r": b"-1", b"k": b"0x10", b"p": b"nan"}
                item.failures = 1_000_000
        item.size = len(fields.get(b"m", b""))
        item.book = "?"
        bench.model.items[item.name] = item
        bench.client.xadd(f"{bench.keys.base}:{lane}", fields)

    @hand_is_free
    @rule()
    def mend(self) -> None:
        """What maintenance does when the books do not agree for some sweeps."""
        bench = self.bench
        bench.both(lambda: bench.ledger.reconcile()[0], lambda: hands.reconcile(bench.model))

    def teardown(self) -> None:
        """Whatever was done: with the hands off, every mail in every mailbox gets to the handler."""
        bench = self.bench
        if not bench.sound:
            return
        bench.fill(0)
        bench.remake_groups()
        bench.check()
        self.mend()
        for key in MAILBOXES:
            bench.check()
            bench.fetch(key, UIDS, Lane.LIVE, bench.model.cursors.get(key, Cursor()))
        self._drain()
        bench.script("replay", bench.arguments.replay([item.id for item in bench.letters()]))
        bench.model.replay(bench.letters())
        bench.check()
        self._drain()
        handled = {bench.model.content_of[n] for n in bench.model.handled if n in bench.model.content_of}
        # Of a mail that was lost by a hand under a UIDVALIDITY that is no more, only the content is known.
        names = {
            mail_at(key, bench.validity[key], uid).identity for key in MAILBOXES for uid in range(1, UIDS + 1)
        }
        excused = bench.model.excused | {
            bench.model.content_of[n] for n in bench.model.lost - names if n in bench.model.content_of
        }
        for key in MAILBOXES:
            for uid in range(1, UIDS + 1):
                mail = mail_at(key, bench.validity[key], uid)
                reached = mail.content_key in handled | excused
                assert reached, f"{mail.identity} never reached the handler"

    def _drain(self) -> None:
        bench = self.bench
        bench.check()
        while bench.waiting():
            for consumer in CONSUMERS:
                bench.put_back(consumer, Ending(deaths_max=1 << 30))
                bench.check()
            bench.both(bench.ledger.regroup, bench.model.regroup)
            bench.check()
            names = list(bench.model.scored)
            bench.model.scored = dict.fromkeys(names, True)
            if names:
                bench.script("promote", bench.arguments.promote(0, names))
                bench.model.promote()
            bench.check()
            bench.hands["n:1"] = []
            bench.read("n:1", 100)
            settlement = Settlement()
            for entry in bench.hands["n:1"]:
                name = bench.name_of_entry(entry)
                if name.startswith(("stray-", "zz:")):
                    settlement.add_failed(Dead(entry, "", "undecodable", "UndecodableEntry", "?"))
                else:
                    settlement.add_done(entry, name, 0.0)
            ignored = bench.wait(bench.lanes["n:1"].settle(settlement))
            assert ignored == bench.settled(settlement) == 0
            bench.check()

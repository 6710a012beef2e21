"""What hands do to the keyspace behind our back, and how the books are mended, on the model."""

from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from support.stream_model import LANES, ORPHAN, UNREAD, Item, Model


def remove_lane(model: Model, lane: str) -> None:
    """DEL of a lane: its entries and its group are gone."""
    model.lose_group(lane)
    for item in model.lane(lane):
        del model.items[item.name]
    model.broken = True


def remove_entry(model: Model, item: Item) -> None:
    """XDEL of an entry: whoever holds it still does."""
    del model.items[item.name]
    if item.owner not in (UNREAD, ORPHAN):
        model.ghosts[item.stream, item.id] = item
    model.broken = True


def remove_bodies(model: Model) -> None:
    """DEL of what waits for a retry."""
    model.items = {name: item for name, item in model.items.items() if item.stream != "delayed"}
    model.broken = True


def lose_owner(model: Model, consumer: str) -> None:
    """XGROUP DELCONSUMER: what it held has no owner."""
    for item in model.held_by(consumer):
        item.owner = ORPHAN
    model.ghosts = {at: ghost for at, ghost in model.ghosts.items() if ghost.owner != consumer}


def skip_unread(model: Model, lane: str) -> None:
    """XGROUP SETID to the end: the group will not be given what it has not read."""
    for item in model.lane(lane):
        if item.owner is UNREAD:
            item.owner = ORPHAN


def reconcile(model: Model) -> int:
    """Mend the books; returns how many were forgotten."""
    present = _take_in(model)
    forgotten = 0
    for name in model.queued - present:
        model.queued.remove(name)
        if name not in model.done:
            forgotten += 1
            model.forgotten.add(name)
            model.lost.add(name)
            _rewind(model, name)
    model.queued |= present
    bodies = {item.name for item in model.items.values() if item.stream == "delayed"}
    model.scored = {name: due for name, due in model.scored.items() if name in bodies}
    for name in bodies:
        model.scored.setdefault(name, True)
    waiting = [item for item in model.items.values() if item.stream != "dead" and item.book in present]
    model.weight = sum(item.size for item in waiting)
    model.broken = model.drifted = False
    return forgotten


def _take_in(model: Model) -> set[str]:
    """What the books are to know: names of all that is there, of nothing that is done."""
    present: set[str] = set()
    for item in list(model.items.values()):
        if item.stream == "dead":
            if item.book in model.done:
                item.book = model.foreign_name(item)
            present.add(item.book)
        elif item.named and item.name in model.done:
            del model.items[item.name]
            if item.stream in LANES and item.owner not in (UNREAD, ORPHAN):
                model.ghosts[item.stream, item.id] = item
        elif item.named:
            item.book = item.name
            present.add(item.name)
    return present


def _rewind(model: Model, name: str) -> None:
    """The mailbox is read again from before the mail; all of the account, if its name does not tell."""
    account, _, rest = name.partition(":")
    if account in ("g", "o"):
        for key in model.cursors:
            if key.account == account:
                _rewind_to(model, key, 0)
        return
    if rest.count(":") < 2:
        return  # a name that another program gave: nobody can fetch it again
    mailbox, validity, uid = rest.rsplit(":", 2)
    key = MailboxKey(account, mailbox)
    if model.cursors.get(key, Cursor()).uid_validity == int(validity):
        _rewind_to(model, key, int(uid) - 1)
    elif name in model.content_of:
        # Its name died with its UIDVALIDITY, and its new name is known as another one's.
        model.excused.add(model.content_of[name])


def _rewind_to(model: Model, key: MailboxKey, uid: int) -> None:
    cursor = model.cursors[key]
    if cursor.last_uid > uid:
        model.cursors[key] = Cursor(cursor.uid_validity, uid, cursor.match_until)

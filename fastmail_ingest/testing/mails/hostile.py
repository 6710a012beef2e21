"""Hostile mails by seed: sound ones damaged one to four times, and some that were never meant to be read."""

from collections.abc import Iterator, Sequence
from random import Random

from fastmail_ingest.testing.mails.bombs import BOMBS
from fastmail_ingest.testing.mails.damage import BYTE_DAMAGES, Damage
from fastmail_ingest.testing.mails.headers import HEADER_DAMAGES
from fastmail_ingest.testing.mails.sound import sound_mail

DAMAGES: tuple[Damage, ...] = (*BYTE_DAMAGES, *HEADER_DAMAGES)
_BOMB_SHARE = 0.05
_DAMAGED_AFTER_BOMB_SHARE = 0.3
_DAMAGES_MAX = 4
_BASE_SHARE = 0.5


def hostile_mail(seed: int, number: int, bases: Sequence[bytes] = ()) -> bytes:
    """Mail `number` of this seed: the same bytes on every machine, as long as `bases` are the same.

    Half of them are made of `bases`, mails of your own, if there are any; the rest of made-up ones.
    """
    draw = Random(f"hostile:{seed}:{number}")  # noqa: S311 - it has to be repeatable
    taken = bool(bases) and draw.random() < _BASE_SHARE
    raw = draw.choice(bases) if taken else sound_mail(seed, number).raw
    if draw.random() < _BOMB_SHARE:
        raw = draw.choice(BOMBS)(raw, draw)
        if draw.random() > _DAMAGED_AFTER_BOMB_SHARE:
            return raw
    for _ in range(draw.randint(1, _DAMAGES_MAX)):
        raw = draw.choice(DAMAGES)(raw, draw)
    return raw


def hostile_mails(seed: int, count: int, bases: Sequence[bytes] = ()) -> Iterator[bytes]:
    """So many hostile mails, to be handed to your handler or parser; see `hostile_mail`."""
    return (hostile_mail(seed, number, bases) for number in range(count))

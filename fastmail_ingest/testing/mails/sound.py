"""Well-formed mails of many kinds, each with what is in it: the measure of a parser."""

import email.utils
from random import Random

import msgspec

from fastmail_ingest.testing.mails.kinds import KINDS, Content, Scene
from fastmail_ingest.testing.mails.language import LANGUAGES
from fastmail_ingest.testing.mails.part import header_text, mailbox

_YEAR_2000_S, _YEAR_2035_S = 946_684_800, 2_051_222_400


class SoundMail(msgspec.Struct, frozen=True):
    """A well-formed mail. Texts have LF as line end; `content` says what is in its body."""

    raw: bytes
    kind: str
    subject: str
    sender: str
    sender_name: str
    to: list[str]
    message_id: str
    date_s: int  # epoch seconds
    content: Content


def sound_mail(seed: int, number: int) -> SoundMail:
    """Mail `number` of this seed; the same on every machine."""
    draw = Random(f"sound:{seed}:{number}")  # noqa: S311 - it has to be repeatable
    language = draw.choice(LANGUAGES)
    scene = Scene(draw, language, draw.choice(language.charsets))
    kind = draw.choice(sorted(KINDS))
    content = KINDS[kind](scene)
    subject = language.sentence(draw, draw.randint(1, 12))
    sender, to = f"a{number}@example.org", [f"b{each}@example.net" for each in range(draw.randint(1, 4))]
    message_id, date_s = f"{seed}.{number}@example.org", draw.randint(_YEAR_2000_S, _YEAR_2035_S)
    head = [
        f"Received: from mx.example.org by mail.example.net; {email.utils.formatdate(date_s)}",
        f"From: {mailbox(draw, language.person, sender, scene.charset)}",
        f"To: {_list(draw, scene, to)}",
        f"Subject: {header_text(draw, subject, scene.charset)}",
        f"Date: {email.utils.formatdate(date_s)}",
        f"Message-ID: <{message_id}>",
        "MIME-Version: 1.0",
        *content.headers,
    ]
    return SoundMail(
        "\r\n".join(head).encode() + b"\r\n" + content.entity,
        kind, subject, sender, language.person, to, message_id, date_s, content,
    )  # fmt: skip


def _list(draw: Random, scene: Scene, addresses: list[str]) -> str:
    named = [
        mailbox(draw, scene.language.person, each, scene.charset) if draw.random() < 0.5 else each
        for each in addresses
    ]
    return ",\r\n ".join(named)

"""The kinds of mail that real mailboxes hold: alternatives, attachments, invitations, reports, signatures."""

import gzip
from collections.abc import Callable
from random import Random

import msgspec

from fastmail_ingest.testing.mails.language import Language
from fastmail_ingest.testing.mails.part import entity, file_part, multipart, text_part


class Content(msgspec.Struct, frozen=True):
    """The body of a mail and what is in it; None where the standards leave to the reader what counts."""

    entity: bytes
    text: str | None = None
    html: str | None = None
    files: list[tuple[str, bytes]] | None = None
    headers: list[str] = []


class Scene(msgspec.Struct):
    """What a mail's parts share."""

    draw: Random
    language: Language
    charset: str

    def text(self) -> str:
        """Some lines."""
        draw = self.draw
        return "\n".join(self.language.sentence(draw, draw.randint(1, 9)) for _ in range(draw.randint(1, 20)))

    def html(self) -> str:
        """The like, as a page."""
        rows = "".join(f"<p>{line}</p>\n" for line in self.text().split("\n"))
        return f"<html><head><title>x</title><style>p {{color: red}}</style></head><body>{rows}</body></html>"

    def plain(self, text: str, subtype: str = "plain", extra: str = "") -> bytes:
        """A text part in the mail's charset."""
        return text_part(self.draw, text, subtype, self.charset, extra)

    def data(self) -> bytes:
        """The content of a file: a few bytes, some kilobytes now and then."""
        return self.draw.randbytes(self.draw.choice((0, 1, 57, 300, 5000, 5000, 30_000)))

    def file_name(self, ending: str) -> str:
        """A name in the mail's language."""
        return f"{self.language.sentence(self.draw, 2)}{ending}"

    def token(self) -> str:
        """16 hex digits."""
        return f"{self.draw.getrandbits(64):016x}"


def _plain(scene: Scene) -> Content:
    text = scene.text()
    return Content(scene.plain(text), text, "", [])


def _html(scene: Scene) -> Content:
    html = scene.html()
    return Content(scene.plain(html, "html"), "", html, [])


def _bare(scene: Scene) -> Content:
    """Neither Content-Type nor anything else: ASCII by default (RFC 2045 5.2)."""
    return Content(b"\r\nhello\r\n", "hello", "", [])


def _flowed(scene: Scene) -> Content:
    text = scene.text().replace("\n", " \n")
    return Content(scene.plain(text, extra="; format=flowed; delsp=no"), None, "", [])


def _alternative(scene: Scene) -> Content:
    text, html = scene.text(), scene.html()
    parts = [scene.plain(text), scene.plain(html, "html")]
    return Content(multipart(scene.draw, "alternative", parts), text, html, [])


def _mixed(scene: Scene) -> Content:
    text = scene.text()
    files = [(scene.file_name(".bin"), scene.data()) for _ in range(scene.draw.randint(1, 4))]
    kinds = ("application/octet-stream", "application/pdf", "image/png", "audio/ogg", "application/zip")
    attached = [file_part(scene.draw, scene.draw.choice(kinds), name, data) for name, data in files]
    return Content(multipart(scene.draw, "mixed", [scene.plain(text), *attached]), text, "", files)


def _tree(scene: Scene) -> Content:
    """What a mail program makes of text, pictures and files: mixed, related, alternative."""
    draw, text, html = scene.draw, scene.text(), scene.html()
    name, data = scene.file_name(".csv"), scene.data()
    picture = entity(
        "image/gif", scene.data(), "base64", f"Content-ID: <{scene.token()}@x>", "Content-Disposition: inline"
    )
    inner = multipart(draw, "alternative", [scene.plain(text), scene.plain(html, "html")])
    related = multipart(draw, "related", [inner, picture], '; type="multipart/alternative"')
    attached = file_part(draw, "text/csv; charset=utf-8", name, data)
    return Content(multipart(draw, "mixed", [related, attached]), text, html, None)


def _invitation(scene: Scene) -> Content:
    """iMIP, RFC 6047."""
    title = scene.language.sentence(scene.draw, 3)
    lines = [
        "BEGIN:VCALENDAR",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        f"UID:{scene.token()}",
        f"SUMMARY:{title}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    event, text, html = "\n".join(lines), scene.text(), scene.html()
    calendar = text_part(scene.draw, event, "calendar", "utf-8", "; method=REQUEST")
    parts = [scene.plain(text), scene.plain(html, "html"), calendar]
    return Content(multipart(scene.draw, "alternative", parts), text, html, None)


def _signed(scene: Scene) -> Content:
    """RFC 3156; the signature is as long as a real one and signs nothing."""
    text = scene.text()
    armour = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n" + scene.token().encode() * 4
    signature = entity('application/pgp-signature; name="signature.asc"', armour, "7bit")
    extra = '; micalg=pgp-sha512; protocol="application/pgp-signature"'
    return Content(multipart(scene.draw, "signed", [scene.plain(text), signature], extra), text, "", None)


def _opaque(scene: Scene) -> Content:
    """S/MIME in one piece, RFC 8551."""
    data = scene.data()
    part = file_part(scene.draw, "application/pkcs7-mime; smime-type=signed-data", "smime.p7m", data)
    return Content(part, "", "", [("smime.p7m", data)])


def _encrypted(scene: Scene) -> Content:
    control = entity("application/pgp-encrypted", b"Version: 1\r\n", "7bit")
    data = entity("application/octet-stream", b"-----BEGIN PGP MESSAGE-----\r\n", "7bit")
    extra = '; protocol="application/pgp-encrypted"'
    return Content(multipart(scene.draw, "encrypted", [control, data], extra), None, "", None)


def _bounce(scene: Scene) -> Content:
    """A delivery status notification, RFC 3464."""
    status = (
        "Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; gone@example.net\r\n"
        f"Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such user {scene.token()}\r\n"
    )
    parts = [
        scene.plain(scene.text()),
        entity("message/delivery-status", status.encode(), "7bit"),
        entity("message/rfc822", _small(scene), "7bit"),
    ]
    report = multipart(scene.draw, "report", parts, "; report-type=delivery-status")
    return Content(report, headers=["Return-Path: <>", "Auto-Submitted: auto-replied"])


def _receipt(scene: Scene) -> Content:
    """A message disposition notification, RFC 8098."""
    told = b"Disposition: manual-action/MDN-sent-manually; displayed\r\n"
    parts = [scene.plain(scene.text()), entity("message/disposition-notification", told, "7bit")]
    return Content(multipart(scene.draw, "report", parts, "; report-type=disposition-notification"))


def _forwarded(scene: Scene) -> Content:
    parts = [scene.plain(scene.text()), entity("message/rfc822", _small(scene), "8bit")]
    return Content(multipart(scene.draw, "mixed", parts))


def _digest(scene: Scene) -> Content:
    """Parts are messages by default (RFC 2046 5.1.5)."""
    mails = [b"\r\n" + _small(scene) for _ in range(scene.draw.randint(1, 6))]
    return Content(multipart(scene.draw, "digest", mails), headers=["Precedence: list"])


def _list_footer(scene: Scene) -> Content:
    """A mailing list adds a text of its own behind the author's."""
    parts = [
        scene.plain(scene.text()),
        text_part(scene.draw, "-- \nto leave the list: ...", "plain", "us-ascii"),
    ]
    return Content(
        multipart(scene.draw, "mixed", parts), headers=["List-Id: <l.example.org>", "Precedence: bulk"]
    )


def _winmail(scene: Scene) -> Content:
    """Outlook's TNEF: the signature of the format, and bytes."""
    text, data = scene.text(), b"\x78\x9f\x3e\x22" + scene.data()
    attached = file_part(scene.draw, "application/ms-tnef", "winmail.dat", data)
    return Content(
        multipart(scene.draw, "mixed", [scene.plain(text), attached]), text, "", [("winmail.dat", data)]
    )


def _dmarc(scene: Scene) -> Content:
    """An aggregate report, RFC 7489 7.2: no text, one compressed file."""
    data = gzip.compress(b"<feedback/>" * scene.draw.randint(1, 500), mtime=0)
    name = "example.net!example.org!1!2.xml.gz"
    return Content(file_part(scene.draw, "application/gzip", name, data), "", "", [(name, data)])


def _small(scene: Scene) -> bytes:
    return b"From: c@example.com\r\nSubject: inner\r\nMIME-Version: 1.0\r\n" + scene.plain(scene.text())


KINDS: dict[str, Callable[[Scene], Content]] = {
    "plain": _plain,
    "html": _html,
    "bare": _bare,
    "flowed": _flowed,
    "alternative": _alternative,
    "mixed": _mixed,
    "tree": _tree,
    "invitation": _invitation,
    "signed": _signed,
    "opaque": _opaque,
    "encrypted": _encrypted,
    "bounce": _bounce,
    "receipt": _receipt,
    "forwarded": _forwarded,
    "digest": _digest,
    "list": _list_footer,
    "winmail": _winmail,
    "dmarc": _dmarc,
}

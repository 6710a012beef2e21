"""The mails of the demo: three mailboxes of a small shop, to be read by people."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import msgspec

from fastmail_ingest.simulator.mailbox import Account, Mail, Mailbox, mail_of
from fastmail_ingest.simulator.stories import INVOICES, NEWSLETTERS, SUPPORT, Story

DEMO_NOW_S = 1_767_225_600.0  # 2026-01-01: what the demo's mails count back from unless told otherwise
_SECONDS_AN_HOUR = 3600
_HTML = "<html><body><h2>{subject}</h2>{paragraphs}<p style='color:gray'>Sent by {sender}</p></body></html>"


class Folder(msgspec.Struct, frozen=True):
    """One mailbox of the demo, and how its mails look beyond their text."""

    name: str
    stories: tuple[Story, ...]
    html: bool = False
    attachment: str = ""


_FOLDERS = (
    Folder("support", SUPPORT),
    Folder("invoices", INVOICES, attachment="invoice-{number}.pdf"),
    Folder("newsletters", NEWSLETTERS, html=True),
)


def samples(now_s: float = DEMO_NOW_S) -> list[tuple[str, list[Mail]]]:
    """Mailbox names with their mails, oldest first; the dates go back from `now_s` (epoch seconds)."""
    return [(folder.name, _mails(folder, now_s)) for folder in _FOLDERS]


def demo_account(user: str = "demo", password: str = "demo", now_s: float = DEMO_NOW_S) -> Account:  # noqa: S107 - a demo
    """An account with an empty INBOX and the sample mailboxes."""
    account = Account(user, password, gmail=True)
    account.add(Mailbox("INBOX"))
    for number, (name, mails) in enumerate(samples(now_s), 2):
        # X-GM-MSGID is made of UIDVALIDITY and UID: mailboxes that share neither mails nor one of the two.
        mailbox = account.add(Mailbox(name, uid_validity=number))
        for mail in mails:
            mailbox.append(mail)
    return account


def _mails(folder: Folder, now_s: float) -> list[Mail]:
    count = len(folder.stories)
    return [
        mail_of(_raw(folder, number, story, date), internal_date=date)
        for number, story in enumerate(folder.stories)
        for date in (now_s - (count - number) * 5 * _SECONDS_AN_HOUR,)
    ]


def _raw(folder: Folder, number: int, story: Story, date: float) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = story.sender
    message["To"] = f"{folder.name}@teashop.example"
    message["Subject"] = story.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(date, UTC))
    message["Message-ID"] = f"<{folder.name}.{number + 1}@mail.teashop.example>"
    message.set_content(story.text)
    if folder.html:
        paragraphs = "".join(f"<p>{line}</p>" for line in story.text.splitlines() if line)
        page = _HTML.format(subject=story.subject, paragraphs=paragraphs, sender=story.sender.split("<")[0])
        message.add_alternative(page, subtype="html")
    if folder.attachment:
        name = folder.attachment.format(number=2041 + number)
        document = f"%PDF-1.4\n% {story.subject}\n".encode() * 40
        message.add_attachment(document, maintype="application", subtype="pdf", filename=name)
    if folder.html or folder.attachment:
        # The stdlib would draw the boundary at random; the demo shall be the same each time.
        message.set_boundary(f"=_{folder.name}-{number + 1}")
    return message.as_bytes()

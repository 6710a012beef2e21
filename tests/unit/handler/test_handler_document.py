"""A mail as it is handed on: what is in it, and what is not read for it."""

import json

import msgspec
import pytest
from support.kept_mail import HOSTILE, PLAIN, WITH_ATTACHMENT, mail

from fastmail_ingest.config.outgoing import WebhookConfig
from fastmail_ingest.handler.document import document_of
from fastmail_ingest.model.mime import Attachment

HTML = b"From: a@example.org\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>Bob</b></p><p>Ann</p>\r\n"


def test_the_text_is_what_a_person_reads() -> None:
    document = document_of(mail(1, HTML), WebhookConfig())
    assert document.text == mail(1, HTML).body_text
    assert document.text.startswith("Hello Bob")
    assert (document.preview, document.html) == ("Hello Bob Ann", "")
    assert document_of(mail(1, HTML), WebhookConfig(html=True)).html.startswith("<p>Hello")


def test_it_is_cut_as_it_is_asked_for() -> None:
    cut = document_of(mail(1, PLAIN), WebhookConfig(text_limit=5))
    assert (cut.text, cut.cut) == ("Hello", True)
    none = document_of(mail(1, PLAIN), WebhookConfig(text_limit=0))
    assert (none.text, none.preview, none.cut) == ("", "", False)


def test_contents_are_read_only_if_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    email = mail(1, WITH_ATTACHMENT)
    (attachment,) = email.attachments
    assert attachment.size == 3
    really = Attachment.content
    monkeypatch.setattr(Attachment, "content", lambda self: read.append(self.filename) or really(self))
    for limit, content in ((0, None), (2, None), (3, b"PDF")):
        (found,) = document_of(email, WebhookConfig(content_limit=limit)).attachments
        assert (found.filename, found.size, found.content) == ("a.pdf", 3, content)
    assert read == ["a.pdf"]


def test_a_hostile_mail_can_be_written() -> None:
    said = json.loads(msgspec.json.encode(document_of(mail(1, HOSTILE), WebhookConfig())))
    assert said["sender"] == "ann@example.org"

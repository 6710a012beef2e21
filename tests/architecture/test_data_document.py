"""docs/DATA.md says field by field what is handed on and kept: all of it, and nothing else."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec.structs import fields
from support.kept_mail import WITH_ATTACHMENT, classified, mail

import fastmail_ingest
from fastmail_ingest.config.boxed_files import JsonlConfig, SqliteConfig
from fastmail_ingest.config.outgoing import DocumentSection
from fastmail_ingest.handler.document import VERSION, AttachmentDocument, MailDocument, document_of
from fastmail_ingest.handler.jsonl import Jsonl
from fastmail_ingest.handler.record import COLUMNS, record_of
from fastmail_ingest.handler.sqlite import Sqlite
from fastmail_ingest.handler.webhook import Event
from fastmail_ingest.model.email import Email

DOCUMENT = (Path(__file__).parents[2] / "docs/DATA.md").read_text()
ALWAYS, SOMETIMES = "●", "○"


def table(title: str) -> list[dict[str, str]]:
    """The rows of the first table below a title."""
    below = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in below.splitlines()
        if line.startswith("|")
    )
    return [dict(zip(head, row, strict=True)) | {"field": row[0].strip("`")} for row in rows]


def marked(title: str, column: str, *marks: str) -> set[str]:
    return {row["field"] for row in table(title) if row[column] in (marks or (ALWAYS, SOMETIMES))}


def of_struct(kind: type[msgspec.Struct], *, required: bool) -> set[str]:
    return {field.encode_name for field in fields(kind) if field.required is required}


def test_what_webhook_and_redis_stream_hand_on() -> None:
    for title, kind in (("Fields of a mail", MailDocument), ("An attachment", AttachmentDocument)):
        column = "webhook, redis-stream"
        assert marked(title, column, ALWAYS) == of_struct(kind, required=True)
        assert marked(title, column, SOMETIMES) == of_struct(kind, required=False)
    version = next(row for row in table("Fields of a mail") if row["field"] == "version")
    assert version["what"] == str(VERSION)


def test_what_jsonl_writes(tmp_path: Path) -> None:
    lines = []
    for text, raw in (("whole", True), ("preview", False), ("none", False)):
        directory = tmp_path / text
        made = Jsonl(JsonlConfig(directory=str(directory), text=text, raw=raw), 90)
        made([mail(1, WITH_ATTACHMENT) if text == "none" else classified(1)])
        (file,) = directory.glob("*.jsonl")
        lines.append(json.loads(file.read_bytes()))
    whole, preview, none = lines
    assert whole.keys() | preview.keys() == marked("Fields of a mail", "jsonl")
    assert none.keys() == marked("Fields of a mail", "jsonl", ALWAYS)
    assert none["attachments"][0].keys() == marked("An attachment", "jsonl")


def test_the_columns_of_the_tables(tmp_path: Path) -> None:
    assert marked("Fields of a mail", "tables") == set(COLUMNS)
    Sqlite(SqliteConfig(path=str(tmp_path / "m.db"))).startup()
    with closing(sqlite3.connect(tmp_path / "m.db")) as connection:
        rows = connection.execute("SELECT name FROM pragma_table_info('attachments')").fetchall()
    assert marked("An attachment", "tables") == {name for (name,) in rows}


def test_words_are_those_of_a_mail() -> None:
    own = {"version", "headers", "cut", "raw", "text", "classification"}  # explained in the table
    assert {row["field"] for row in table("Fields of a mail")} - own <= set(dir(Email))


def test_text_is_what_a_person_reads_wherever_it_stands() -> None:
    email = mail(1, b"Content-Type: text/html\r\n\r\n<p>Hello <b>Bob</b></p>\r\n")
    assert email.text == ""
    assert "`email.body_text`" in next(
        row["what"] for row in table("Fields of a mail") if row["field"] == "text"
    )
    assert (
        document_of(email, DocumentSection()).text == record_of(email).text == email.body_text == "Hello Bob"
    )


def test_a_classification() -> None:
    names = [row["field"] for row in table("A classification")]
    assert names == [field.name for field in fields(fastmail_ingest.Classification)]


def test_the_request_and_its_example() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    event = msgspec.json.decode(example, type=Event, strict=True)
    assert json.loads(msgspec.json.encode(event)) == json.loads(example)
    assert [row["field"] for row in table("The request of `webhook`")] == [
        each.name for each in fields(Event)
    ]
    assert event.data.classification is not None

"""The handlers in docs/HANDLERS.md do what they say, once and again."""

import json
import re
import sqlite3
import sys
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest
from support.http_sink import HttpSink, says

from fastmail_ingest.testing import hostile_mails, run_handler

DOCUMENT = (Path(__file__).parents[2] / "docs/HANDLERS.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
RAW = b"From: Ann <ann@example.org>\nSubject: Hello\n\ntext\n"


@pytest.fixture(autouse=True)
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each module in a file of the name in its first line, where we are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = {name: block for block in BLOCKS for name in re.findall(r"\A# (\w+)\.py\n", block)}
    assert set(names) == {"invoices", "crm", "rows"}
    for name, block in names.items():
        (tmp_path / f"{name}.py").write_text(block)
    yield
    for name in names:
        sys.modules.pop(name, None)


def test_invoices(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"] = "../../ann@example.org"
    mail.set_content("see attached\n")
    mail.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="../bill.pdf")
    mail.add_attachment(b"%PDF-2", maintype="application", subtype="octet-stream", filename="b.PDF")
    mail.add_attachment(b"PNG", maintype="image", subtype="png", filename="logo.png")
    for attempt in (1, 2):
        assert run_handler("invoices:handle", mail, attempt=attempt).done
    files = sorted(path for path in (tmp_path / "invoices").rglob("*") if path.is_file())
    assert [path.read_bytes() for path in files] == [b"%PDF-1", b"%PDF-2"]
    assert {path.parent.parent for path in files} == {tmp_path / "invoices"}
    assert not {path.name for path in tmp_path.iterdir()} & {"ann@example.org", "bill.pdf"}


def test_crm(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink(says(201), says(422, b"no such customer"), says(429), says(500)) as sink:
        monkeypatch.setenv("CRM_URL", sink.url.removesuffix("/hook"))
        done, rejected, busy, failed = (run_handler("crm:handle", RAW) for _ in range(4))
    assert done.done, done
    assert (rejected.rejected, rejected.reason) == (True, "no such customer")
    assert busy.after_s == 30.0
    assert failed.failed
    request = sink.requests[0]
    assert json.loads(request.body)["subject"] == "Hello"
    assert {each.headers["idempotency-key"] for each in sink.requests} == {done.email.id}


def test_rows(tmp_path: Path) -> None:
    mails = [RAW, *hostile_mails(seed=7, count=50)]
    for attempt in (1, 2):
        for raw in mails:
            outcome = run_handler("rows:handle", raw, attempt=attempt)
            assert outcome.done, outcome
    with closing(sqlite3.connect(tmp_path / "rows.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM mails").fetchone()
        row = database.execute("SELECT sender, text FROM mails WHERE sender = 'ann@example.org'").fetchone()
    assert 0 < count <= len(mails)
    assert row is not None


def test_what_stands_alone_runs() -> None:
    (alone,) = (block for block in BLOCKS if not block.startswith("# "))
    exec(compile(alone, "docs/HANDLERS.md", "exec"), {})

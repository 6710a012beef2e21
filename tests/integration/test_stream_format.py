"""docs/STREAM_FORMAT.md: its table is the envelope, its keys are ours, and its example reads a real entry."""

import re
from pathlib import Path

import msgspec
import pytest
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.model.envelope import BLOB_VERSION, CODEC_VERSION, Envelope
from fastmail_ingest.model.identity import identify, identify_content
from fastmail_ingest.stream import keys

DOCUMENT = (Path(__file__).parents[2] / "docs/STREAM_FORMAT.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
TYPES = {
    int: "int", str: "str", float: "float", bytes: "bin", bool: "bool", tuple[str, ...]: "array of str",
}  # fmt: skip


def test_the_array_is_the_envelope() -> None:
    shown = re.findall(r"^\| (\d+) \| `(\w+)` \| ([a-z ]+) \|", DOCUMENT, re.MULTILINE)
    fields = msgspec.structs.fields(Envelope)
    assert shown == [(str(n), field.name, TYPES[field.type]) for n, field in enumerate(fields)]
    assert (CODEC_VERSION, BLOB_VERSION) == (1, 2)


def test_the_keys_are_ours() -> None:
    table = DOCUMENT.partition("## Keys")[2].partition("## An entry")[0]
    shown = {name.partition(":<")[0] for name in re.findall(r"`(:[a-z:<>]+)`", table)}
    documented = {
        name.partition(":<")[0] for name in re.findall(r"^ +(:[a-z:<>]+)", keys.__doc__ or "", re.M)
    }
    assert shown - {":live", ":backfill", ":delayed:body"} <= documented


def test_the_identities_are_ours() -> None:
    forms = set(re.findall(r"^\| `(account:[^`]+)`", DOCUMENT, re.MULTILINE))
    assert forms == {
        identify("account", "mailbox", 1, 2, gm_msgid="<X-GM-MSGID>"),
        identify("account", "mailbox", 1, 2, email_id="<EMAILID>"),
        identify("account", "mailbox", 1, 2).replace(":1:2", ":<uid_validity>:<uid>"),
        identify_content("account", b"\0").replace(":00", ":<hash>"),
    }


def test_the_example_reads_a_real_entry(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Operated(redis_server).append(1)
    monkeypatch.chdir(redis_server.directory)
    exec(EXAMPLE, {})
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"\d+-0 a:INBOX:7:1 a \d+ b'", line), line

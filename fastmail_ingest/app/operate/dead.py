"""`dead list|show|replay|remove|clear`: the words around `DeadLetters`."""

import os
import shutil
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fastmail_ingest.app.operate import words
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.stream.dead_letters import DeadLetters
from fastmail_ingest.stream.letter import DeadLetter, LetterFilter

__all__ = [
    "DeadLetters",
    "LetterFilter",
    "clear",
    "list_letters",
    "replay",
    "save",
    "say_changed",
    "show_letter",
    "show_source",
]

STDOUT = Path("-")
_COLUMNS = ("id", "died (UTC)", "reason", "error", "mail", "from", "subject")
_COLUMNS_NARROW = ("id", "died (UTC)", "reason", "mail")
_WIDE = 120  # characters; on less the rest is left to `dead show`
_SUBJECT_MAX = 60
_TABLE_MAX = 50
_TEXT_LINES_MAX = 40


def list_letters(dead: DeadLetters, wanted: LetterFilter, limit: int | None, *, as_json: bool) -> None:
    """Print the letters that are meant, newest first."""
    found = dead.find(wanted, newest_first=True)
    if as_json:
        words.say_json_list({"total": len(dead)}, "letters", map(_facts, islice(found, limit)))
        return
    most = _TABLE_MAX if limit is None else limit
    letters = list(islice(found, most))
    if not letters:
        words.say("no dead letters" if not len(dead) else f"none of the {len(dead)} dead letters is meant")
        return
    console = words.console()
    columns = _COLUMNS if console.width >= _WIDE else _COLUMNS_NARROW
    rows = ([row[column] for column in columns] for row in map(_row, letters))
    console.print(words.table(columns, rows))
    if next(found, None) is not None:
        words.say(f"the newest {most} are shown; --limit shows more, --json all")
    words.say(f"{len(letters)} shown of {len(dead)} dead letters")


def _row(letter: DeadLetter) -> dict[str, str]:
    email = letter.email
    return {
        "id": letter.id,
        "died (UTC)": words.moment(letter.died_at),
        "reason": letter.reason,
        "error": letter.error,
        "mail": letter.identity,
        "from": email.sender if email else "",
        "subject": email.subject[:_SUBJECT_MAX] if email else "(cannot be read)",
    }


def _facts(letter: DeadLetter) -> dict[str, object]:
    """What --json says of a letter."""
    email, envelope = letter.email, letter.envelope
    facts: dict[str, object] = {
        name: getattr(letter, name)
        for name in (
            "id", "identity", "reason", "error", "message", "failures", "returns", "deaths", "replays",
            "died_at", "account", "mailbox", "stored_bytes",
        )
    }  # fmt: skip
    if email is not None and envelope is not None:
        facts |= {"uid": envelope.uid, "size": envelope.size, "fetched_at": envelope.fetched_at}
        facts |= {"sender": email.sender, "subject": email.subject}
    return facts


def show_letter(dead: DeadLetters, name: str, *, as_json: bool) -> None:
    """Print all that is known of one letter."""
    letter = dead.show(name)
    if as_json:
        words.say_json(_facts(letter) | {"traceback": letter.traceback, "fields": dict(_fields(letter))})
        return
    grid = Table.grid(padding=(0, 2))
    for title, value in _details(letter):
        grid.add_row(Text(words.clean(title), style="bold"), Text(words.clean(value), overflow="fold"))
    parts: list[object] = [grid]
    if letter.traceback:
        parts.append(Text(f"\n{words.clean_lines(letter.traceback)}".rstrip()))
    if letter.email is not None and letter.email.body_text:
        lines = words.clean_lines(letter.email.body_text).splitlines()
        parts.append(Text("\nbeginning of its text:", style="bold"))
        parts.append(Text("\n".join(lines[:_TEXT_LINES_MAX])))
    words.console().print(Group(*parts), soft_wrap=True)  # type: ignore[arg-type] # all are renderable


def _details(letter: DeadLetter) -> list[tuple[str, str]]:
    counts = f"{letter.failures} failures, {letter.returns} returns, {letter.deaths} worker deaths"
    details = [
        ("id", letter.id),
        ("mail", letter.identity),
        ("died", f"{words.moment(letter.died_at)} UTC"),
        ("reason", letter.reason),
        ("error", f"{letter.error}: {letter.message}" if letter.message else letter.error),
        ("history", f"{counts}, {letter.replays} replays"),
    ]
    email, envelope = letter.email, letter.envelope
    if email is not None and envelope is not None:
        details += [
            ("mailbox", f"{envelope.account}/{envelope.mailbox}, UID {envelope.uid}"),
            ("size", f"{envelope.size} bytes"),
            ("fetched", f"{words.moment(envelope.fetched_at)} UTC"),
            ("from", f"{email.sender_name} <{email.sender}>".strip()),
            ("subject", email.subject),
        ]
    else:
        details.append(("content", f"{letter.stored_bytes} bytes that this version cannot read as a mail"))
    return details + [(f"field {name}", value) for name, value in _fields(letter)]


def _fields(letter: DeadLetter) -> list[tuple[str, str]]:
    return [
        (name.decode("utf-8", "backslashreplace"), value.decode("utf-8", "backslashreplace"))
        for name, value in letter.fields
    ]


def show_source(dead: DeadLetters, name: str) -> None:
    """Print the mail's source, free of what a terminal would obey; `save` gives the bytes."""
    sys.stdout.write(words.clean_lines(dead.export(name).decode("utf-8", "replace")))


def save(dead: DeadLetters, name: str, path: Path, *, force: bool) -> None:
    """Write the mail into a file that only we may read; to standard output for "-"."""
    with dead.open(name) as mail:
        if path == STDOUT:
            shutil.copyfileobj(mail, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        size = _write_new(mail, path, force=force)
    words.say(f"{size} bytes written to {path}")


def _write_new(mail: BinaryIO, path: Path, *, force: bool) -> int:
    try:
        if force:
            # A new file, whoever owned the old one or had it open.
            path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(mail, file)
            return file.tell()
    except FileExistsError as error:
        raise ConfigError(f"--eml: {path} is there already. remedy: another name, or --force") from error
    except OSError as error:
        raise ConfigError(f"--eml: cannot write {path}: {error.strerror}") from error


def replay(dead: DeadLetters, which: Sequence[str] | LetterFilter, total: int, rate: float | None) -> int:
    """Replay with a progress bar; returns how many were put back into the stream."""
    with words.progress("replay", total) as bar:
        return dead.replay(which, rate, bar)


def clear(dead: DeadLetters, wanted: LetterFilter, total: int) -> int:
    """Remove all that are meant, with a progress bar; returns how many."""
    with words.progress("remove", total) as bar:
        return dead.clear(wanted, bar)


def say_changed(verb: str, count: int, looked_at: int, *, as_json: bool) -> None:
    """The last line of a command that changed something."""
    if as_json:
        words.say_json({verb: count, "left_out": max(0, looked_at - count)})
        return
    if not looked_at:
        words.say(f"no dead letter matches: none is {verb}")
        return
    left = f"; {looked_at - count} left out: they hold no mail, or were gone" if looked_at > count else ""
    words.say(f"{count} {verb}{left}")

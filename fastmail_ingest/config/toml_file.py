"""Reading the file: TOML into tables, and every way in which that fails explained."""

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from fastmail_ingest.config.explain import bare, complaint
from fastmail_ingest.config.layout import keys, sections
from fastmail_ingest.config.secrecy import SECRET_KEYS
from fastmail_ingest.errors import ConfigError

EXAMPLE_COMMAND = "fastmail-ingest config example"  # the file itself is no part of an installation
LINE_SHOWN_MAX = 100
_AT = re.compile(r"(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", re.DOTALL)
_FIRST_WORD = re.compile(r"\s*\[*\s*([A-Za-z_]*)")
_MAY_BE_SECRET = re.compile(r"pass|pwd|pw\b|secret|token|credential|@|://", re.IGNORECASE)
_MULTILINE_QUOTES = ('"""', "'''")


class TomlFile(Struct, frozen=True):
    """The tables of a file, and whether every user of the machine can read it."""

    tables: dict[str, Any]
    world_readable: bool


def read(path: Path) -> TomlFile:
    """Read and parse the file; raise ConfigError if that cannot be done."""
    raw, mode = _read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")  # some editors put a byte order mark first; it harms nobody
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise complaint(
            origin_of(path),
            f"line {line}: not UTF-8 (byte 0x{raw[error.start]:02x})",
            "save the file as UTF-8, the only encoding that TOML knows",
        ) from None
    # A pipe (--config <(...)) belongs to us alone, whatever its mode says.
    return TomlFile(_parse(path, text), stat.S_ISREG(mode) and bool(mode & stat.S_IROTH))


def origin_of(path: Path) -> str:
    """The name of a file in messages: as the user gave it, made printable."""
    name = str(path)
    return name if name.isprintable() else ascii(name)


def _read_bytes(path: Path) -> tuple[bytes, int]:
    origin = origin_of(path)
    try:
        with path.open("rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        remedy = f"check the path, or: {EXAMPLE_COMMAND} > supervisor.toml, and edit that"
        raise complaint(origin, "expected a configuration file, but there is none", remedy) from None
    except IsADirectoryError:
        remedy = f"name the file in it, e.g. {origin_of(path / 'supervisor.toml')}"
        raise complaint(origin, "expected a configuration file, got a directory", remedy) from None
    except PermissionError:
        remedy = f"run as the user who owns it, or: chown USER {origin}"
        raise complaint(origin, "expected a readable file, but permission is denied", remedy) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a path"
        raise complaint(origin, f"expected a readable file, got: {reason}", "check the path") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        # With a final line break tomllib tells line and column where it would say "end of document".
        return tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from None
    except RecursionError:
        problem = "expected TOML, got brackets nested too deep"
    except ValueError:  # Python's limit for the digits of an integer
        problem = "expected TOML, got an integer with thousands of digits"
    raise complaint(origin_of(path), problem, f"compare with what is printed by: {EXAMPLE_COMMAND}")


def _syntax_error(path: Path, text: str, message: str) -> ConfigError:
    origin, found = origin_of(path), _AT.fullmatch(message)
    if found is None:
        last = len(text.splitlines())
        return complaint(
            f"{origin} line {last}", f"not TOML: {message}", "close the quote or bracket that is still open"
        )
    number = int(found["line"])
    remedy = "write key = value lines below [section] lines; strings in quotes"
    if "overwrite" in found["what"] or "twice" in found["what"]:
        remedy = "remove the line, for its key or section stands above already"
    if "Unescaped" in found["what"]:
        remedy = 'in double quotes write each backslash twice, as in "\\\\All"'
    place = f"{origin} line {number}, column {found['column']}"
    return complaint(place, f"not TOML: {found['what']}", remedy, _shown_line(text, number))


def _shown_line(text: str, number: int) -> str:
    """The wrong line, if it is known to hold no secret; `number` counts from 1."""
    lines = text.replace("\r\n", "\n").split("\n")[:number]
    line = lines[-1].strip()
    harmless = {*sections(), *(key for section in sections() for key in keys(section))} - SECRET_KEYS
    word = _FIRST_WORD.match(line)
    # Inside a string of several lines the first word may be part of a password.
    in_string = any(quotes in above for above in lines for quotes in _MULTILINE_QUOTES)
    if not line or word is None or word[1] not in harmless or in_string or _MAY_BE_SECRET.search(line):
        return "the line is not shown: it may hold a secret" if line else ""
    return f"the line: {line[:LINE_SHOWN_MAX]}" if line.isprintable() else f"the line: {bare(line)}"

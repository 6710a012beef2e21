"""Which sections and keys exist: the structs, asked."""

from functools import cache
from typing import Annotated, Any, get_args, get_origin

from msgspec import NODEFAULT, Meta
from msgspec.structs import FieldInfo, fields

from fastmail_ingest.config.schema import Config
from fastmail_ingest.config.section import Section

ACCOUNTS = "accounts"
RETRY_FOR = "retry_for"


@cache
def sections() -> dict[str, type[Section]]:
    """The struct of each section by its name, in the order of the file."""
    return {
        entry.name: get_args(entry.type)[0] if _is_list(entry) else entry.type for entry in fields(Config)
    }


@cache
def lists() -> frozenset[str]:
    """The sections that may stand in the file several times: [[accounts]] and its like."""
    return frozenset(entry.name for entry in fields(Config) if _is_list(entry))


@cache
def keys(section: str) -> dict[str, FieldInfo]:
    """The fields of a section by key, in the order of the file."""
    return {entry.name: entry for entry in fields(sections()[section])}


def header(section: str) -> str:
    """The line that opens a section."""
    return f"[[{section}]]" if section in lists() else f"[{section}]"


def label(section: str) -> str:
    """The key that tells the tables of a list apart: its first."""
    return next(iter(keys(section)))


def unwrap(hint: Any) -> tuple[Any, Meta]:
    """An annotated type's bare type and its Meta (an empty one when there is none)."""
    if get_origin(hint) is not Annotated:
        return hint, Meta()
    bare, *metas = get_args(hint)
    return bare, next((meta for meta in metas if isinstance(meta, Meta)), Meta())


def default_of(entry: FieldInfo) -> Any:
    """The default of a field that has one; None for one that is left to another section."""
    return entry.default if entry.default is not NODEFAULT else entry.default_factory()


def sample_of(entry: FieldInfo) -> Any:
    """A value that could stand in a file: the first example, else the default."""
    examples = unwrap(entry.type)[1].examples
    return examples[0] if examples else default_of(entry)


def _is_list(entry: FieldInfo) -> bool:
    return get_origin(entry.type) is list

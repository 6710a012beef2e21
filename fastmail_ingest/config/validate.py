"""From tables to a Config: first the names, then every value by its type and limits."""

from typing import Any

import msgspec

from fastmail_ingest.config.draft import NOT_REPEATED, Draft
from fastmail_ingest.config.explain import (
    bare,
    complaint,
    describe,
    literal,
    missing,
    unknown_key,
    unknown_section,
    wrong_value,
)
from fastmail_ingest.config.layout import header, keys, label, lists, sections
from fastmail_ingest.config.schema import Config
from fastmail_ingest.errors import ConfigError


def check_names(draft: Draft) -> None:
    """Raise ConfigError unless the draft holds known sections of the right shape with known keys."""
    for section, content in draft.tables.items():
        if section not in sections():
            raise unknown_section(draft.origin, section, content)
        if section in lists():
            _check_list(draft, section, content)
        elif not isinstance(content, dict):
            raise _not_a_table(draft, section, content)
        else:
            _check_keys(draft, section, content, NOT_REPEATED)


def build(draft: Draft) -> Config:
    """Convert a draft whose names were checked; raise ConfigError for the first wrong value."""
    values: dict[str, Any] = {}
    for section, struct in sections().items():
        if section in lists():
            tables = enumerate(draft.listed(section))
            values[section] = [struct(**_values(draft, section, table, index)) for index, table in tables]
        else:
            values[section] = struct(**_values(draft, section, draft.tables.get(section, {}), NOT_REPEATED))
    return Config(**values)


def _values(draft: Draft, section: str, table: dict[str, Any], index: int) -> dict[str, Any]:
    """The converted values of one table.

    Key by key and not the whole at once: msgspec's own message names no file, no remedy, and may quote.
    """
    values: dict[str, Any] = {}
    for key, entry in keys(section).items():
        place = draft.place(section, key, index)
        if key not in table:
            if entry.required:
                raise missing(place, entry)
            continue
        try:
            values[key] = msgspec.convert(table[key], entry.type)
        except msgspec.ValidationError:
            raise wrong_value(place, entry, table[key]) from None
    return values


def _check_keys(draft: Draft, section: str, table: dict[str, Any], index: int) -> None:
    for key in table:
        if key not in keys(section):
            raise unknown_key(draft.place(section, key, index), section)


def _check_list(draft: Draft, section: str, content: Any) -> None:
    if isinstance(content, dict):
        raise _single_brackets(draft, section, content)
    heading, needed = header(section), _needed(section)
    if not isinstance(content, list):
        got = describe("", content) if isinstance(content, bool | int | float) else "another value"
        remedy = f"write the line {heading}, and {needed} below it"
        raise complaint(f"{draft.origin}: {heading}", f"expected tables, got {got}", remedy)
    for index, table in enumerate(content):
        if not isinstance(table, dict):
            remedy = f"write a {heading} line for each, and {needed} below it"
            place = f"{draft.origin}: {heading} number {index + 1}"
            raise complaint(place, "expected a table, got another value", remedy)
        _check_keys(draft, section, table, index)


def _needed(section: str) -> str:
    """The keys that each table of a list must have, in words."""
    *others, last = [key for key, entry in keys(section).items() if entry.required]
    return f"{', '.join(others)} and {last}" if others else last


def _single_brackets(draft: Draft, section: str, content: dict[str, Any]) -> ConfigError:
    """`[accounts]` or `[accounts.work]`: the commonest mistake with a list of tables."""
    name = next(iter(content), "")
    if isinstance(content.get(name), dict):
        written = f"[{section}.{bare(name)}]"
        remedy = f"write {header(section)}, and below it {label(section)} = {literal(name)}"
    else:
        written = f"[{section}]"
        remedy = f"write {header(section)} with double brackets, for there can be several"
    return complaint(
        f"{draft.origin}: {header(section)}", f"expected {header(section)}, got {written}", remedy
    )


def _not_a_table(draft: Draft, section: str, content: Any) -> ConfigError:
    written = f"[[{section}]]" if isinstance(content, list) else f"{section} = ..."
    remedy = f"write the line {header(section)} with single brackets, and the keys below it"
    return complaint(draft.place(section), f"expected a section {header(section)}, got {written}", remedy)

"""What was written, before it is validated, and where each value stands."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from fastmail_ingest.config.layout import ACCOUNTS, header, label

NOT_REPEATED = -1  # the index of a section that exists once


class Place(Struct, frozen=True):
    """Where a value stands or should stand; `variable` is set when that is the environment."""

    origin: str
    heading: str = ""
    key: str = ""
    variable: str = ""

    def __str__(self) -> str:
        where = f"{self.heading} {self.key}".strip()
        return f"{self.variable or self.origin}: {where}" if where else self.variable or self.origin


class Draft(Struct):
    """The tables of the file with the environment laid over them."""

    origin: str
    base: Path
    tables: dict[str, Any]
    from_file: bool = True
    variables: dict[tuple[str, int, str], str] = {}

    @property
    def accounts(self) -> list[dict[str, Any]]:
        """The account tables."""
        return self.listed(ACCOUNTS)

    def listed(self, section: str) -> list[dict[str, Any]]:
        """The tables of a section that is a list; the list is made when there is none."""
        found: list[dict[str, Any]] = self.tables.setdefault(section, [])
        return found

    def place(self, section: str, key: str = "", index: int = NOT_REPEATED) -> Place:
        """The place of a key, naming the variable that set it if one did."""
        return Place(
            origin=self.origin,
            heading=self._heading(section, index),
            key=key,
            variable=self.variables.get((section, index, key), ""),
        )

    def _heading(self, section: str, index: int) -> str:
        if index == NOT_REPEATED:
            return header(section)
        key = label(section)
        name = self.listed(section)[index].get(key)
        named = f' ({key} "{name}")' if isinstance(name, str) and name.isprintable() else ""
        return f"{header(section)} number {index + 1}{named}"

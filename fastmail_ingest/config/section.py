"""What all sections are made of."""

from typing import Any

from msgspec import Struct

from fastmail_ingest.config.secrecy import presentable

DAY_S = 86400.0
KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB

# A line break in a password would end the command that carries it.
ONE_LINE = r"^[^\x00-\x1f\x7f]*\Z"


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: its repr shows no secret."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, presentable(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


def expects(words: str) -> dict[str, str]:
    """What to say in place of a regular expression."""
    return {"expects": words}

"""How an object with something parsed in it is copied and pickled."""

from typing import Any, Self


class Kept:
    """By its slots and attributes: a copy shares what was parsed (`_parsed`), a pickle leaves it behind.

    What a parser written in Rust has made cannot be pickled; it is made anew when it is asked for.
    """

    __slots__ = ()

    def __getstate__(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """For pickle and deepcopy."""
        attributes, slots = self._state()
        return attributes or None, slots | {"_parsed": None}

    def __copy__(self) -> Self:
        made = object.__new__(type(self))
        for part in self._state():
            for name, value in part.items():
                setattr(made, name, value)
        return made

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        names = {name for each in type(self).__mro__ for name in getattr(each, "__slots__", ())}
        slots = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return dict(getattr(self, "__dict__", {})), slots

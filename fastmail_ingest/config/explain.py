"""Words for what is wrong: place, problem and remedy, in one to four lines, without secrets."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from fastmail_ingest.config.draft import Place
from fastmail_ingest.config.layout import default_of, header, keys, sample_of, sections, unwrap
from fastmail_ingest.config.secrecy import SECRET_KEYS, presentable
from fastmail_ingest.errors import ConfigError

SHOWN_MAX = 60  # characters of a wrong value
_KINDS = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list"}
_INT64_BITS = 64


def complaint(place: Place | str, problem: str, remedy: str, note: str = "") -> ConfigError:
    """The error to raise; `note` is a line between the problem and the remedy."""
    lines = [f"{place}: {problem}", note, f"remedy: {remedy}"]
    return ConfigError("\n".join(line for line in lines if line))


def wrong_value(place: Place, entry: FieldInfo, value: object) -> ConfigError:
    """A value of the wrong type or outside of its limits."""
    got = describe(entry.name, _first_wrong(entry.type, value))
    if isinstance(value, list) and get_origin(unwrap(entry.type)[0]) is list and value:
        got = f"a list with {got}"
    near = _meant(entry, value)
    meant = f"; did you mean {literal(near)}?" if near else ""
    problem = f"expected {expectation(entry.type)}, got {got}{meant}"
    return complaint(place, problem, rewrite(place, entry, near))


def _meant(entry: FieldInfo, value: object) -> str:
    """The choice that a wrong word was probably meant to be, or an empty string."""
    bare_type, _ = unwrap(entry.type)
    if get_origin(bare_type) is not Literal or not isinstance(value, str):
        return ""
    return nearest(value, [choice for choice in get_args(bare_type) if isinstance(choice, str)])


def missing(place: Place, entry: FieldInfo) -> ConfigError:
    """A required key that is not there."""
    return complaint(place, f"missing; expected {expectation(entry.type)}", rewrite(place, entry))


def rewrite(place: Place, entry: FieldInfo, meant: str = "") -> str:
    """The remedy for a single value: what to write instead; `meant` if that is known."""
    sample = meant or sample_of(entry)
    if place.variable:
        text = ",".join(sample) if isinstance(sample, list) else str(sample)
        text = text.lower() if isinstance(sample, bool) else text
        return f"set {place.variable}={text}" + ("" if entry.required else ", or unset it")
    advice = f"write {entry.name} = {literal(sample)}"
    if entry.required:
        return advice
    default = default_of(entry)
    told = "" if default in ("", None) else f" for the default ({literal(default)})"
    return f"{advice}, or remove the line{told}"


def unknown_section(origin: str, name: str, value: object) -> ConfigError:
    """A name at the top level that is no section."""
    known = ", ".join(header(section) for section in sections())
    if not isinstance(value, dict | list):
        homes = [section for section in sections() if name in keys(section)]
        remedy = f"move it below {header(homes[0])}" if homes else "move it below its section, or remove it"
        problem = f"{bare(name)}: a key outside of any section"
        return complaint(origin, problem, remedy, f"known sections: {known}")
    near = nearest(name, list(sections()))
    problem = f"[{bare(name)}]: unknown section" + (f"; did you mean {header(near)}?" if near else "")
    remedy = f"rename it to {header(near)}, or remove it" if near else "remove it, or write a known one"
    return complaint(origin, problem, remedy, f"known sections: {known}")


def unknown_key(place: Place, section: str) -> ConfigError:
    """A key that its section does not have; its value is not shown, it may be a secret."""
    near = nearest(place.key, list(keys(section)))
    homes = [other for other in sections() if place.key in keys(other)]
    problem = "unknown key" + (f"; did you mean {near}?" if near else "")
    remedy = f"rename it to {near}, or remove the line" if near else "remove the line"
    if homes and not near:
        remedy = f"move it below {header(homes[0])}, or remove the line"
    shown = msgspec.structs.replace(place, key=bare(place.key))
    return complaint(shown, problem, remedy, f"known keys of {header(section)}: {', '.join(keys(section))}")


def nearest(name: str, known: list[str]) -> str:
    """The known name that `name` was probably meant to be, or an empty string."""
    # Imported where something is wrong already: a good configuration need not pay for it.
    import difflib  # noqa: PLC0415

    return next(iter(difflib.get_close_matches(name[:SHOWN_MAX].lower(), known, n=1)), "")


def expectation(hint: Any) -> str:
    """An annotated type in words, with its limits."""
    bare_type, meta = unwrap(hint)
    if meta.extra and "expects" in meta.extra:
        return str(meta.extra["expects"])
    if get_origin(bare_type) is Literal:
        return _either([literal(choice) for choice in get_args(bare_type)])
    if get_origin(bare_type) in (Union, UnionType):
        # No file can hold None: it is what stands for a key that is not written.
        return _either([expectation(choice) for choice in get_args(bare_type) if choice is not NoneType])
    if bare_type is bool:
        return "true or false"
    kind = "a non-empty string" if meta.min_length else _KINDS[bare_type]
    return kind + limits(meta)


def describe(key: str, value: object) -> str:
    """A wrong value as it may be shown: short, printable, and no secret."""
    kind = _KINDS.get(type(value), "a table" if isinstance(value, dict) else "a date or time")
    if key in SECRET_KEYS:
        return f"{kind} (not shown)"
    if isinstance(value, str):
        shown = str(presentable(key, value))
        return literal(shown if len(shown) <= SHOWN_MAX else shown[:SHOWN_MAX] + "...")
    if isinstance(value, list) and not value:
        return "an empty list"
    if isinstance(value, int) and value.bit_length() > _INT64_BITS:
        return "a very large integer"  # Python refuses to print integers of thousands of digits
    return literal(value) if isinstance(value, bool | int | float) else kind


def literal(value: object) -> str:
    """A value as TOML writes it: a boolean, number, string, or list of those."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return repr(value)


def bare(name: str) -> str:
    """A key as it would stand in a file: quoted if it has to be, and not too long."""
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    shown = name if len(name) <= SHOWN_MAX else name[:SHOWN_MAX] + "..."
    return shown if plain else literal(shown)


def limits(meta: Meta) -> str:
    """The limits of a number in words, with a space in front; empty when there are none."""
    if meta.ge is not None and meta.le is not None:
        return f" between {meta.ge:g} and {_plain(meta.le)}"
    if meta.gt is not None and meta.le is not None:
        return f" above {meta.gt:g} and up to {_plain(meta.le)}"
    return ""


def _first_wrong(hint: Any, value: object) -> object:
    """The item that makes a list wrong, or the value itself if it is no list or has no items."""
    if not isinstance(value, list) or get_origin(unwrap(hint)[0]) is not list:
        return value
    for item in value:
        try:
            msgspec.convert(item, get_args(unwrap(hint)[0])[0])
        except msgspec.ValidationError:
            return item
    return value


def _plain(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


def _either(choices: list[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last

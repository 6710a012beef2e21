"""Writes docs/CONFIGURATION.md from the structs of the configuration; with --check it only compares them."""

import inspect
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from msgspec.structs import FieldInfo

from fastmail_ingest.config.example import EXAMPLE_FILE
from fastmail_ingest.config.explain import limits, literal
from fastmail_ingest.config.layout import (
    RETRY_FOR,
    default_of,
    header,
    keys,
    lists,
    sample_of,
    sections,
    unwrap,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "CONFIGURATION.md"
HEAD = f"""\
# Configuration

Made by `python scripts/config_reference.py` from the structs in `fastmail_ingest/config/`. The same as a file
to begin with: `{EXAMPLE_FILE}`, or

```sh
fastmail-ingest config example
```

* The file is `supervisor.toml` in the working directory, or `--config FILE`. Relative paths start at the
  directory of that file. Unknown keys, wrong types and impossible combinations are refused, with the
  place and a remedy.
* The environment goes over the file: `FASTMAIL_INGEST__SECTION__KEY`, for an account
  `FASTMAIL_INGEST__ACCOUNTS__<NAME>__KEY`; lists with commas.
* SIGHUP reads it anew and replaces the processes one by one; what needs a restart is named in the log then.
* A section in double brackets may stand there several times.
"""
_WORDS = {int: "integer", float: "number", str: "text", bool: "true or false"}


def render() -> str:
    """The whole document."""
    return "\n".join([HEAD, *(section(name) for name in sections())])


def section(name: str) -> str:
    """One section and its table."""
    about = " ".join(inspect.cleandoc(sections()[name].__doc__ or "").split())
    rows = [row(name, entry) for entry in keys(name).values()]
    return "\n".join(
        [
            f"## {header(name)}",
            "",
            about,
            "",
            "| key | type | default | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def row(name: str, entry: FieldInfo) -> str:
    """One key."""
    bare, meta = unwrap(entry.type)
    metas = [meta, *(unwrap(choice)[1] for choice in get_args(bare))]
    allowed = "".join(map(limits, metas)).strip()
    about = f"{(meta.description or '').rstrip('.')}{f' ({allowed})' if allowed else ''}."
    environment = "" if name in lists() else f" `FASTMAIL_INGEST__{name.upper()}__{entry.name.upper()}`"
    return f"| `{entry.name}` | {kind(bare)} | {default(name, entry)} | {_cell(about)}{environment} |"


def kind(hint: Any) -> str:
    """The type of a key in words."""
    bare, _ = unwrap(hint)
    if get_origin(bare) is list:
        return f"list of {kind(get_args(bare)[0])}"
    if get_origin(bare) is Literal:
        return " or ".join(f"`{literal(value)}`" for value in get_args(bare))
    if get_origin(bare) in (Union, UnionType):
        kinds = dict.fromkeys(kind(each) for each in get_args(bare) if each is not type(None))
        return " or ".join(kinds)
    return _WORDS.get(bare, "text")


def default(name: str, entry: FieldInfo) -> str:
    """What holds if the key is left out, as one writes it in TOML."""
    if entry.required:
        return f"needed, as in `{literal(sample_of(entry))}`"
    value = default_of(entry)
    return "as in `[retry]`" if value is None and name == RETRY_FOR else _code(value)


def _code(value: object) -> str:
    return "" if value is None else f"`{_cell(literal(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Returns the exit code."""
    made = render()
    if "--check" in sys.argv:
        if made != DOCUMENT.read_text():
            sys.stderr.write(
                f"{DOCUMENT} is not as the structs. remedy: python scripts/config_reference.py\n"
            )
            return 1
        return 0
    DOCUMENT.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

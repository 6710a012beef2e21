"""Whatever stands in file and environment: a Config or a ConfigError, and no secret in its message."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fastmail_ingest.config import load
from fastmail_ingest.config.explain import literal
from fastmail_ingest.config.layout import keys, lists, sections
from fastmail_ingest.errors import ConfigError

SECRET = "hunter2-never-shown"

SECTION_NAMES = list(sections())
KEY_NAMES = sorted({key for section in SECTION_NAMES for key in keys(section)})

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=20)
names = st.sampled_from(SECTION_NAMES) | texts
scalars = texts | st.integers() | st.floats() | st.booleans() | st.dates()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEY_NAMES) | texts, inner),
    max_leaves=10,
)
tables = st.dictionaries(st.sampled_from(KEY_NAMES) | texts, values, max_size=5)
documents = st.dictionaries(names, tables | st.lists(tables, max_size=3) | values, max_size=4)
plausible = st.fixed_dictionaries(
    {},
    optional={
        section: st.lists(table, max_size=2) if section in lists() else table
        for section in SECTION_NAMES
        for table in [st.dictionaries(st.sampled_from(sorted(keys(section))), scalars)]
    },
)


def toml(value: Any) -> str:
    """`value` as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return literal(value) if isinstance(value, str | bool | int | float) else str(value)


def document(content: dict[str, Any]) -> str:
    return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in content.items())


def refusal(raw: bytes, environ: dict[str, str]) -> str:
    """The message of the ConfigError for a file with these bytes, or an empty string."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "supervisor.toml")
        path.write_bytes(raw)
        path.chmod(0o600)
        try:
            load(path, environ)
        except ConfigError as error:
            return str(error)
        return ""


def check_form(message: str) -> None:
    assert not message or "\nremedy: " in message


@given(documents | plausible)
@example({"accounts": [{"name": 5}], "redis": {"url": "redis://[::1"}})
def test_any_tables(content: dict[str, Any]) -> None:
    check_form(refusal(document(content).encode(), {}))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes(raw: bytes) -> None:
    check_form(refusal(raw, {}))


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(SECTION_NAMES).map(str.upper) | texts,
            st.sampled_from(["WORK__", "NEW__", "", "__"]),
            st.sampled_from(KEY_NAMES).map(str.upper) | texts,
        ).map(lambda parts: f"FASTMAIL_INGEST__{parts[0]}__{parts[1]}{parts[2]}"),
        st.text(max_size=20) | st.integers().map(str),
        max_size=5,
    )
)
def test_any_environment(environ: dict[str, str]) -> None:
    raw = b'[[accounts]]\nname = "work"\nhost = "h"\nuser = "u"\npassword = "p"'
    check_form(refusal(raw, environ))


@given(st.text(max_size=60), st.integers(min_value=0))
def test_no_syntax_error_shows_a_password(noise: str, position: int) -> None:
    line = f'password = "{SECRET}"'
    cut = position % (len(line) + 1)
    # Only the noise is damage: the secret itself stays whole, so that it would be found.
    if cut > line.index(SECRET) and cut < line.index(SECRET) + len(SECRET):
        cut = len(line)
    text = f"[[accounts]]\n{line[:cut]}{noise}{line[cut:]}\n"
    assert SECRET not in refusal(text.encode("utf-8", "replace"), {})

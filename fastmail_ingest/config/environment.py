"""Overrides from the environment: FASTMAIL_INGEST__SECTION__KEY=value."""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from fastmail_ingest.config.draft import NOT_REPEATED, Draft, Place
from fastmail_ingest.config.explain import bare, complaint, nearest
from fastmail_ingest.config.layout import ACCOUNTS, header, keys, lists, sections, unwrap
from fastmail_ingest.errors import ConfigError

PREFIX = "FASTMAIL_INGEST__"
_GAP = "__"
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLEANS |= {"false": False, "no": False, "off": False, "0": False}


def overlay(draft: Draft, environ: Mapping[str, str]) -> None:
    """Put what the environment says over the tables of `draft`; raise ConfigError for unknown names."""
    by_account: dict[str, dict[str, str]] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        _check_text(variable, environ[variable])
        section, _, rest = variable.removeprefix(PREFIX).partition(_GAP)
        if section == ACCOUNTS.upper():
            # From the right: an account's name may hold two underscores, a key does not.
            token, _, key = rest.rpartition(_GAP)
            if not token:
                note = f"accounts are set by {account_variable('NAME', 'key')}"
                raise _unknown(variable, "name", "", note)
            by_account.setdefault(token, {})[key] = environ[variable]
        else:
            _set_plain(draft, variable, environ[variable])
    for token, values in by_account.items():
        _set_account(draft, token, values)


def account_token(name: object) -> str:
    """How an account's name is written in a variable's name."""
    return str(name).upper().replace("-", "_")


def account_variable(token: str, key: str) -> str:
    """The variable that sets a key of an account."""
    return f"{PREFIX}{ACCOUNTS.upper()}{_GAP}{token}{_GAP}{key.upper()}"


def parse(text: str, hint: Any) -> Any:
    """`text` as a value of the annotated type; text that does not fit is returned as it is."""
    bare_type, _ = unwrap(hint)
    if bare_type is bool:
        return _BOOLEANS.get(text.lower(), text)
    if get_origin(bare_type) is list:
        return [item.strip() for item in text.split(",")] if text.strip() else []
    for number in (int, float):
        if number is bare_type or number in [unwrap(choice)[0] for choice in get_args(bare_type)]:
            return _number(text, number)
    return text


def _check_text(variable: str, text: str) -> None:
    """Refuse bytes that are no UTF-8, which Python hands on as lone surrogates."""
    try:
        (variable + text).encode()
    except UnicodeEncodeError:
        place = variable if variable.isprintable() else ascii(variable)
        raise complaint(place, "expected UTF-8 text, got other bytes", "set it again as UTF-8") from None


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text  # the validation says what was expected instead


def _set_plain(draft: Draft, variable: str, text: str) -> None:
    section_token, _, key_token = variable.removeprefix(PREFIX).partition(_GAP)
    section, key = section_token.lower(), key_token.lower()
    if section in lists():
        problem = f"{header(section)} cannot be set in the environment"
        raise complaint(variable, problem, "unset the variable, and write the block into the file")
    if section_token != section.upper() or section not in sections():
        settable = [name for name in sections() if name == ACCOUNTS or name not in lists()]
        near = nearest(section, settable)
        known = ", ".join(name.upper() for name in settable)
        raise _unknown(variable, f"section {bare(section_token)}", near.upper(), f"known sections: {known}")
    if key_token != key.upper() or key not in keys(section):
        raise _unknown_key(variable, section, key_token)
    draft.tables.setdefault(section, {})[key] = parse(text, keys(section)[key].type)
    draft.variables[section, NOT_REPEATED, key] = variable


def _set_account(draft: Draft, token: str, values: dict[str, str]) -> None:
    index = _account_index(draft, token, values)
    for key_token, text in values.items():
        key, variable = key_token.lower(), account_variable(token, key_token)
        if key_token != key.upper() or key not in keys(ACCOUNTS):
            raise _unknown_key(variable, ACCOUNTS, key_token)
        if key == "name" and account_token(text) != token:
            place = Place(origin=draft.origin, variable=variable)
            remedy = f"unset it, or give all variables of the account the name {bare(account_token(text))}"
            raise complaint(place, f"expected a name that is written {token}, got another", remedy)
        draft.accounts[index][key] = parse(text, keys(ACCOUNTS)[key].type)
        draft.variables[ACCOUNTS, index, key] = variable


def _account_index(draft: Draft, token: str, values: dict[str, str]) -> int:
    """Which account the variables are about; they make a new one if they say its host."""
    named = [number for number, table in enumerate(draft.accounts) if _token_of(table) == token]
    variable = account_variable(token, next(iter(values)))
    if len(named) > 1:
        remedy = "rename the newer account, or set the values in the file"
        raise complaint(variable, f"expected one account which it can mean, got {len(named)}", remedy)
    if named:
        return named[0]
    if "HOST" not in values:
        tokens = [_token_of(table) for table in draft.accounts]
        near = nearest(token, [name.lower() for name in tokens]).upper()
        note = f"a new account needs {account_variable(token, 'host')}"
        raise _unknown(variable, f"account {bare(token)}", near, note)
    draft.accounts.append({"name": token.lower()})
    index = len(draft.accounts) - 1
    for key in keys(ACCOUNTS):  # so that what is missing is asked for in the environment, too
        draft.variables[ACCOUNTS, index, key] = account_variable(token, key)
    return index


def _token_of(table: dict[str, Any]) -> str:
    return account_token(table.get("name", ""))


def _unknown_key(variable: str, section: str, key_token: str) -> ConfigError:
    near = nearest(key_token, list(keys(section)))
    known = f"known keys of {header(section)}: {', '.join(key.upper() for key in keys(section))}"
    return _unknown(variable, f"key {bare(key_token)}", near.upper(), known)


def _unknown(variable: str, what: str, near: str, note: str) -> ConfigError:
    shown = variable if variable.isprintable() else ascii(variable)
    hint = f"; did you mean {near}?" if near else ""
    return complaint(shown, f"unknown {what}{hint}", "rename the variable, or unset it", note)

"""Options that several verbs have, and the questions that they ask."""

import math
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

DEFAULT_CONFIG = "supervisor.toml"
REASONS = ("rejected", "retries_exhausted", "killed_worker", "hung", "undecodable", "too_large")

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(s|m|h|d|w)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")

Verb = Callable[..., Any]


class NumberRange(click.FloatRange):
    """A number in a range. NaN is neither below nor above, so click lets it through: it is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails as click's own types do."""
        found = super().convert(value, param, ctx)
        return self.fail(f"{value!r} is no number", param, ctx) if math.isnan(found) else found


def duration(word: str) -> float:
    """Seconds, from words like 90s, 15m, 2h, 3d, 1w."""
    found = _DURATION.fullmatch(word)
    if found is None:
        raise click.BadParameter(f"{word!r} is no duration. remedy: a number with s, m, h, d or w, as in 15m")
    return float(found[1]) * _UNITS_S[found[2]]


def month(word: str) -> str:
    """The month as yyyymm, from YYYY-MM."""
    found = _MONTH.fullmatch(word)
    if found is None or found[1] == "0000":
        raise click.BadParameter(f"{word!r} is no month. remedy: YYYY-MM, as in 2026-03")
    return found[1] + found[2]


config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
    help=f"Configuration file [default: {DEFAULT_CONFIG} if it is there, else the environment only].",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")

_FILTERS = {
    "reason": click.option("--reason", type=click.Choice(REASONS), help="Why they died."),
    "account": click.option("--account", metavar="NAME", help="Of this account."),
    "mailbox": click.option("--mailbox", metavar="NAME", help="Fetched from this mailbox."),
    "error": click.option("--error", metavar="CLASS", help="The class of the exception, as in ValueError."),
    "newer_than_s": click.option(
        "--since", "newer_than_s", type=duration, metavar="DURATION", help="Died within the last 30m, 2h, 3d."
    ),
    "older_than_s": click.option(
        "--older", "older_than_s", type=duration, metavar="DURATION", help="Died longer ago than that."
    ),
}  # fmt: skip


def filter_options(verb: Verb) -> Verb:
    """Options that say which dead letters are meant; the verb gets those that were given as `wanted`."""

    @wraps(verb)
    def gathered(**values: Any) -> Any:
        given = {name: values.pop(name) for name in _FILTERS}
        wanted = {name: value for name, value in given.items() if value is not None}
        return verb(wanted=wanted, **values)

    for option in reversed(_FILTERS.values()):
        gathered = option(gathered)
    return gathered


def chosen(config_path: Path | None) -> Path | None:
    """The configuration file that is meant: the one that was named, else the usual one if it is there."""
    if config_path is None and Path(DEFAULT_CONFIG).exists():
        return Path(DEFAULT_CONFIG)
    return config_path


def ask(question: str, *, yes: bool) -> None:
    """Go on only if the operator agrees; asked on stderr, so that stdout stays clean."""
    if not yes:
        click.confirm(question, abort=True, err=True)

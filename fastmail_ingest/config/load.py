"""Loading: file, environment, names, values, secrets, combinations - in this order."""

from collections.abc import Mapping
from pathlib import Path

from fastmail_ingest.config.check import check
from fastmail_ingest.config.draft import Draft
from fastmail_ingest.config.environment import overlay
from fastmail_ingest.config.explain import complaint
from fastmail_ingest.config.schema import Config
from fastmail_ingest.config.secret import refuse_exposed, resolve
from fastmail_ingest.config.toml_file import origin_of, read
from fastmail_ingest.config.validate import build, check_names

NO_FILE = "environment"


def load(path: Path | None, environ: Mapping[str, str], *, require_accounts: bool = True) -> Config:
    """The validated configuration: defaults, under the file at `path` if any, under `environ`.

    Paths in it are absolute and `password` fields hold the secrets from files, too. Raises ConfigError
    with place, expectation and remedy. `require_accounts=False` is for commands that fetch no mail.
    """
    draft = _draft(path)
    overlay(draft, environ)
    config = resolve(build(draft), draft)
    check(config, draft, require_accounts=require_accounts)
    return config


def _draft(path: Path | None) -> Draft:
    if path is None:
        return Draft(origin=NO_FILE, base=_directory(Path()), tables={}, from_file=False)
    file = read(path)
    draft = Draft(origin=origin_of(path), base=_directory(path.parent), tables=file.tables)
    check_names(draft)
    if file.world_readable:
        refuse_exposed(draft)
    return draft


def _directory(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:
        problem = "expected a working directory, but it was removed"
        raise complaint(NO_FILE, problem, "start from a directory that exists") from None

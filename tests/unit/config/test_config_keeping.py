"""The sections of the handlers that keep mails: paths, and the one password among them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastmail_ingest.config import load
from fastmail_ingest.errors import ConfigError

WriteConfig = Callable[[str], Path]
URL = 'url = "postgresql://mail@db/mail"\n'


def test_paths_start_at_the_configuration_file(write: WriteConfig, account: str, tmp_path: Path) -> None:
    text = (
        '[jsonl]\ndirectory = "lines"\n[maildir]\ndirectory = "/var/mail/all"\n[sqlite]\npath = "kept/m.db"\n'
    )
    config = load(write(account + text), {})
    assert config.jsonl.directory == str(tmp_path / "lines")
    assert config.maildir.directory == "/var/mail/all"
    assert config.sqlite.path == str(tmp_path / "kept" / "m.db")


def test_the_password_stands_in_a_file_or_in_the_environment(
    write: WriteConfig, account: str, secret: str
) -> None:
    in_file = load(write(account + "[postgres]\n" + URL + 'password_file = "work.password"\n'), {})
    variable = {"FASTMAIL_INGEST__POSTGRES__PASSWORD": secret}
    in_environment = load(write(account + "[postgres]\n" + URL), variable)
    for config in (in_file, in_environment):
        assert config.postgres.password == secret
        assert secret not in repr(config)


@pytest.mark.parametrize(
    "text",
    [
        'url = "postgresql://mail:{secret}@db/mail"\npassword_file = "work.password"',
        'url = "postgresql://mail@db/mail?password={secret}"\npassword = "x"',
        'password = "{secret}"\npassword_file = "work.password"',
    ],
)
def test_two_passwords_are_refused(text: str, write: WriteConfig, account: str, secret: str) -> None:
    with pytest.raises(ConfigError, match=r"\[postgres\] password.*expected one password, got two") as caught:
        load(write(account + "[postgres]\n" + text.format(secret=secret)), {})
    assert secret not in str(caught.value)


@pytest.mark.parametrize("line", ['password = "{secret}"', 'url = "postgresql://mail:{secret}@db/mail"'])
def test_a_password_that_every_user_can_read_is_refused(
    line: str, write: WriteConfig, account: str, secret: str
) -> None:
    path = write(account + "[postgres]\n" + line.format(secret=secret))
    load(path, {})
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"\[postgres\].*every user can read") as caught:
        load(path, {})
    assert secret not in str(caught.value)


@pytest.mark.parametrize("table", ["", "a b", 'x"; DROP TABLE y', "a.b.c", "1a", "x" * 51, "mails\n"])
def test_a_table_is_a_plain_name(table: str, write: WriteConfig, account: str) -> None:
    with pytest.raises(ConfigError, match=r"\[postgres\] table: expected a table's name"):
        load(write(account), {"FASTMAIL_INGEST__POSTGRES__TABLE": table})


def test_an_address_of_something_else_is_refused_and_not_shown(
    write: WriteConfig, account: str, secret: str
) -> None:
    with pytest.raises(ConfigError, match=r"\[postgres\] url: expected a postgresql:// URL") as caught:
        load(write(account + f'[postgres]\nurl = "mysql://mail:{secret}@db/mail"'), {})
    assert secret not in str(caught.value)

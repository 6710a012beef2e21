"""Whose snapshot a file is, and how Redis' own client is called."""

from pathlib import Path

import pytest

from fastmail_ingest.stream.network_copy import client_words
from fastmail_ingest.stream.snapshot import database_of, opened


def test_a_file_that_was_not_written_anew_is_another_servers(tmp_path: Path) -> None:
    place = tmp_path / "dump.rdb"
    assert opened(place, None) is None
    place.write_bytes(b"old")
    before = place.stat()
    assert opened(place, before) is None
    (tmp_path / "temp.rdb").write_bytes(b"new")
    (tmp_path / "temp.rdb").rename(place)
    file = opened(place, before)
    assert file is not None
    # What is saved later is another file.
    (tmp_path / "temp.rdb").write_bytes(b"later")
    (tmp_path / "temp.rdb").rename(place)
    with file:
        assert file.read() == b"new"


@pytest.mark.parametrize(
    ("url", "password", "words", "secret"),
    [
        ("redis://h:7/3", "", ["-h", "h", "-p", "7"], ""),
        ("redis://h", "p", ["-h", "h", "-p", "6379"], "p"),
        ("redis://u:q@h", "", ["-h", "h", "-p", "6379", "--user", "u"], "q"),
        ("redis://:q@h", "p", ["-h", "h", "-p", "6379"], "p"),
        ("unix://u@/run/r.sock?db=2", "p", ["-s", "/run/r.sock", "--user", "u"], "p"),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none", "",
            ["-h", "h", "-p", "6379", "--tls", "--cacert", "/ca.pem", "--insecure"], "",
        ),
    ],
)  # fmt: skip
def test_the_password_is_in_no_argument(url, password, words, secret) -> None:
    assert client_words(url, password) == (words, secret)


@pytest.mark.parametrize(
    ("url", "number"), [("", 0), ("redis://h", 0), ("redis://h/3", 3), ("unix:///s?db=2", 2)]
)
def test_the_number_of_the_database(url, number) -> None:
    assert database_of(url) == number

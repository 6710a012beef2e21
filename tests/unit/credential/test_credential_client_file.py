"""The client file that will not do: what it is instead, and what to write."""

import json
from pathlib import Path

import pytest
import requests

from fastmail_ingest.credential.client_file import read_client
from fastmail_ingest.credential.transport import unanswered
from fastmail_ingest.errors import ConfigError


def test_the_key_of_a_service_account_is_no_client(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"type": "service_account", "client_email": "robot@p.example"}))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is the key of a service account") as told:
        read_client(str(path))
    assert "remedy: write service_account_file instead of oauth_client_file" in str(told.value)


def test_a_client_file_that_is_not_there_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*remedy: .*OAUTH2_SETUP\.md"):
        read_client(str(tmp_path / "none.json"))


def test_an_endpoint_that_cannot_be_reached_has_a_remedy() -> None:
    words = unanswered(requests.ConnectionError("Name or service not known"))
    assert "does not answer: Name or service not known. remedy: check network, proxy and DNS" in words

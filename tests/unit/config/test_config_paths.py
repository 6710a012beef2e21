"""One rule for all paths: relative ones start at the configuration file, wherever we are started."""

from pathlib import Path

import pytest

from fastmail_ingest.config import load
from fastmail_ingest.config.layout import keys, lists, sections

PATHS = [
    (section, key)
    for section in sections()
    if section not in lists()
    for key in keys(section)
    if key in {"directory", "data_dir", "path"} or key == "tls_ca_file"
]


def test_there_are_paths_of_handlers_and_of_others() -> None:
    assert {("jsonl", "directory"), ("sqlite", "path"), ("blobs", "directory"), ("redis", "data_dir")} < set(
        PATHS
    )


@pytest.mark.parametrize(("section", "key"), PATHS, ids=[f"{section}.{key}" for section, key in PATHS])
def test_a_relative_path_starts_at_the_file(
    section: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "supervisor.toml").write_text(f'[{section}]\n{key} = "down/here"\n')
    monkeypatch.chdir(elsewhere)
    for path in (home / "supervisor.toml", Path("../home/supervisor.toml")):
        config = load(path, {}, require_accounts=False)
        found = Path(getattr(getattr(config, section), key))
        assert found.is_absolute()
        assert found.resolve() == home / "down/here"
    variable = f"FASTMAIL_INGEST__{section.upper()}__{key.upper()}"
    config = load(None, {variable: "down/here"}, require_accounts=False)
    assert getattr(getattr(config, section), key) == str(elsewhere / "down/here")

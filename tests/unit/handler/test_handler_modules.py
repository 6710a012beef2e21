"""A reload reads all of the user's modules again, not only the handler's; if that fails, none."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastmail_ingest.handler.modules import imported_anew, own_modules

TARGET = "fmi_shop.mails:handle"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """fmi_shop.mails takes a word from its neighbour, a module beside the package, and a bare folder."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file may change within its clock's second
    (tmp_path / "fmi_shop").mkdir()
    (tmp_path / "fmi_bare").mkdir()
    (tmp_path / "fmi_shop/__init__.py").touch()
    (tmp_path / "fmi_shop/mails.py").write_text(
        "import fmi_beside\nfrom fmi_bare import deep\nfrom fmi_shop import words\n\n"
        "def said():\n    return words.WORD, fmi_beside.WORD, deep.WORD\n"
    )
    write(tmp_path, "one")
    yield tmp_path
    for name in own_modules([TARGET], [tmp_path]):
        del sys.modules[name]


def write(directory: Path, word: str) -> None:
    for file in ("fmi_shop/words.py", "fmi_beside.py", "fmi_bare/deep.py"):
        (directory / file).write_text(f"WORD = {word!r}\n")


def said() -> object:
    return importlib.import_module("fmi_shop.mails").said()


def test_every_module_of_the_user_is_read_again(shop: Path) -> None:
    assert said() == ("one", "one", "one")
    write(shop, "two")
    with imported_anew([TARGET], [shop]):
        assert said() == ("two", "two", "two")
    assert said() == ("two", "two", "two")


def test_if_one_is_broken_all_stay_as_they_were(shop: Path) -> None:
    said()
    before = own_modules([TARGET], [shop])
    write(shop, "two")
    (shop / "fmi_bare/deep.py").write_text("def broken(:\n")
    with pytest.raises(SyntaxError), imported_anew([TARGET], [shop]):
        said()
    assert own_modules([TARGET], [shop]) == before
    assert said() == ("one", "one", "one")


def test_a_module_that_came_in_with_a_failed_try_is_gone_again(shop: Path) -> None:
    said()
    (shop / "fmi_new.py").write_text("WORD = 'half'\n")
    (shop / "fmi_shop/mails.py").write_text("import fmi_new\nraise RuntimeError('no')\n")
    with pytest.raises(RuntimeError), imported_anew([TARGET], [shop]):
        said()
    assert "fmi_new" not in sys.modules


def test_a_package_elsewhere_is_read_again_if_a_handler_is_in_it(shop: Path) -> None:
    said()
    names = set(own_modules([TARGET], []))
    assert names == {"fmi_shop", "fmi_shop.mails", "fmi_shop.words"}


def test_what_is_installed_and_what_is_ours_stays(tmp_path: Path) -> None:
    root = Path(sys.prefix).parent
    found = own_modules(["fastmail_ingest.handler.builtin:log"], [root, Path("/")])
    assert "msgspec" in sys.modules
    assert not {"msgspec", "json", "pytest", "fastmail_ingest.errors", "__main__"} & set(found)
    assert found["fastmail_ingest.handler.builtin"] is sys.modules["fastmail_ingest.handler.builtin"]

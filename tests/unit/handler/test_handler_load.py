"""A handler that cannot be used is refused with the reason and the remedy, before anything starts."""

from pathlib import Path

import pytest

from fastmail_ingest.errors import EXIT_USAGE, HandlerLoadError
from fastmail_ingest.handler.load import load_one

GOOD = {
    "def handle(email): ...": (False, False),
    "async def handle(email): ...": (True, False),
    "from fastmail_ingest import batch_handler\n@batch_handler\ndef handle(emails): ...": (False, True),
    "from fastmail_ingest import batch_handler\n@batch_handler\nasync def handle(emails): ...": (True, True),
    "class Handler:\n    async def __call__(self, email): ...\nhandle = Handler()": (True, False),
    "import functools\ndef f(a, email): ...\nhandle = functools.partial(f, 1)": (False, False),
    "handle = lambda email: None": (False, False),
}
BAD = {
    "def other(email): ...": "there is no 'handle' in it. remedy: name one of its functions: other",
    "def handle(): ...": "cannot be called with one mail",
    "def handle(a, b): ...": "cannot be called with one mail",
    "handle = 5": "is no function but int",
    "class handle:\n    def __init__(self, email): ...": "is a class",
    "import no_such_module_anywhere": "imports 'no_such_module_anywhere', which is not installed",
    "def handle(email:": "SyntaxError",
    "raise RuntimeError('boom')": "RuntimeError: boom",
    "import sys; sys.exit(3)": "SystemExit",
}


@pytest.fixture
def module(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str) -> str:
        name = f"handler_{abs(hash(source))}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


@pytest.mark.parametrize("source", GOOD)
def test_forms(module, tmp_path: Path, source: str) -> None:
    handler = load_one(f"{module(source)}:handle", [tmp_path])
    assert (handler.is_async, handler.is_batch) == GOOD[source]


@pytest.mark.parametrize("source", BAD)
def test_refusals(module, tmp_path: Path, source: str) -> None:
    with pytest.raises(HandlerLoadError) as refusal:
        load_one(f"{module(source)}:handle", [tmp_path])
    assert BAD[source] in str(refusal.value)
    assert refusal.value.exit_code == EXIT_USAGE


def test_no_such_module_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(HandlerLoadError, match=f"looked in {tmp_path}"):
        load_one("no_such_module_here:handle", [tmp_path])

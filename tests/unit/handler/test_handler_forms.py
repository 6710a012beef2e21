"""How a handler wants to be called is seen through what is wrapped around it."""

from pathlib import Path
from textwrap import dedent

import pytest

from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.handler.load import Handler, load_one

SOURCE = """
    import functools
    from fastmail_ingest import batch_handler

    async def work(extra, email): ...
    partial = functools.partial(work, 1)

    class Desk:
        async def method(self, email): ...

        @classmethod
        async def of_class(cls, email): ...

        @staticmethod
        def static(email): ...

        @batch_handler
        def many(self, emails): ...

        def __call__(self, email): ...

    class ManyDesk:
        @batch_handler
        def __call__(self, emails): ...

    desk, many_desk = Desk(), ManyDesk()

    def variable(*emails, **options): ...
    def default(email, extra=1): ...
    def named_only(*, email): ...
    async def generator(email):
        yield
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("forms")
    (directory / "forms_under_test.py").write_text(dedent(SOURCE))
    return directory


@pytest.fixture
def look_up(directory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(directory))

    def find(name: str) -> Handler:
        return load_one(f"forms_under_test:{name}", [directory])

    return find


@pytest.mark.parametrize(
    ("name", "is_async", "is_batch"),
    [
        ("partial", True, False), ("desk", False, False), ("desk.method", True, False), ("Desk.of_class", True, False),
        ("desk.static", False, False), ("desk.many", False, True), ("many_desk", False, True),
        ("variable", False, False), ("default", False, False),
    ],
)  # fmt: skip
def test_how_it_wants_to_be_called(look_up, name: str, is_async: bool, is_batch: bool) -> None:
    handler = look_up(name)
    assert (handler.is_async, handler.is_batch) == (is_async, is_batch)


@pytest.mark.parametrize("name", ["named_only", "", "desk.", "desk.nothing", "generator", "Desk"])
def test_what_cannot_be_called_is_refused(look_up, name: str) -> None:
    with pytest.raises(HandlerLoadError):
        look_up(name)


@pytest.mark.parametrize(
    "target", ["", ":handle", ".relative:handle", "no..such:handle", "no_such_module_here"]
)
def test_what_names_no_module_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(HandlerLoadError):
        load_one(target, [tmp_path])

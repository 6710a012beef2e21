"""Large mails on both sides of the stream: their blobs are there before the entry, and not much longer."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from fastmail_ingest.errors import BlobUnavailable, SourceUnavailable
from fastmail_ingest.model.blob import Draft, blob_name
from fastmail_ingest.model.entry import Settlement
from fastmail_ingest.pipeline.ports import Intake

_T = TypeVar("_T")


class Patiently(Protocol):
    """Asks Redis until it answers."""

    def __call__(self, ask: Callable[[], _T]) -> _T: ...  # noqa: D102


class Underway:
    """The blobs of one producer's thread that no entry refers to yet."""

    def __init__(self, intake: Intake, patiently: Patiently) -> None:
        self._intake = intake
        self._patiently = patiently
        self._drafts: dict[str, Draft] = {}

    def begin(self) -> None:
        """A new window: what an older one left is written once more when its mails are fetched again."""
        self._drafts.clear()

    def keep(self, identity: str, draft: Draft) -> str:
        """Make a large mail durable; returns the name of its blob. Raises BlobUnavailable."""
        try:
            name = blob_name(self._patiently(self._intake.blobs.space), identity.encode())
            draft.commit(name)
        except BaseException:
            draft.discard()
            raise
        self._drafts[identity] = draft
        return name

    def renew(self) -> None:
        """Show that the blobs are needed, right before an attempt to append. Raises SourceUnavailable."""
        for identity, draft in list(self._drafts.items()):
            try:
                draft.renew()
            except BlobUnavailable as error:
                # The same mail may have come over another connection, too, and have been handled. Else it was
                # taken for an orphan while Redis was away for us: it has to be fetched again.
                if self._intake.states([identity]) != ["done"]:
                    raise SourceUnavailable(str(error)) from error
                del self._drafts[identity]

    def appended(self, *, all_new: bool) -> None:
        """The mails are in the stream. A blob whose mail was handled before is of no use."""
        if self._drafts and not all_new:
            states = self._patiently(lambda: self._intake.states(list(self._drafts)))
            for draft, state in zip(self._drafts.values(), states, strict=True):
                if state == "done":
                    draft.remove()
        self._drafts.clear()


class Unneeded:
    """A journal that removes the blobs of mails that are done."""

    def __init__(self, remove: Callable[[str], None]) -> None:
        self._remove = remove

    def taken(self, count: int) -> None:
        """Nothing is done yet."""

    def settled(self, settlement: Settlement, ignored: int) -> None:
        """Some mails are done; if we were not the owner of all, the sweep will see which are."""
        if not ignored:
            for name in settlement.blobs:
                self._remove(name)

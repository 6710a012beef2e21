"""An import over IMAP and the gate of its account."""

import pytest
from support.fake_mailbox import Shelf

from fastmail_ingest.errors import LoginRefused, TokenRefused
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.history import History, HistoryPlan, Surroundings
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window


@pytest.mark.parametrize(("error", "tries"), [(LoginRefused("no"), 1), (TokenRefused("expired"), 2)])
def test_a_refused_login_is_told_to_all_and_a_token_renewed_once(error: LoginRefused, tries: int) -> None:
    shelf, asked = Shelf(), []
    gate = Gate("a", shelf.accounts, Terms(1, 0, lambda: "me"), Ramp())

    def connect() -> MailSource:
        asked.append(1)
        raise error

    tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, lambda reason: None)
    stopper = Stopper()
    transfer = Transfer(shelf, TransferPlan(7, 1 << 20, Marks(9, 1 << 40, 1.0)), stopper, tally, Outage())
    around = Surroundings(
        connect=connect, chosen=lambda uids: Window(uids[0], uids[-1]), gate=gate,
        progress=lambda mails, size: None, problem=lambda text: None, waiting=lambda reason: None,
    )  # fmt: skip
    with pytest.raises(LoginRefused):
        History(HistoryPlan(MailboxKey("a", "INBOX"), 7, [1, 2]), transfer, stopper, around).run()
    assert len(asked) == tries
    assert shelf.accounts.state("a").standing == "suspended"

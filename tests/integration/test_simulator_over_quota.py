"""An account of the simulator whose limits are used up, and that serves again afterwards."""

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientAbortError, LoginError

from fastmail_ingest.simulator import Account, Faults, ImapServer, Mailbox, ServerThread, Store

WORDS = "Account exceeded command or bandwidth limits"


def test_each_command_is_refused_while_the_account_is_over_quota() -> None:
    account, faults = Account("u", "p"), Faults(seed=3)
    account.add(Mailbox("INBOX"))
    seen = set()
    with ServerThread(ImapServer(Store([account]), faults=faults)) as server:
        faults.over_quota = True
        for _ in range(20):
            with IMAPClient("127.0.0.1", server.port, ssl=False, timeout=20) as client:
                with pytest.raises(LoginError, match=WORDS) as refused:
                    client.login("u", "p")
                seen.add(isinstance(refused.value.__context__, IMAPClientAbortError))
        faults.over_quota = False
        with IMAPClient("127.0.0.1", server.port, ssl=False, timeout=20) as client:
            client.login("u", "p")
            assert client.select_folder("INBOX")[b"EXISTS"] == 0
    assert seen == {False, True}, "by NO, and by BYE"

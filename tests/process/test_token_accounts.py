"""Accounts that log in by OAuth2, under a real supervisor: one whose grant is gone harms nobody else."""

import os
import signal
from pathlib import Path

from support.supervised import Supervised
from support.token_endpoint import CLIENT_ID, TokenEndpoint
from support.waiting import wait_until

from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.token_file import TokenFile


def grant_of(user: str, refresh_token: str, directory: Path, name: str) -> TokenFile:
    file = TokenFile(str(directory / f"{name}.token.json"), "")
    with file.locked():
        file.write(Grant(method="google", user=user, client_id=CLIENT_ID, refresh_token=refresh_token))
    return file


def titles() -> str:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return "\n".join(found)


def test_one_account_reads_by_token_while_the_grant_of_another_is_gone(
    tmp_path, simulated, redis_server, token_endpoint: TokenEndpoint
) -> None:
    client = token_endpoint.client_file(tmp_path)
    simulated.server.server.store.accounts["u"].token_valid = lambda token: token in token_endpoint.access
    simulated.add(30)
    token_endpoint.user = "u"
    good = grant_of("u", token_endpoint.new_refresh_token(), tmp_path, "sim")
    gone = "1//planted-refresh-token"
    token_endpoint.secrets.add(gone)
    grant_of("v", gone, tmp_path, "other")
    login = f'tls = "off"\noauth_client_file = "{client}"'
    other = f'[[accounts]]\nname = "other"\nhost = "127.0.0.1"\nport = {simulated.port}\nuser = "v"\n{login}'
    run = Supervised(
        tmp_path, simulated.port, redis_server.url, account=f'user = "u"\n{login}\n{other}',
        logging='format = "text"\nlevel = "debug"',
    )  # fmt: skip
    try:
        run.start()
        run.wait_for_calls(30)
        wait_until(lambda: "auth setup other" in run.text(), "the log says what a human must do")
        first = good.read()
        # The server forgets all tokens; the next producer's login is refused once, then has a new one.
        token_endpoint.access.clear()
        os.kill(run.pid, signal.SIGHUP)
        wait_until(lambda: good.read().access_token != first.access_token, "the token is replaced")
        simulated.add(10)
        run.wait_for_calls(40)
        assert not token_endpoint.leaked(run.text() + titles())
        assert run.stop() == 0
    finally:
        run.close()
    assert not token_endpoint.leaked(run.text())
    refused = [form for path, form in token_endpoint.asked if form.get("refresh_token") == gone]
    assert len(refused) == 1

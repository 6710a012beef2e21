"""What cannot work is said once, with a remedy, and the exit code tells the kind."""

import pytest

HANDLER = 'target = "handler_under_test:{}"'


@pytest.mark.parametrize(
    ("body", "settings", "code", "words"),
    [
        ("\n\nimport no_such_module_anywhere\n", {}, 2, "not installed"),
        ("\n\nraise RuntimeError('boom at import')\n", {}, 2, "boom at import"),
        ("\n\ndef handle(:\n", {}, 2, "SyntaxError"),
        ("\n\ndef other(email): ...\n", {}, 2, "no 'handle' in it"),
        ("\n\ndef handle(): ...\n", {}, 2, "remedy"),
        ("\n\ndef handle(e): ...\n", {"redis": 'url = "unix:///no/such.sock"'}, 3, "does not answer"),
        ("\n\ndef handle(e): ...\n", {"worker": 'procs = "three"'}, 2, "procs"),
        ("\n\ndef handle(e): ...\n", {"retry": "attempts = true"}, 2, "attempts"),
    ],
)
def test_one_message_and_the_exit_code(house, body, settings, code, words) -> None:
    run = house(body, **settings)
    assert run.run() == code, run.text()
    assert words in run.text()
    assert "Traceback" not in run.text()
    assert run.text().count("fastmail-ingest: ") == 1
    assert not run.children()


def test_a_module_that_cannot_be_imported_ends_a_finite_run_before_it_begins(house) -> None:
    run = house("\n\nraise RuntimeError('boom at import')\n")
    assert run.run("--once") == 2, run.text()
    assert run.text().count("boom at import") == 1
    assert "restarting" not in run.text()


@pytest.mark.parametrize(
    "account", ['user = "u"\npassword = "wrong"\ntls = "off"', 'user = "u"\npassword = "p"\ntls = "on"']
)
def test_a_mail_server_that_refuses_ends_a_finite_run_with_3(house, account) -> None:
    run = house(account=account)
    assert run.run("--once") == 3, run.text()
    assert "Traceback" not in run.text()
    assert "remedy" in run.text()

"""`supervise --reload`: what is saved takes effect, what is broken is said and changes nothing."""

import os
import signal
from pathlib import Path

import pytest
from support.waiting import wait_until

BODY = """

    from fmi_words import word

    def handle(email):
        os.write(CALLS, f"{word()} {email.uid}\\n".encode())
"""


@pytest.fixture
def run(house, tmp_path: Path):
    write(tmp_path, "def word(): return 'one'\n")
    run = house(BODY).start("--reload")
    wait_until(lambda: "watching" in run.text(), f"it watches; {run.log}")
    return run


def write(directory: Path, text: str, name: str = "fmi_words.py") -> None:
    """As an editor saves: a new file in the place of the old one."""
    (directory / f"{name}.new").write_text(text)
    (directory / f"{name}.new").rename(directory / name)


def words(run) -> set[str]:
    if not run.calls_file.exists():
        return set()
    return {line.split()[0] for line in run.calls_file.read_text().splitlines() if " " in line}


def handled_by(run, simulated, word: str) -> None:
    """Mails that come in from now on are handled by that version of the code."""

    def seen() -> bool:
        simulated.add(1)
        return word in words(run)

    wait_until(seen, f"{word} is at work; {run.log}")


def test_a_change_of_a_module_beside_the_handler_takes_effect(run, simulated, tmp_path: Path) -> None:
    handled_by(run, simulated, "one")
    write(tmp_path, "def word(): return 'two'\n")
    handled_by(run, simulated, "two")
    write(tmp_path, "def word(): return 'six'\n")  # as long as before, perhaps within the same second
    handled_by(run, simulated, "six")
    assert "fmi_words.py" in run.text()
    assert run.stop() == 0
    assert not run.children()
    assert "0 restarts" in run.text()


def test_a_syntax_error_is_said_and_the_old_code_goes_on(run, simulated, tmp_path: Path) -> None:
    handled_by(run, simulated, "one")
    write(tmp_path, "import fmi_new\ndef word(): return fmi_new.WORD\n")
    wait_until(lambda: "not reloaded, going on as before" in run.text(), "the missing module is named")
    write(tmp_path, "WORD = (\n", "fmi_new.py")
    wait_until(lambda: "SyntaxError" in run.text(), "and then its syntax error")
    before = run.calls_file.read_text().count("\n")
    simulated.add(5)
    run.wait_for_lines(before + 5)
    assert words(run) == {"one"}
    # The module that was never imported is watched: to mend it is enough.
    write(tmp_path, "WORD = 'mended'\n", "fmi_new.py")
    handled_by(run, simulated, "mended")
    assert run.stop() == 0


def test_the_configuration_is_watched_and_tests_are_not(run, simulated, tmp_path: Path) -> None:
    handled_by(run, simulated, "one")
    write(tmp_path, "def test_it(): ...\n", "test_fmi_words.py")
    workers = run.children("worker")
    text = run.config.read_text().replace("procs = 2", 'procs = 2\nmax_mails = "many"')
    run.config.write_text(text)
    wait_until(lambda: "not reloaded" in run.text(), "the configuration is refused")
    assert "max_mails" in run.text()
    assert "test_fmi_words.py" not in run.text()
    assert run.children("worker") == workers
    run.config.write_text(text.replace('"many"', "100000"))
    wait_until(lambda: not set(run.children("worker")) & set(workers), "both workers are replaced")
    assert run.stop() == 0


def test_without_the_option_nothing_is_watched(house, simulated, tmp_path: Path) -> None:
    write(tmp_path, "def word(): return 'one'\n")
    run = house(BODY).start()
    handled_by(run, simulated, "one")
    assert not run.children("reload")
    assert run.stop() == 0


@pytest.mark.parametrize("other", ["--once", "--dry-run"])
def test_it_is_for_a_run_that_lasts(house, other: str) -> None:
    run = house()
    assert run.run("--reload", other) == 2
    assert "neither --once nor --dry-run" in run.text()
    assert os.path.exists(run.log)


ENDLESS = "import time\nprint('endless', flush=True)\nwhile True: time.sleep(0.01)\n"
CATCHES = "import time\nprint('endless', flush=True)\nwhile True:\n    try: time.sleep(1)\n    except: pass\n"


def test_an_import_that_never_ends_is_left_at_the_next_edit(run, simulated, tmp_path: Path) -> None:
    handled_by(run, simulated, "one")
    write(tmp_path, ENDLESS)
    wait_until(lambda: "endless" in run.text(), "it is being imported")
    write(tmp_path, "def word(): return 'two'\n")
    handled_by(run, simulated, "two")
    assert "SIGHUP came meanwhile (" in run.text()
    assert "fmi_words.py, line 3)" in run.text()
    assert run.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_import_that_never_ends_keeps_nobody_from_stopping(run, tmp_path: Path, number: int) -> None:
    write(tmp_path, ENDLESS)
    wait_until(lambda: "endless" in run.text(), "it is being imported")
    assert run.stop(number) == 0
    assert not run.children()


def test_one_that_catches_what_interrupts_it_ends_with_the_process(run, tmp_path: Path) -> None:
    write(tmp_path, CATCHES)
    wait_until(lambda: "endless" in run.text(), "it is being imported")
    children = run.children()
    assert run.stop() == 128 + signal.SIGTERM
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "its children are gone")

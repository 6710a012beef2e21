"""The unit, the scripts, the container and what is written of them: by the tools that read them, and without drift."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_powershell
from support.service_files import CONTAINERFILE, ROOT, UNIT, commands, directives, fenced, seconds
from tree_sitter import Language, Node, Parser

from fastmail_ingest.app.daemon.place import STOP_GRACE_S
from fastmail_ingest.app.herald import EXTENSION_EVERY_S, PULSE_S
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import EXIT_DRAIN_CUT_SHORT, EXIT_USAGE
from fastmail_ingest.stream.connect import ANSWER_TIMEOUT_S
from fastmail_ingest.supervisor.supervisor import TICK_S

BIN = Path(sys.executable).parent
DOCUMENT = ROOT / "docs/DEPLOYMENT.md"
SCRIPTS = {"start": "start", "stop": "stop", "health_check": "health"}


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def known_options(*words: str) -> str:
    told = run(BIN / "fastmail-ingest", *words, "--help")
    assert told.returncode == 0, (words, told.stderr)
    return told.stdout


# --- systemd ------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a command that is there: systemd asks for the file."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/fastmail-ingest/bin", str(BIN)))
    return copy


def test_systemd_takes_every_line_of_the_unit(installed: Path, systemd_analyze: str) -> None:
    told = run(systemd_analyze, "verify", "--man=no", "--recursive-errors=no", installed)
    assert (told.returncode, told.stderr) == (0, "")


def test_systemd_would_notice_a_line_that_it_does_not_know(installed: Path, systemd_analyze: str) -> None:
    installed.write_text(installed.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    told = run(systemd_analyze, "verify", "--man=no", "--recursive-errors=no", installed)
    assert "'WatchdogSecs' in section" in told.stderr


def test_the_sandbox_stays_tight(installed: Path, systemd_analyze: str) -> None:
    told = run(systemd_analyze, "security", "--offline=true", "--threshold=15", "--no-pager", installed)
    assert told.returncode == 0, told.stdout


def test_the_units_times_fit_the_defaults() -> None:
    unit, config = directives(UNIT), Config()
    assert seconds(unit["TimeoutStopSec"][0]) >= config.supervisor.drain_timeout + STOP_GRACE_S
    # The loop may wait for one answer of its own Redis; twice as long, and somebody is to be told.
    assert seconds(unit["WatchdogSec"][0]) >= 2 * (ANSWER_TIMEOUT_S + TICK_S + PULSE_S)
    for timeout in ("TimeoutStartSec", "TimeoutStopSec"):
        assert seconds(unit[timeout][0]) > 2 * EXTENSION_EVERY_S


def test_the_units_exit_codes_are_ours() -> None:
    unit = directives(UNIT)
    assert unit["RestartPreventExitStatus"] == [str(EXIT_USAGE)]
    assert unit["SuccessExitStatus"] == [str(EXIT_DRAIN_CUT_SHORT)]
    assert unit["Restart"] == ["on-failure"]
    assert unit["OOMPolicy"] == ["continue"]
    assert unit["KillMode"] == ["mixed"]
    assert (unit["Type"], unit["NotifyAccess"]) == (["notify"], ["main"])


def test_the_unit_starts_a_command_that_there_is() -> None:
    (line,) = directives(UNIT)["ExecStart"]
    _, verb, *words = line.split()
    options = known_options(verb)
    assert [word for word in words if word.startswith("--") and word not in options] == []


def test_the_services_configuration_is_taken_and_keeps_to_its_directories(tmp_path: Path) -> None:
    (block,) = fenced(DOCUMENT, "toml")
    unit = directives(UNIT)
    credentials = f"/run/credentials/{UNIT.name}/"
    assert credentials in block
    state = f"/var/lib/{unit['StateDirectory'][0]}/"
    secret = tmp_path / "support.password"
    secret.write_text("p")
    secret.chmod(0o600)
    file = tmp_path / "supervisor.toml"
    file.write_text(block.replace(credentials, f"{tmp_path}/"))
    config = load(file, {})
    written = [config.redis.data_dir, config.blobs.directory, config.backup.directory]
    assert [path for path in written if not path.startswith(state)] == []
    (drop_in,) = fenced(DOCUMENT, "ini")
    (credential,) = re.findall(r"^LoadCredential=(\S+):/etc/fastmail-ingest/secrets/(\S+)$", drop_in, re.M)
    assert credential == ("support.password", "support.password")


# --- scripts ------------------------------------------------------------------------------------------


def test_the_scripts_for_sh_are_clean() -> None:
    files = [ROOT / "scripts" / name for name in (*SCRIPTS, "_command.sh", "_environment.sh", "demo", "test")]
    told = run(BIN / "shellcheck", "--external-sources", "--shell=sh", *files, cwd=ROOT)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("shell", ["sh", "ps1"])
def test_a_script_says_its_verb_and_nothing_else(shell: str) -> None:
    for name, verb in SCRIPTS.items():
        text = (ROOT / "scripts" / (name if shell == "sh" else f"{name}.ps1")).read_text()
        code = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert len(code) <= 4
        called = re.findall(r"^become (\w+) \"\$@\"$|-Words \(@\('(\w+)'\) \+ \$args\)$", text, re.M)
        assert [sh or ps1 for sh, ps1 in called] == [verb]
        (example,) = re.findall(r"^#   scripts/\S+ (--\S+) ", text, re.M)
        assert example in known_options(verb)


def _wrong(node: Node) -> list[str]:
    here = [f"{node.type} in line {node.start_point.row + 1}"] if node.is_error or node.is_missing else []
    return [*here, *(each for child in node.children for each in _wrong(child))]


def test_the_scripts_for_powershell_can_be_parsed() -> None:
    parser = Parser(Language(tree_sitter_powershell.language()))
    for path in sorted((ROOT / "scripts").glob("*.ps1")):
        assert _wrong(parser.parse(path.read_bytes()).root_node) == [], path.name
    assert _wrong(parser.parse(b"if ($true { exit 1 }").root_node) != []


def test_a_script_without_the_command_says_what_to_do(tmp_path: Path) -> None:
    for name in ("start", "_command.sh"):
        (tmp_path / name).write_bytes((ROOT / "scripts" / name).read_bytes())
    told = run("/bin/sh", tmp_path / "start", env={"PATH": "/usr/bin:/bin"})
    assert told.returncode == 2
    assert "neither in .venv nor on PATH. remedy: " in told.stderr


# --- container ----------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_containerfile_is_clean() -> None:
    told = run(BIN / "hadolint", "--failure-threshold", "style", CONTAINERFILE)
    assert (told.returncode, told.stdout) == (0, "")


def test_the_container_is_not_root_and_pins_its_base() -> None:
    found = instructions()
    assert [rest for word, rest in found if word == "USER"] == ["10001:10001"]
    assert [rest.split()[0] for word, rest in found if word == "FROM"] == [
        "docker.io/library/python:${PYTHON}"
    ] * 2
    ((tag),) = [rest for word, rest in found if word == "ARG" and rest.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.\d+-slim-[a-z]+", tag)
    assert [rest for word, rest in found if word == "STOPSIGNAL"] == ["SIGTERM"]
    (check,) = [rest for word, rest in found if word == "HEALTHCHECK"]
    assert "fastmail-ingest health || exit 1" in check
    assert known_options("health")


def test_the_containers_environment_is_a_configuration(tmp_path: Path) -> None:
    (line,) = [rest for word, rest in instructions() if word == "ENV"]
    environment = dict(re.findall(r"(FASTMAIL_INGEST__\w+)=(\S+)", line))
    config = load(None, environment, require_accounts=False)
    (volume,) = [rest for word, rest in instructions() if word == "VOLUME"]
    written = [config.redis.data_dir, config.blobs.directory, config.backup.directory]
    assert [path for path in written if not path.startswith(f"{volume}/")] == []


def test_the_image_is_made_of_what_it_needs() -> None:
    lines = (ROOT / ".containerignore").read_text().splitlines()
    assert "*" in lines
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert [name for name in kept if not (ROOT / name).exists()] == []
    extras = next(rest for word, rest in instructions() if word == "ARG" and rest.startswith("EXTRAS="))
    told = (ROOT / "pyproject.toml").read_text()
    assert [name for name in extras.partition("=")[2].split(",") if f"\n{name} = [" not in told] == []


# --- the document -------------------------------------------------------------------------------------


def test_every_command_in_the_document_is_known() -> None:
    told = commands(DOCUMENT)
    checked = 0
    for line in told:
        for verb, words in re.findall(
            r"(?:^|/|\s)fastmail-ingest (start|stop|health|status|supervise)\b(.*)", line
        ):
            known = known_options(verb)
            assert [each for each in re.findall(r"--[a-z-]+", words) if each not in known] == [], line
            checked += 1
        for name, words in re.findall(r"^scripts/(\w+)(.*)", line):
            known = known_options(SCRIPTS[name])
            assert [each for each in re.findall(r"--[a-z-]+", words) if each not in known] == [], line
            checked += 1
        for path in re.findall(r"\s((?:deploy|scripts)/\S+)", line):
            assert (ROOT / path).exists(), line
            checked += 1
    assert checked >= 7
    for line in told:
        assert run("/bin/sh", "-n", "-c", line).returncode == 0, line


def test_every_link_and_directive_in_the_document_is_there() -> None:
    text = DOCUMENT.read_text()
    titles = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert target[1:] in titles if target.startswith("#") else (DOCUMENT.parent / target).exists(), target
    unit = directives(UNIT)
    for name, value in re.findall(r"`(WatchdogSec|TimeoutStopSec|OOMPolicy)=(\w+)`", text):
        assert unit[name] == [value]
    wait = seconds(unit["TimeoutStopSec"][0])
    assert {
        float(each)
        for each in re.findall(r"--stop-timeout (\d+)|PeriodSeconds: (\d+)", text)
        for each in each
        if each
    } == {wait}

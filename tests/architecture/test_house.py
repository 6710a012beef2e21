"""What the README and the layers promise, checked by machine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.stream_world import envelope

from fastmail_ingest.config import load
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.mailbox import MailboxKey

ROOT = Path(__file__).parent.parent.parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_point_down() -> None:
    result = run(str(Path(sys.executable).parent / "lint-imports"))
    assert result.returncode == 0, result.stdout


def test_house_rules() -> None:
    result = run(sys.executable, "scripts/house_rules.py")
    assert result.returncode == 0, result.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nsys.argv = ['fastmail-ingest', '--help']\n"
        "import atexit\natexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
        "from fastmail_ingest.cli.main import main\nmain()\n"
    )
    result = run(sys.executable, "-c", program)
    assert "supervise" in result.stdout
    heavy = {"redis", "imapclient", "rich", "uvloop", "asyncio", "psutil", "requests", "google.auth", "msal"}
    assert not heavy & set(result.stderr.split())


@pytest.mark.parametrize(
    ("document", "verbs"),
    [("README.md", {"supervise", "bench"}), ("docs/OAUTH2_SETUP.md", {"supervise", "auth"})],
)
def test_every_command_in_the_documents_is_known(document: str, verbs: set[str]) -> None:
    text = (ROOT / document).read_text()
    found = {words.split()[0] for words in re.findall(r"^fastmail-ingest (.+)$", text, re.MULTILINE)}
    assert found >= verbs
    for verb in found:
        assert run(sys.executable, "-m", "fastmail_ingest", verb, "--help").returncode == 0


@pytest.mark.parametrize("document", ["README.md", "docs/OAUTH2_SETUP.md"])
def test_every_option_in_the_documents_is_known(document: str) -> None:
    text = (ROOT / document).read_text()
    for verb, second, words in re.findall(
        r"^fastmail-ingest ([\w-]+)((?: [a-z]+\b(?!\.))?)([^#\n]*)", text, re.MULTILINE
    ):
        known = run(sys.executable, "-m", "fastmail_ingest", verb, *second.split(), "--help").stdout
        for option in re.findall(r"--[a-z-]+", words):
            assert option in known, (verb, option)


def test_every_message_in_the_oauth2_troubles_is_one_of_ours() -> None:
    said = " ".join(path.read_text() for path in (ROOT / "fastmail_ingest").rglob("*.py"))
    said = re.sub(r'"\s*f?"', "", said)  # a message goes over several lines
    troubles = (ROOT / "docs/OAUTH2_SETUP.md").read_text().partition("### By fastmail-ingest")[2]
    table = troubles.partition("### By Google")[0]
    quoted = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(quoted) > 20
    for message in quoted:
        for part in message.split(" … "):
            assert part in said, message


def test_every_handler_in_the_readme_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    raw = b"From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\ntext\r\n"
    email = Email(envelope("a:INBOX:7:1", MailboxKey("a", "INBOX"), 7, 1, raw))
    text = (ROOT / "README.md").read_text().partition("### What an `Email` has")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    handlers = [block for block in blocks if "def handle(" in block]
    assert len(handlers) == 3
    for block in handlers:
        names: dict[str, Any] = {}
        exec(block, names)
        names["handle"]([email] if "emails" in block else email)
        assert "Hello" in capsys.readouterr().out


def test_the_hooks_in_the_readme_are_called(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "startup" in block]
    pool = (
        "class AsyncConnectionPool:\n"
        "    def __init__(self, conninfo, open): print(conninfo, open)\n"
        "    async def open(self, wait): print('opened', wait)\n"
        "    async def close(self): print('closed')\n"
    )
    (tmp_path / "psycopg_pool.py").write_text(pool)
    (tmp_path / "readme_shop.py").write_text(f"{block}\n\nasync def handle(email): print(email.subject)\n")
    (tmp_path / "a.eml").write_text("Subject: Hello\n\n")
    command = [
        sys.executable,
        "-m",
        "fastmail_ingest",
        "replay-eml",
        "a.eml",
        "--handler",
        "readme_shop:handle",
    ]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert [line for line in said.splitlines() if not line.startswith((" ", "a.eml", "done"))] == [
        "dbname=shop False", "opened True", "Hello", "closed",
    ]  # fmt: skip


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "docs/OAUTH2_SETUP.md"):
        text = (ROOT / document).read_text()
        anchors = {
            re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.M)
        }
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, (document, target)
            elif "://" not in target:
                assert (ROOT / document).parent.joinpath(target).exists(), (document, target)


def test_every_configuration_in_the_oauth2_document_is_taken(tmp_path: Path) -> None:
    text = (ROOT / "docs/OAUTH2_SETUP.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    (tmp_path / "private.password").write_text("p")
    (tmp_path / "private.password").chmod(0o600)
    (tmp_path / "supervisor.toml").write_text("\n".join(blocks))
    config = load(tmp_path / "supervisor.toml", {})
    methods = [account.login_method for account in config.accounts]
    assert methods == ["google", "service_account", "microsoft", "password"]

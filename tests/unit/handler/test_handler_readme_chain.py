"""The chain that the README shows is one that loads."""

import base64
import re
from pathlib import Path

from fastmail_ingest.config import load
from fastmail_ingest.handler import chain

ROOT = Path(__file__).parents[3]


def test_the_chain_of_the_readme(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (shown,) = [block for block in blocks if "[[classify_rules]]" in block]
    file, secret = tmp_path / "supervisor.toml", tmp_path / "webhook.secret"
    file.write_text(shown)
    secret.write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}\n")
    secret.chmod(0o600)
    config = load(file, {}, require_accounts=False)
    assert config.classify_rules[0].priority == "urgent"
    assert chain.load(config, []).is_async

"""A log that is rotated under a running supervisor: nothing has to be opened anew, no hole, no line twice."""

import json
import os
import signal
import subprocess
from pathlib import Path

from support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
RULE = ROOT / "deploy/logrotate/fastmail-ingest"


def test_it_goes_on_in_the_same_file_when_logrotate_has_emptied_it(house, tmp_path, logrotate) -> None:
    run = house(logging='format = "json"').start()
    wait_until(lambda: len(run.children("worker")) == 2, "two workers")
    rule = RULE.read_text().replace("/var/lib/fastmail-ingest/*.log", str(run.log))
    rule = "\n".join(line for line in rule.splitlines() if not line.strip().startswith("su "))
    (tmp_path / "rule").write_text(f"{rule}\n")
    (tmp_path / "rule").chmod(0o600)
    before = run.text()
    command = [logrotate, "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rule")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    rotated = Path(f"{run.log}.1")
    assert rotated.read_text().startswith(before)
    os.kill(run.pid, signal.SIGUSR1)
    wait_until(lambda: run.text().count(" taken, ") >= 4, "the status, one line a child")
    assert run.stop() == 0
    lines = run.text().splitlines()
    assert [line for line in lines if "\0" in line] == []
    assert json.loads(lines[-1])["message"].startswith("stopped in ")
    assert lines[-1] not in rotated.read_text()

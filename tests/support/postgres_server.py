"""A private PostgreSQL on a unix socket, in a directory of its own; ended by its pid."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

# PostgreSQL refuses to run as root; a test run as root borrows this user.
_UNPRIVILEGED = "nobody"
_DEBIAN = Path("/usr/lib/postgresql")  # where Debian puts what is not on PATH, by major version


def find_binaries() -> str | None:
    """The directory of initdb and postgres."""
    found = shutil.which("initdb")
    if found:
        return str(Path(found).resolve().parent)
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return str(versions[-1].parent) if versions else None


class PostgresServer:
    """One cluster with a superuser `mail`; `kill` and `start` again to lose nothing but the process."""

    def __init__(self, binaries: str) -> None:
        self._binaries = Path(binaries)
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-pg-"))
        self._as_user: dict[str, object] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.data = self.directory / "data"
        self._run(
            "initdb", "-D", str(self.data), "-U", "mail", "-E", "UTF8", "--locale=C", "-A", "trust", "-N"
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = f"-c listen_addresses='' -c unix_socket_directories={self.directory}"
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-o", settings, "-w", "start")

    def kill(self) -> None:
        """As a crash: SIGQUIT to all of it at once, without a checkpoint."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def restart(self) -> None:
        """As an administrator does it: connections are ended, then taken again."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "restart")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://mail@/{database}?host={self.directory}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True)

    def close(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        # pg_ctl's child keeps what it is given: a pipe would never end.
        with (self.directory / "output").open("ab") as output:
            subprocess.run(
                [str(self._binaries / program), *words], check=True, cwd=self.directory,
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, **self._as_user,
            )  # fmt: skip

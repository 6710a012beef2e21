"""A private, rootless Dovecot on loopback: IMAP in the clear, with STARTTLS, and over TLS."""

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from imapclient import IMAPClient

from support.waiting import wait_until

PASSWORD = "secret"
# Dovecot refuses mail users that are root; a test run as root borrows this one.
_UNPRIVILEGED = "nobody"

_CONFIGURATION = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {user}
mail_gid = {group}
ssl = yes
ssl_cert = <{base}/tls.crt
ssl_key = <{base}/tls.key
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_max_userip_connections = 100
mail_home = {base}/mail/%u
mail_location = maildir:~/Maildir:LAYOUT=fs
mail_fsync = never
mailbox_idle_check_interval = 1 secs
mail_plugins = zlib
protocol imap {{
  mail_plugins = zlib imap_zlib
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "Alle Nachrichten" {{
    special_use = \\All
  }}
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={base}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth-worker {{
  user = {user}
}}
"""

# Dovecot asks whose token it is (RFC 7662).
_BEARER = """
auth_mechanisms = plain login {mechanisms}
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {base}/oauth2.conf.ext
}}
"""
_INTROSPECTION = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
timeout_msecs = 5000
"""


class Dovecot:
    """One running Dovecot; any user name works with PASSWORD. `more` is added to its configuration.

    With the address of an `introspection` it takes access tokens, too, by the mechanisms in `bearer`.
    """

    def __init__(
        self, binary: str, more: str = "", *, introspection: str = "", bearer: str = "xoauth2 oauthbearer"
    ) -> None:
        # Unix sockets lie below: the path has to be short (unix(7): 107 bytes).
        self.base = Path(tempfile.mkdtemp(prefix="fmi-dc-", dir="/tmp"))
        self.port, self.tls_port = _free_ports(2)
        self.certificate = self.base / "tls.crt"
        user = pwd.getpwnam(_UNPRIVILEGED) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        for name in ("run", "state", "mail"):
            (self.base / name).mkdir()
        self._make_certificate()
        if introspection:
            more += _BEARER.format(base=self.base, mechanisms=bearer)
            (self.base / "oauth2.conf.ext").write_text(_INTROSPECTION.format(url=introspection))
        configuration = self.base / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                base=self.base, user=user.pw_name, group=_group(user.pw_gid), port=self.port,
                tls_port=self.tls_port, password=PASSWORD,
            )
            + more
        )  # fmt: skip
        for path in (self.base, *self.base.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        self.process = subprocess.Popen([binary, "-F", "-c", str(configuration)], **as_user)
        wait_until(self._answers, f"Dovecot answers; its log is {self.base}/log")

    def _make_certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", str(self.base / "tls.key"), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                return connection.recv(4) == b"* OK"
        except OSError:
            return False

    def client(self, user: str) -> IMAPClient:
        """A logged-in client of the test's own, for putting mails in and looking at flags."""
        client = IMAPClient("127.0.0.1", self.port, ssl=False)
        client.login(user, PASSWORD)
        return client

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.base, ignore_errors=True)


def _group(gid: int) -> str:
    return grp.getgrgid(gid).gr_name


def _free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports

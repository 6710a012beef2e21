"""A stand-in for the OAuth2 endpoints of Google and Microsoft: over TLS, strict, with faults on demand."""

import base64
import datetime
import hashlib
import ipaddress
import json
import secrets
import shutil
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

CLIENT_ID = "1234-test.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-planted-client-secret"
APPLICATION_ID = "11111111-2222-3333-4444-555555555555"
GMAIL_SCOPE = "https://mail.google.com/"
OUTLOOK_SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All"
_USER = "user@example.com"
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Consent:
    """An authorization code and what it is bound to."""

    user: str
    redirect_uri: str
    challenge: str


@dataclass
class TokenEndpoint:
    """The servers and what they know. `fault` may be 500, garbage, slow, drip, huge, redirect or an error code."""

    user: str = _USER
    fault: str = ""
    lasts_s: int = 3600
    scope: str = GMAIL_SCOPE
    consent_error: str = ""
    device_answers: list[str] = field(default_factory=list)  # errors before a device code is taken
    service_key: rsa.RSAPrivateKey = field(default_factory=new_key)
    service_users: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    access: dict[str, tuple[str, float]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Consent] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=lambda: {CLIENT_SECRET})

    def __post_init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-token-"))
        self.certificate = self.directory / "tls.crt"
        self.lock = threading.Lock()
        self.ended = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self._make_certificate())
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self)) for _ in range(2)]
        self._servers[0].socket = context.wrap_socket(self._servers[0].socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._servers[0].server_address[1]}"
        # Dovecot asks here whose token it is.
        self.introspection = f"http://127.0.0.1:{self._servers[1].server_address[1]}/introspect"
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """As new, for the next test; whoever waits for an answer is let go."""
        self.ended.set()
        self.ended, self.lock = threading.Event(), threading.Lock()
        self.user, self.fault, self.lasts_s, self.scope, self.consent_error = _USER, "", 3600, GMAIL_SCOPE, ""
        for kept in (
            self.device_answers,
            self.service_users,
            self.asked,
            self.access,
            self.refresh,
            self.codes,
        ):
            kept.clear()

    def _make_certificate(self) -> Path:
        key, key_file = new_key(), self.directory / "tls.key"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
        now = datetime.datetime.now(datetime.UTC)
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30)).add_extension(address, critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(pem_of(key))
        return key_file

    def close(self) -> None:
        self.ended.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(self.directory)

    @property
    def trust(self) -> dict[str, str]:
        """The environment of a process that is to trust this endpoint."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate)}

    @property
    def authority(self) -> str:
        return f"{self.url}/tenant"

    def client_file(self, directory: Path, kind: str = "installed", **changes: str) -> Path:
        """What the Google Cloud console gives for a client."""
        client = {
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "project_id": "p",
            "auth_uri": f"{self.url}/auth", "token_uri": f"{self.url}/token",
        }  # fmt: skip
        return private(directory / "client.json", json.dumps({kind: client | changes}))

    def service_account_file(self, directory: Path) -> Path:
        """What it gives for a service account."""
        key = {
            "type": "service_account", "client_id": "987", "client_email": "robot@p.example",
            "private_key": pem_of(self.service_key).decode(), "token_uri": f"{self.url}/token",
        }  # fmt: skip
        return private(directory / "service.json", json.dumps(key))

    def count(self, path: str = "/token") -> int:
        """How often it was asked."""
        return sum(asked == path for asked, _ in self.asked)

    def new_refresh_token(self) -> str:
        token = f"1//{self._secret()}"
        self.refresh[token] = self.user
        return token

    def new_access_token(self, user: str = "") -> str:
        token = f"ya29.{self._secret()}"
        self.access[token] = (user or self.user, time.time() + self.lasts_s)
        return token

    def _secret(self) -> str:
        """A random word that no output may hold."""
        secret = secrets.token_urlsafe(40)
        self.secrets.add(secret)
        return secret

    def leaked(self, output: str) -> list[str]:
        """The secrets that stand in an output."""
        return [secret for secret in self.secrets if secret in output]

    def forget_grants(self) -> None:
        """As when the user takes the permission back."""
        self.refresh.clear()
        self.access.clear()

    # What the endpoints answer: a status, and an object or a place to go.

    def authorize(self, query: dict[str, str]) -> str:
        """The user allows it at once (or `consent_error`): where the browser is sent then."""
        if query.get("code_challenge_method") != "S256" or query["client_id"] != CLIENT_ID:
            return f"{query['redirect_uri']}?{urlencode({'error': 'invalid_request'})}"
        if self.consent_error:
            answer = {"error": self.consent_error}
        else:
            code = f"4/{self._secret()}"
            self.codes[code] = Consent(self.user, query["redirect_uri"], query["code_challenge"])
            answer = {"code": code, "scope": query["scope"]}
        return f"{query['redirect_uri']}?{urlencode(answer | {'state': query['state']})}"

    def posted(self, path: str, form: dict[str, str]) -> tuple[int, object]:
        if path == "/token":
            return self.token(form)
        if path == "/devicecode":
            return 200, self.device_code()
        return self.revoke(form) if path == "/revoke" else (404, {})

    def token(self, form: dict[str, str]) -> tuple[int, object]:
        kind = form.get("grant_type")
        if kind == _JWT_GRANT:
            return self._for_service_account(form)
        if kind == _DEVICE_GRANT:
            return self._for_device(form)
        if form.get("client_id") == APPLICATION_ID:
            return self._renewed_by_microsoft(form)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client", "error_description": "The OAuth client was not found."}
        if kind == "authorization_code":
            return self._exchanged(form)
        user = self.refresh.get(form.get("refresh_token", ""))
        return (200, self._tokens(user)) if user else _invalid_grant()

    def _tokens(self, user: str) -> dict[str, object]:
        token = self.new_access_token(user)
        return {
            "access_token": token,
            "expires_in": self.lasts_s,
            "token_type": "Bearer",
            "scope": self.scope,
        }

    def _exchanged(self, form: dict[str, str]) -> tuple[int, object]:
        consent = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if consent is None or (consent.redirect_uri, consent.challenge) != (form["redirect_uri"], challenge):
            return _invalid_grant()
        refresh = f"1//{self._secret()}"
        self.refresh[refresh] = consent.user
        return 200, self._tokens(consent.user) | {"refresh_token": refresh}

    def _for_service_account(self, form: dict[str, str]) -> tuple[int, object]:
        # google-auth names Google as the audience, wherever it is sent.
        audience = "https://oauth2.googleapis.com/token"
        key = self.service_key.public_key()
        said = jwt.decode(form["assertion"], key, algorithms=["RS256"], audience=audience)
        if said["scope"] != GMAIL_SCOPE or said["iss"] != "robot@p.example":
            return 400, {"error": "invalid_scope"}
        if said["sub"] not in self.service_users:
            return 401, {"error": "unauthorized_client", "error_description": "Client is unauthorized."}
        return 200, self._tokens(said["sub"])

    def _for_device(self, form: dict[str, str]) -> tuple[int, object]:
        if self.device_answers:
            return 400, {"error": self.device_answers.pop(0), "error_description": "AADSTS70016: wait"}
        return 200, self._microsoft_tokens()

    def _renewed_by_microsoft(self, form: dict[str, str]) -> tuple[int, object]:
        if form.get("refresh_token") not in self.refresh:
            return _invalid_grant()
        return 200, self._microsoft_tokens()

    def _microsoft_tokens(self) -> dict[str, object]:
        refresh = f"0.{self._secret()}"
        self.refresh[refresh] = self.user
        claims = {"preferred_username": self.user, "oid": "o", "tid": "t", "sub": "s", "aud": APPLICATION_ID}
        # msal checks these claims of an id token, but, as it came over TLS, no signature.
        claims |= {"iss": self.url, "exp": int(time.time()) + 3600, "iat": int(time.time())}
        return self._tokens(self.user) | {
            "scope": OUTLOOK_SCOPE,
            "refresh_token": refresh,
            "id_token": jwt.encode(claims, "x" * 32, algorithm="HS256"),
            "client_info": base64.urlsafe_b64encode(b'{"uid":"o","utid":"t"}').decode(),
        }

    def device_code(self) -> dict[str, object]:
        self.secrets.add("planted-device-code")
        address = f"{self.url}/device"
        return {
            "device_code": "planted-device-code", "user_code": "ABCD-EFGH", "verification_uri": address,
            "expires_in": 900, "interval": 1, "message": f"open {address} and enter the code ABCD-EFGH",
        }  # fmt: skip

    def discovery(self) -> dict[str, object]:
        return {
            "issuer": self.authority, "authorization_endpoint": f"{self.authority}/authorize",
            "token_endpoint": f"{self.authority}/token",
            "device_authorization_endpoint": f"{self.authority}/devicecode",
        }  # fmt: skip

    def revoke(self, form: dict[str, str]) -> tuple[int, object]:
        if self.refresh.pop(form.get("token", ""), None) is None:
            return 400, {"error": "invalid_token", "error_description": "Token expired or revoked"}
        return 200, {}

    def introspect(self, form: dict[str, str]) -> tuple[int, object]:
        """RFC 7662: whose token it is."""
        user, ends = self.access.get(form.get("token", ""), ("", 0.0))
        return 200, {"active": True, "username": user} if ends > time.time() else {"active": False}


def _invalid_grant() -> tuple[int, object]:
    return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def handler_of(endpoint: TokenEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/auth":
                self.redirect(endpoint.authorize(dict(parse_qsl(address.query))))
            elif not address.path.endswith("/.well-known/openid-configuration"):
                self.answer(404, {})
            elif not self.fails():
                self.answer(200, endpoint.discovery())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(parse_qsl(body))
            path = f"/{urlsplit(self.path).path.rpartition('/')[2]}"
            if path == "/introspect":
                self.answer(*endpoint.introspect(form))
                return
            with endpoint.lock:
                endpoint.asked.append((path, form))
                if not self.fails():
                    self.answer(*endpoint.posted(path, form))

        def fails(self) -> bool:
            fault = endpoint.fault
            if not fault:
                return False
            if fault == "slow":
                endpoint.ended.wait()
            elif fault == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Dripping: ")
                while not endpoint.ended.wait(0.05):
                    self.wfile.write(b"x")
            elif fault == "redirect":
                self.redirect(f"{endpoint.url}/elsewhere")
            elif fault == "huge":
                self.send(200, b" " * (2 << 20))
            elif fault == "garbage":
                self.send(200, b"<html>Sign in to the hotel's network</html>")
            elif fault == "echo":
                self.send(200, json.dumps(endpoint.asked[-1][1]).encode())
            elif fault == "500":
                self.send(500, json.dumps({"error": "backend", "seen": endpoint.asked[-1][1:]}).encode())
            else:
                described = f"as {json.dumps(endpoint.asked[-1][1])}" if endpoint.asked else ""
                self.answer(400, {"error": fault, "error_description": described})
            return True

        def redirect(self, address: str) -> None:
            self.send_response(302)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, status: int, value: object) -> None:
            self.send(status, json.dumps(value).encode())

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler

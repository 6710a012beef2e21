"""Who may ask the HTTP server for what; whatever is sent to it, it answers in its own form and goes on."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests
from support.admin_server import HEADERS_ALWAYS, TOKEN, AdminServer, admin_server
from support.operated import Operated
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.admin import listener

SECRET_URL = f"/api/dead?q={TOKEN}"


@pytest.fixture(scope="module")
def redis_of_module(redis_binary: str) -> Iterator[RedisServer]:
    made = RedisServer(redis_binary, appendfsync="no")
    yield made
    made.close()


@pytest.fixture
def stream(redis_of_module: RedisServer) -> Operated:
    return Operated(redis_of_module)


@pytest.fixture
def admin(stream: Operated) -> Iterator[AdminServer]:
    with admin_server(stream.url, allowed_hosts=["mail.example.com"]) as made:
        yield made


def error(response: requests.Response) -> tuple[int, str]:
    told = response.json()["error"]
    assert set(told) == {"name", "message", "remedy"}
    return response.status_code, told["name"]


# --- names and origins ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080", "10.1.2.3:80", "mail.example.com:8080"]
)
def test_names_and_addresses_of_ours(admin: AdminServer, host: str) -> None:
    assert admin.get("/health", Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "",
        "a b",
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/status", "/metrics", "/api/dead"])
def test_a_name_that_was_rebound_is_refused(admin: AdminServer, path: str, host: str) -> None:
    assert error(admin.get(path, Host=host)) == (421, "unknown_host")


CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_pages_of_others_may_ask_for_nothing_even_with_the_token(
    admin: AdminServer, stream: Operated, headers: dict[str, str]
) -> None:
    stream.bury(1)
    (letter,) = stream.letter_ids()
    for path in ("/api/dead/replay", "/api/dead/remove", "/api/dead/export"):
        body = {"id": letter} if path.endswith("export") else {"ids": [letter]}
        assert error(admin.post(path, body, **headers)) == (403, "cross_site")
    assert error(admin.get("/api/dead", TOKEN, **headers)) == (403, "cross_site")
    assert stream.letter_ids() == [letter]


def test_our_own_page_may(admin: AdminServer, stream: Operated) -> None:
    stream.bury(1)
    same = {"Origin": admin.url, "Sec_Fetch_Site": "same-origin"}
    assert admin.post("/api/dead/replay", {"filter": {}}, **same).json() == {
        "replayed": 1,
        "left_out": 0,
        "more": False,
    }
    assert stream.letter_ids() == []


# --- the token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/dead/replay", "/api/dead/remove", "/api/dead/export"])
def test_nothing_is_changed_without_the_token(admin: AdminServer, stream: Operated, path: str) -> None:
    stream.bury(1)
    body = json.dumps({"filter": {}})
    assert error(admin.post(path, body, token="")) == (401, "token_needed")
    for wrong in (TOKEN[:-1], TOKEN + "x", "ä", "\xff", " "):
        response = admin.post(path, body, token="", Authorization=f"Bearer {wrong}".encode("latin-1"))
        assert error(response)[0] == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error(admin.post(path, body, token="", Authorization=f"Basic {TOKEN}")) == (401, "token_needed")
    assert error(admin.post(f"{path}?token={TOKEN}", body, token=""))[0] == 401
    assert len(stream.letter_ids()) == 1


def test_who_has_no_token_sees_that_mails_died_but_not_what_they_say(
    admin: AdminServer, stream: Operated
) -> None:
    raw = b"From: private <private@example.org>\r\nSubject: private matter\r\n\r\nprivate text\r\n"
    stream.bury(1, raw=raw, message="private value", traceback="private traceback")
    stream.delay(2, error="ValueError: private value")
    for path in ("/api/dead", "/api/retries", "/status", "/api/dead?q=private"):
        response = admin.get(path)
        assert response.status_code == 200
        assert "private" not in response.text
    listed = admin.get("/api/dead").json()
    assert (listed["total"], listed["content"], listed["letters"][0]["reason"]) == (
        1,
        False,
        "retries_exhausted",
    )
    assert admin.get("/api/retries").json()["retries"][0]["error"] == "ValueError"
    (letter,) = stream.letter_ids()
    assert error(admin.get(f"/api/dead/{letter}")) == (401, "token_needed")
    assert "private matter" in admin.get("/api/dead", TOKEN).text
    assert admin.get("/api/retries", TOKEN).json()["retries"][0]["error"] == "ValueError: private value"


def test_without_a_token_set_nobody_can_change_anything(stream: Operated) -> None:
    stream.bury(1)
    (letter,) = stream.letter_ids()
    with admin_server(stream.url, token="") as admin:
        assert admin.get("/api/session").json() == {"has_token": False, "authorized": False}
        for token in ("", "x" * 20):
            assert error(admin.post("/api/dead/replay", {"filter": {}}, token)) == (403, "no_token_set")
            assert error(admin.get(f"/api/dead/{letter}", token)) == (403, "no_token_set")
            assert admin.get("/api/dead", token).json()["content"] is False
    assert stream.letter_ids() == [letter]


def test_a_session_says_whether_the_token_is_right(admin: AdminServer) -> None:
    assert admin.get("/api/session").json() == {"has_token": True, "authorized": False}
    assert admin.get("/api/session", TOKEN).json() == {"has_token": True, "authorized": True}
    assert error(admin.get("/api/session", "wrong")) == (401, "wrong_token")


def test_no_secret_reaches_the_log(admin: AdminServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    admin.get(SECRET_URL)
    admin.get("/api/session", TOKEN)
    admin.get("/api/session", f"almost{TOKEN}")
    admin.post("/api/dead/remove", {"ids": []})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    text = "\n".join(ours)
    assert "/api/session" in text
    assert "/api/dead/remove" in text
    assert TOKEN not in text


# --- methods, paths, bodies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/health", "/status", "/metrics", "/api/session", "/api/events", "/api/dead"]
)
def test_head_is_a_get_without_body(admin: AdminServer, path: str) -> None:
    response = admin.ask("HEAD", path)
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/nothing", (404, "not_found")),
        ("GET", "/api/nothing", (404, "not_found")),
        ("GET", "/../../etc/passwd", (404, "not_found")),
        ("GET", "/api/dead/..%2f..%2fetc%2fpasswd", (404, "no_letter")),
        ("GET", "/api/dead/1-1", (404, "no_letter")),
        ("GET", "/api/dead/99999999999999999999-1", (404, "no_letter")),
        ("GET", "/api/dead/replay", (404, "no_letter")),
        ("GET", "/api/dead?limit=0", (400, "wrong_query")),
        ("GET", "/api/dead?limit=many", (400, "wrong_query")),
        ("GET", "/api/dead?newer_than_s=x", (400, "wrong_query")),
        ("GET", "/api/dead?unknown=1", (400, "wrong_query")),
        ("GET", "/api/dead?before=yesterday", (400, "wrong_query")),
        ("GET", f"/api/dead?q={'x' * 201}", (400, "wrong_query")),
        ("GET", "/api/history?step=0", (400, "wrong_query")),
        ("GET", "/api/history?seconds=3601", (400, "wrong_query")),
        ("GET", "/api/retries?limit=1000", (400, "wrong_query")),
        ("POST", "/health", (405, "method_not_allowed")),
        ("DELETE", "/api/dead", (405, "method_not_allowed")),
        ("PUT", "/api/dead/replay", (405, "method_not_allowed")),
        ("TRACE", "/", (405, "method_not_allowed")),
    ],
)  # fmt: skip
def test_what_there_is_not(admin: AdminServer, method: str, path: str, wanted: tuple[int, str]) -> None:
    response = admin.ask(method, path, TOKEN, Content_Type="application/json")
    assert error(response) == wanted
    assert ("Allow" in response.headers) == (response.status_code == 405)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("", (400, "wrong_body")),
        ("{", (400, "wrong_body")),
        (b"\xff\xfe", (400, "wrong_body")),
        ("[]", (400, "wrong_body")),
        ('{"ids": "1-1"}', (400, "wrong_body")),
        ('{"ids": ["1-1"], "filter": {}}', (400, "which")),
        ("{}", (400, "which")),
        ('{"all": true}', (400, "wrong_body")),
        ('{"filter": {"resaon": "hung"}}', (400, "wrong_body")),
        (json.dumps({"ids": ["1-1"] * 1001}), (400, "too_many")),
        (json.dumps({"ids": ["../../etc/passwd"]}), (404, "no_letter")),
        (json.dumps({"ids": ["1-1"] * 20_000}), (413, "too_large")),
        ("[" * 60_000, (400, "wrong_body")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bodies_that_are_wrong_change_nothing(
    admin: AdminServer, stream: Operated, body: str | bytes, wanted: tuple[int, str]
) -> None:
    stream.bury(1)
    assert error(admin.post("/api/dead/remove", body)) == wanted
    assert len(stream.letter_ids()) == 1


def test_a_form_of_another_page_is_no_json(admin: AdminServer) -> None:
    response = admin.post("/api/dead/remove", '{"filter": {}}', Content_Type="text/plain")
    assert error(response) == (415, "not_json")


def test_letters_that_are_gone_are_left_out(admin: AdminServer, stream: Operated) -> None:
    stream.bury(1, 2)
    first, second = stream.letter_ids()
    done = admin.post("/api/dead/remove", {"ids": [first, "1-1", first]}).json()
    assert done == {"removed": 1, "left_out": 0, "more": False}
    assert admin.post("/api/dead/replay", {"ids": [first]}).json()["replayed"] == 0
    assert stream.letter_ids() == [second]


# --- clients that do not behave ------------------------------------------------------------------------


def answered(client: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    found = b""
    try:
        while chunk := client.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


HEAD = b"GET /status HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(100_000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,  # TLS
        b"\x00" * 1000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/dead/remove HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["header", "line", "headers", "tls", "nul", "version", "length", "smuggling"],
)
def test_what_is_no_request_is_refused_without_a_banner(admin: AdminServer, sent: bytes) -> None:
    with admin.connect() as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have heard enough
            client.sendall(sent)
        found = answered(client)
    # A reset may overtake the answer; what is answered is a refusal in our form.
    if found:
        head = found.partition(b"\r\n\r\n")[0]
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert all(name.encode() in head for name in HEADERS_ALWAYS)
        assert b"aiohttp" not in found
        assert b"Python" not in found
    assert admin.get("/health").status_code == 200


def test_a_request_without_a_name_is_refused(admin: AdminServer) -> None:
    with admin.connect() as client:
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 421 " in answered(client)


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD],
    ids=["nothing", "half", "second half"],
)
def test_a_slow_client_is_cut_off(admin: AdminServer, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(listener._PARSING, "keepalive_timeout", 0.5)
    with admin.connect() as client:
        client.sendall(sent)
        client.settimeout(0.1)
        began, hung_up = time.monotonic(), False
        while not hung_up and time.monotonic() - began < 20:
            try:
                client.sendall(b"X: y\r\n" if sent else b"")
                hung_up = client.recv(65536) == b""
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                hung_up = True
        assert hung_up


def test_a_slow_body_is_not_waited_for(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmail_ingest.admin.api.BODY_TIMEOUT_S", 0.5)
    head = (
        f"POST /api/dead/remove HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with admin.connect() as client:
        client.sendall(head.encode())
        assert b" 408 " in answered(client)


def test_a_client_that_takes_no_answer_is_cut_off(stream: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "UNREAD_TIMEOUT_MS", 500)
    with admin_server(stream.url) as admin, admin.connect() as client:
        client.settimeout(0.1)
        request = HEAD + b"\r\n"

        def hung_up() -> bool:
            try:
                client.sendall(request * 200)
            except TimeoutError:
                return False  # it reads no more, for nothing it sent was taken
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        wait_until(hung_up, "it hung up")
        assert admin.get("/health").status_code == 200


def test_more_connections_than_there_shall_be_are_told_so(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 5)
    clients = [admin.connect() for _ in range(5)]
    for client in clients:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in client.recv(65536)
    with admin.connect() as client:
        assert b" 503 " in answered(client)
    for client in clients:
        client.close()
    wait_until(lambda: _works(admin), "there is room again")


def _works(admin: AdminServer) -> bool:
    with admin.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in answered(client)


# --- the rest ------------------------------------------------------------------------------------------


def test_metrics_are_asked_for_in_the_scrapers_format(admin: AdminServer) -> None:
    response = admin.get("/metrics", Accept="application/openmetrics-text")
    assert response.text == "# application/openmetrics-text\n"
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_a_port_for_metrics_has_nothing_else(stream: Operated) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with admin_server(stream.url, metrics_port=port) as admin:
        other = f"http://127.0.0.1:{port}"
        assert requests.get(f"{other}/metrics", timeout=10).status_code == 200
        assert requests.get(f"{other}/health", timeout=10).status_code == 200
        for path in ("/", "/status", "/ready", "/api/dead", "/api/session"):
            assert requests.get(other + path, timeout=10).status_code == 404
        assert admin.get("/metrics").status_code == 200


def test_status_says_how_all_stands(admin: AdminServer, stream: Operated) -> None:
    stream.append(1, 2)
    wait_until(lambda: admin.get("/status").json()["stream"]["to_handle"] == 2, "two mails are seen")
    told = admin.get("/status").json()
    assert (told["version"], told["node"], told["redis"]["ok"]) == ("9.9.9", "node", True)
    assert [role["role"] for role in told["roles"]] == ["worker", "producer"]
    assert told["processes"][0]["doing"] == "watches the others"
    assert [lane["mails"] for lane in told["stream"]["lanes"]] == [0, 2, 0]


def test_events_are_sent_to_all_who_listen(admin: AdminServer) -> None:
    listeners = [requests.get(f"{admin.url}/api/events", stream=True, timeout=20) for _ in range(20)]
    for response in listeners:
        assert response.headers["Content-Type"] == "text/event-stream"
        seen = _events(response)
        first, second = next(seen), next(seen)
        assert second["time"] > first["time"]
        assert set(first) == set(admin.get("/status").json())
        response.close()


def _events(response: requests.Response) -> Iterator[dict[str, object]]:
    for line in response.iter_lines():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_no_more_may_listen_than_there_shall_be(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmail_ingest.admin.events.LISTENERS_MAX", 1)
    with requests.get(f"{admin.url}/api/events", stream=True, timeout=20) as first:
        next(_events(first))
        assert error(admin.get("/api/events")) == (503, "busy")

    def free() -> bool:
        with requests.get(f"{admin.url}/api/events", stream=True, timeout=20) as again:
            return again.status_code == 200

    wait_until(free, "there is room again")

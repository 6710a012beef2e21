"""The handler `webhook` against real sockets: what is sent, what an answer means, and sinks that mean harm."""

import base64
import json
import logging
import socket
from email.message import EmailMessage
from pathlib import Path

import aiohttp.resolver
import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from support.http_sink import HttpSink, certificate, never_ends, says, sends, silence

from fastmail_ingest.config import Config, HandlerConfig
from fastmail_ingest.config.failure import DEPENDENCY_ERRORS
from fastmail_ingest.config.outgoing import WebhookConfig
from fastmail_ingest.errors import HandlerLoadError, SinkUnavailable
from fastmail_ingest.handler.chain import load
from fastmail_ingest.handler.webhook import Webhook
from fastmail_ingest.model.trace import parse
from fastmail_ingest.policy.faulty import speaks_of_a_dependency
from fastmail_ingest.testing import Outcome, run_handler

SECRET = "whsec_" + base64.b64encode(b"first secret of thirty-two bytes").decode()
OTHER = "whsec_" + base64.b64encode(b"other secret of thirty-two bytes").decode()
RAW = b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: H\xc3\xa4llo\r\nX-Ticket: 7\r\n\r\nsome text\r\n"
LONG_S = 60.0  # a deadline that no test reaches
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def webhook(url: str, **settings: object) -> Webhook:
    section = WebhookConfig(url=url, **{"secret": SECRET, "allow_private": True, **settings})
    return Webhook(Config(webhook=section))


def sent(sink: HttpSink, raw: bytes = RAW, attempt: int = 1, **settings: object) -> Outcome:
    return run_handler(webhook(sink.url, **settings), raw, attempt=attempt)


def test_a_request_is_signed_and_says_what_the_mail_is() -> None:
    with HttpSink() as sink:
        assert sent(sink, headers=["x-ticket"]).done
    (request,) = sink.requests
    assert request.line == "POST /hook HTTP/1.1"
    event = Verifier(SECRET).verify(request.body, request.headers)
    assert event == json.loads(request.body)
    assert event["type"] == "mail.received"
    mail = event["data"]
    assert (mail["account"], mail["subject"], mail["text"].strip()) == ("test", "Hällo", "some text")
    assert (mail["sender"], mail["sender_name"]) == ("ann@example.org", "Ann")
    assert mail["to"] == [{"name": "", "address": "bob@example.net"}]
    assert mail["headers"] == {"x-ticket": ["7"]}
    assert request.headers["idempotency-key"] == request.headers["webhook-id"]
    assert parse(request.headers["traceparent"]) is not None
    assert mail["id"] not in request.headers["webhook-id"]


def test_while_a_secret_is_changed_both_verify() -> None:
    with HttpSink() as sink:
        assert sent(sink, secret=f"{OTHER} {SECRET}").done
    (request,) = sink.requests
    for secret in (SECRET, OTHER):
        assert Verifier(secret).verify(request.body, request.headers)


def test_a_mail_that_comes_again_is_the_same_request() -> None:
    with HttpSink() as sink:
        run_handler(hook := webhook(sink.url), RAW)
        run_handler(hook, RAW, attempt=2)
    first, second = sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert json.loads(first.body)["data"] == json.loads(second.body)["data"]


def test_attachments_go_with_their_content_up_to_a_limit() -> None:
    message = EmailMessage()
    message["From"] = "ann@example.org"
    message.set_content("see attached\n")
    message.add_attachment(b"x" * 100, maintype="application", subtype="pdf", filename="a.pdf")
    for limit, content in ((100, base64.b64encode(b"x" * 100).decode()), (99, None)):
        with HttpSink() as sink:
            assert sent(sink, message.as_bytes(), content_limit=limit).done
        (attachment,) = json.loads(sink.requests[0].body)["data"]["attachments"]
        assert (attachment["filename"], attachment["size"]) == ("a.pdf", 100)
        assert attachment.get("content") == content


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_done(status: int) -> None:
    with HttpSink(says(status)) as sink:
        assert sent(sink).done


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_a_mail_is_to_blame_for_rejects_it_with_the_beginning_of_the_answer(status: int) -> None:
    with HttpSink(says(status, b"no \x1b[31msuch\r\ncustomer" + b"!" * 5000)) as sink:
        outcome = sent(sink)
    assert outcome.rejected
    shown = outcome.reason.partition(f" answered {status}: ")[2]
    assert shown.startswith("no [31msuch customer!!!")
    assert len(shown) == 200


@pytest.mark.parametrize(
    "status", [401, 403, 404, 405, 408, 409, 410, 418, 425, 429, 500, 502, 503, 504, 599]
)
def test_what_no_mail_is_to_blame_for_makes_them_all_wait(status: int) -> None:
    with HttpSink(says(status, b"busy", Retry_After="7")) as sink:
        outcome = sent(sink)
    assert outcome.retry
    assert outcome.after_s == 7.0
    assert f"answered {status}: busy. remedy: " in outcome.reason
    assert speaks_of_a_dependency(outcome.exception, DEPENDENCY_ERRORS)


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("99999999999", 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
    ],
)
def test_retry_after_may_be_a_date_and_is_not_for_ever(said: str, after: float) -> None:
    with HttpSink(says(503, Retry_After=said)) as sink:
        assert sent(sink).after_s == after


@pytest.mark.parametrize("said", ["soon", "-1", "1.5", "\xb2", ""])
def test_a_retry_after_that_says_nothing_leaves_it_to_the_rules(said: str) -> None:
    with HttpSink(says(503, Retry_After=said)) as sink:
        outcome = sent(sink)
    assert isinstance(outcome.exception, SinkUnavailable)
    assert outcome.exception.after is None


def test_500s_and_then_200() -> None:
    with HttpSink(says(500), says(503), says(200)) as sink:
        outcomes = [sent(sink, attempt=attempt) for attempt in (1, 2, 3)]
    assert [outcome.done for outcome in outcomes] == [False, False, True]
    assert len(set(sink.ids())) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with HttpSink() as inner, HttpSink(says(status, Location=inner.url)) as sink:
        outcome = sent(sink)
    assert inner.connections == 0
    assert outcome.retry
    assert "redirects are not followed. remedy: " in outcome.reason


HANGING = {
    "silent": silence,
    "headers without end": never_ends(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "many headers": never_ends(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "early hints without end": never_ends(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "no HTTP": sends(b"220 mail.example.com ESMTP\r\n"),
    "a body of two lengths": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "no chunks": sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a body behind 204": sends(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", keep=True),
    "100 and no more": sends(b"HTTP/1.1 100 Continue\r\n\r\n", keep=True),
    "another protocol": sends(
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", keep=True
    ),
    "hangs up": sends(b""),
    "hangs up in its headers": sends(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "an error without end": never_ends(b"HTTP/1.1 500 No\r\nContent-Length: 9999999999\r\n\r\n", b"x" * 65536),
    "half an error": sends(b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nhalf"),
}  # fmt: skip


@pytest.mark.parametrize("answer", HANGING.values(), ids=HANGING)
def test_a_sink_that_gives_no_good_answer_is_tried_again(answer: object) -> None:
    with HttpSink(answer) as sink:
        outcome = sent(sink, total_timeout=0.5)
    assert outcome.retry, str(outcome)
    assert speaks_of_a_dependency(outcome.exception, DEPENDENCY_ERRORS)


TAKEN = {
    "without end": never_ends(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", b"x" * 65536),
    "without end or length": never_ends(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "in chunks without end": never_ends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"
    ),
    "behind early hints": sends(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    ),
    "followed by another": sends(OK + b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", keep=True),
    "half": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"),
    "a bomb": sends(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    ),
}


@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
def test_2xx_is_done_whatever_becomes_of_the_rest(answer: object) -> None:
    with HttpSink(answer) as sink:
        assert sent(sink, total_timeout=LONG_S).done
        assert len(sink.requests) == 1


def test_a_connection_that_ended_while_it_was_kept_costs_no_attempt() -> None:
    with HttpSink(sends(b""), says(200)) as sink:
        assert sent(sink).done
    first, second = sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_connections_are_kept() -> None:
    with HttpSink() as sink:
        hook = webhook(sink.url)

        class Thrice:
            startup, shutdown = hook.startup, hook.shutdown

            async def __call__(self, email: object) -> None:
                for _ in range(3):
                    await hook(email)

        assert run_handler(Thrice(), RAW).done
    assert (len(sink.requests), sink.connections) == (3, 1)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    outcome = run_handler(webhook(f"http://127.0.0.1:{port}/"), RAW)
    assert outcome.retry
    assert "cannot connect: " in outcome.reason
    assert outcome.reason.count("remedy: ") == 1


def leads(monkeypatch: pytest.MonkeyPatch, address: str, port: int) -> None:
    """Whatever name is looked up leads to `address`."""
    found = {
        "hostname": "hooks.example.com", "host": address, "port": port,
        "family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST,
    }  # fmt: skip

    async def resolve(*_: object, **__: object) -> list[dict[str, object]]:
        return [found]

    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", resolve)


def test_a_name_that_leads_home_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is harmless; the address that it has in the moment of connecting is not."""
    with HttpSink() as sink:
        leads(monkeypatch, "127.0.0.1", sink.port)
        outcome = run_handler(webhook("https://hooks.example.com/", allow_private=False), RAW)
        assert outcome.retry
        assert "127.0.0.1 is no public address. remedy: allow_private = true" in outcome.reason
        assert sink.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]"])
def test_an_address_at_home_is_not_connected_to(host: str) -> None:
    outcome = run_handler(webhook(f"https://{host}:9/", allow_private=False), RAW)
    assert outcome.retry
    assert "no public address" in outcome.reason


def test_plain_http_does_not_leave_the_house(monkeypatch: pytest.MonkeyPatch) -> None:
    leads(monkeypatch, "93.184.216.34", 80)
    outcome = run_handler(webhook("http://hooks.example.com/"), RAW)
    assert "93.184.216.34 is a public address. remedy: write https:// into url" in outcome.reason
    with pytest.raises(HandlerLoadError, match=r"http:// .* remedy: write https://"):
        webhook("http://hooks.example.com/", allow_private=False)


def test_the_certificate_must_be_good(tmp_path: Path) -> None:
    pem, tls = certificate(tmp_path / "good")
    with HttpSink(tls=tls) as sink:
        assert sent(sink, tls_ca_file=str(pem)).done
        outcome = sent(sink)
        assert outcome.retry
        assert "certificate cannot be trusted" in outcome.reason
    pem, tls = certificate(tmp_path / "another's", "127.0.0.2")
    with HttpSink(tls=tls) as sink:
        assert "certificate cannot be trusted" in sent(sink, tls_ca_file=str(pem)).reason
        assert sink.requests == []


def test_proxies_and_cookies_are_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink() as proxy, HttpSink(says(200, Set_Cookie="a=b")) as sink:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        hook = webhook(sink.url)
        run_handler(hook, RAW)
        run_handler(hook, RAW)
    assert proxy.connections == 0
    assert all("cookie" not in request.headers for request in sink.requests)


@pytest.mark.parametrize("answer", [says(500), says(404), silence, sends(b"garbage\r\n\r\n")])
def test_neither_secret_nor_path_is_told(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with HttpSink(answer) as sink:
        outcome = run_handler(webhook(f"{sink.url}/planted-path?token=planted-token", total_timeout=0.5), RAW)
    told = f"{outcome} {outcome.reason} {caplog.text} {webhook(sink.url)!r}"
    for secret in ("planted", SECRET.removeprefix("whsec_"), "first secret"):
        assert secret not in told


BAD = [
    ("https://[::1/", "Invalid IPv6 URL"), ("https://[zz]/", ".*brackets"), ("https://:443/", ".*host is required"),
    ("https://h:99999/", "Port out of range"), ("https://h:0/", "it needs a host, and a port"),
    ("https://h:port/", ".*port can't be"), ("https://a..b/", ".*label empty or too long"),
    (f"https://{'a' * 64}.example.com/", ".*label empty or too long"), ("https://a\\b/", ".*backslash"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": ""}, r"url is not set\. remedy: "),
        *(
            ({"url": url}, rf"\[webhook\] url: nothing can be sent there: {words}.*\. remedy: ")
            for url, words in BAD
        ),
        ({"url": "https://h/", "secret": ""}, "no signing secret is set"),
        ({"url": "https://h/", "secret": "whsec_c2hvcnQ="}, r"24 to 64 bytes in base64, .*\(not shown\)"),
        ({"url": "https://h/", "secret": "hunter2" * 9}, "expected whsec_"),
        ({"url": "https://h/", "secret": SECRET, "tls_ca_file": "/nowhere.pem"}, "cannot be used: .* remedy"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(settings: dict[str, str], words: str) -> None:
    config = Config(handler=HandlerConfig(target="webhook"), webhook=WebhookConfig(**settings))
    with pytest.raises(HandlerLoadError, match=words) as caught:
        load(config, [])
    assert "hunter2" not in str(caught.value)


def test_names_in_any_script_are_taken() -> None:
    for url in ("https://straße.example/", "https://[::1]:8443/", "https://h./a?b=c", "https://h:/"):
        webhook(url)

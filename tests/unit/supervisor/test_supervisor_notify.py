"""sd_notify on real sockets: paths and abstract names, nobody there, somebody who does not read."""

import logging
import os
from pathlib import Path

import pytest
from support.service_manager import ServiceManager

from fastmail_ingest.supervisor.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_it_speaks_to_a_path_and_to_an_abstract_name(tmp_path: Path, abstract: bool) -> None:
    with ServiceManager(None if abstract else tmp_path) as manager:
        notifier = Notifier.take({"NOTIFY_SOCKET": manager.address})
        assert notifier.send(READY=1, STATUS="all is well")
        assert manager.listen() == [{"READY": "1", "STATUS": "all is well"}]


def test_the_variables_are_taken_out_of_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier.take(environ)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("usec", "pid", "expected_s"),
    [
        ("5000000", "", 5.0),
        ("5000000", "ours", 5.0),
        ("5000000", "1", 0.0),
        ("", "", 0.0),
        ("-1", "", 0.0),
        ("x", "", 0.0),
        ("٣", "", 0.0),
    ],
)
def test_the_watchdog_is_heeded_if_it_means_us(usec: str, pid: str, expected_s: float) -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec}
    if pid:
        environ["WATCHDOG_PID"] = str(os.getpid()) if pid == "ours" else pid
    assert Notifier.take(environ).watchdog_s == expected_s


@pytest.mark.parametrize("address", ["", "@", "/", "vsock:2:1234", "relative/path"])
def test_without_a_socket_that_we_know_it_says_nothing(address: str) -> None:
    notifier = Notifier.take({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "5000000"})
    assert not notifier
    assert notifier.watchdog_s == 0.0
    assert notifier.send(READY=1)


def test_a_text_cannot_become_a_second_variable() -> None:
    with ServiceManager() as manager:
        Notifier(manager.address).send(STATUS="worker died:\nSTOPPING=1\r\x1b[31m" + "x" * 5000)
        (heard,) = manager.listen()
    assert list(heard) == ["STATUS"]
    assert heard["STATUS"].startswith("worker died: STOPPING=1 [31mxxx")
    assert len(heard["STATUS"]) == 400


def test_nobody_there_is_said_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "notify"))
    with caplog.at_level(logging.WARNING):
        assert not notifier.send(READY=1)
        assert not notifier.send(READY=1)
    assert len(caplog.records) == 1
    with ServiceManager(tmp_path) as manager:
        assert notifier.send(READY=1)
        assert manager.listen() == [{"READY": "1"}]


@pytest.mark.parametrize("watchdog_s", [0.0, 10.0])
def test_who_only_waited_for_us_may_leave(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, watchdog_s: float
) -> None:
    notifier = Notifier(str(tmp_path / "notify"), watchdog_s)
    with ServiceManager(tmp_path):
        assert notifier.send(READY=1)
    assert not notifier.send(STATUS="running")
    # A manager that watches us must be there.
    assert bool(notifier) is bool(watchdog_s)
    assert len(caplog.records) == (1 if watchdog_s else 0)


def test_it_never_waits_for_a_manager_that_does_not_read(tmp_path: Path) -> None:
    with ServiceManager(tmp_path) as manager:
        notifier = Notifier(manager.address)
        sent = 0
        while notifier.send(STATUS="x" * 300):
            sent += 1
        assert sent > 0
        heard = len(manager.listen())
        assert heard == sent
        assert notifier.send(READY=1)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    with ServiceManager(tmp_path) as manager:
        notifier = Notifier(manager.address)
        notifier.send(READY=1)
        before = set(os.listdir("/proc/self/fd"))
        for _ in range(10):
            notifier.send(READY=1)
        assert set(os.listdir("/proc/self/fd")) == before

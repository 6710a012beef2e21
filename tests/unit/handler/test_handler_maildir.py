"""A Maildir: each mail one file, whole, under a name that a second time would have, too."""

import mailbox
import os
from pathlib import Path
from typing import Any

import pytest
from support.kept_mail import PLAIN, deaths, mail

from fastmail_ingest.config.boxed_files import MaildirConfig
from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.handler import maildir
from fastmail_ingest.handler.maildir import Maildir


def handler(directory: Path, **settings: Any) -> Maildir:
    made = Maildir(MaildirConfig(directory=str(directory), **settings))
    made.startup()
    return made


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_another_program_reads_it(tmp_path: Path) -> None:
    handler(tmp_path / "M")([mail(1), mail(2)])
    read = mailbox.Maildir(tmp_path / "M", create=False)
    assert [read.get_bytes(key) for key in read.keys()] == [PLAIN] * 2  # noqa: SIM118
    assert (tmp_path / "M").stat().st_mode & 0o077 == 0


def test_a_mail_that_comes_again_replaces_its_file(tmp_path: Path) -> None:
    handler(tmp_path)([mail(1)])
    before = files(tmp_path)
    handler(tmp_path)([mail(1, attempt=2)])
    assert files(tmp_path) == before
    assert (tmp_path / before[0]).read_bytes() == PLAIN


def test_a_mail_that_a_reader_has_moved_does_not_come_back(tmp_path: Path) -> None:
    made = handler(tmp_path)
    made([mail(1)])
    (new,) = (tmp_path / "new").iterdir()
    new.rename(tmp_path / "cur" / f"{new.name}:2,FS")
    made([mail(1, attempt=2), mail(2, attempt=2)])
    assert len(list((tmp_path / "new").iterdir())) == len(list((tmp_path / "cur").iterdir())) == 1


def test_flags_go_along(tmp_path: Path) -> None:
    handler(tmp_path, flags=True)([mail(1)])  # the mail is \\Seen
    (name,) = files(tmp_path)
    assert name.startswith("cur/")
    assert name.endswith(":2,S")


@pytest.mark.parametrize("patch", [(os, "fsync"), (Path, "rename"), (maildir, "sync_directory")])
def test_killed_at_whatever_point_each_mail_has_one_whole_file(
    tmp_path: Path, patch: tuple[object, str]
) -> None:
    mails = [mail(uid, attempt=2) for uid in range(3)]
    for left in deaths(lambda directory: handler(directory)(mails), tmp_path, patch):
        assert {path.read_bytes() for path in (left / "new").glob("*")} <= {PLAIN}
        handler(left)(mails)
        assert [path.read_bytes() for path in (left / "new").iterdir()] == [PLAIN] * 3


def test_what_crashes_left_long_ago_is_removed(tmp_path: Path) -> None:
    handler(tmp_path, folders="account")([mail(1)])
    folder = tmp_path / ".a"
    for name in ("1.ab.fastmail-ingest.1", "1.cd.fastmail-ingest.2", "1.of-others"):
        (folder / "tmp" / name).touch()
    for name in ("1.ab.fastmail-ingest.1", "1.of-others"):
        os.utime(folder / "tmp" / name, (0, 0))
    handler(tmp_path)
    assert sorted(path.name for path in (folder / "tmp").iterdir()) == [
        "1.cd.fastmail-ingest.2",
        "1.of-others",
    ]


@pytest.mark.parametrize(
    ("folders", "name", "folder"),
    [
        ("account", "INBOX", ".a"),
        ("mailbox", "INBOX", ".a.INBOX"),
        ("mailbox", "Clients/Müller", ".a.Clients.M&APw-ller"),
        ("mailbox", "../../etc/v1.2", ".a.__.__.etc.v1_2"),
        ("mailbox", "/a\nb/", ".a.a_b"),
    ],
)
def test_a_folder_for_each_account_or_mailbox(folders: Any, name: str, folder: str, tmp_path: Path) -> None:
    handler(tmp_path / "M", folders=folders)([mail(1, mailbox=name)])
    assert [path.name for path in (tmp_path / "M").iterdir() if path.name.startswith(".")] == [folder]
    assert len(list((tmp_path / "M" / folder / "new").iterdir())) == 1
    assert (tmp_path / "M" / folder / "maildirfolder").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["M"]


def test_names_that_are_too_long_are_cut_and_stay_apart(tmp_path: Path) -> None:
    handler(tmp_path, folders="mailbox")([mail(1, mailbox="x" * 300), mail(1, mailbox="x" * 301)])
    assert len(list(tmp_path.glob(".a.x*"))) == 2


def test_a_mail_whose_bytes_are_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    class Gone(type(mail(1))):  # type: ignore[misc]
        def open(self) -> Any:
            raise OSError("its file is gone")

    with pytest.raises(OSError, match="gone"):
        handler(tmp_path)([mail(0), Gone(mail(1)._envelope)])
    assert len(files(tmp_path)) == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_wrong_place_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HandlerLoadError, match=r"\[maildir\] directory.*remedy: "):
        Maildir(MaildirConfig(directory=str(tmp_path / "file")))

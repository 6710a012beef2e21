"""Archives in files and folders: found by what is in them, read from any position, broken ones told apart."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fastmail_ingest.archive.archives import Archive
from fastmail_ingest.archive.find import find
from fastmail_ingest.errors import ArchiveChanged, ArchiveError
from fastmail_ingest.model.archived import Archived

MAX = 1 << 20
LINE = b"From x@y Thu Aug 04 14:46:24 2011\n"


def mbox(*numbers: int) -> bytes:
    return b"".join(LINE + b"Subject: %d\n\nbody %d\n\n" % (number, number) for number in numbers)


def subjects(mails: list[Archived]) -> list[int]:
    return [int(mail.raw.partition(b"\r\n")[0].removeprefix(b"Subject: ")) for mail in mails]


def one(path: Path) -> Archive:
    (archive,) = find(path, pytest.fail)
    return archive


def read(archive: Archive, position: int = 0) -> list[Archived]:
    return list(archive.mails(position, MAX))


def plain(path: Path, content: dict[str, bytes]) -> None:
    path.write_bytes(b"".join(content.values()))


def gzipped(path: Path, content: dict[str, bytes]) -> None:
    path.write_bytes(gzip.compress(b"".join(content.values())))


def zipped(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("Takeout/archive_browser.html", b"<html>")
        for name, data in content.items():
            file.writestr(name, data)


def tarred(path: Path, content: dict[str, bytes], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as file:
        for name, data in {"Takeout/archive_browser.html": b"<html>", **content}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def tarred_plainly(path: Path, content: dict[str, bytes]) -> None:
    tarred(path, content, "w")


PACKED = [plain, gzipped, zipped, tarred, tarred_plainly]


def lengthy(number: int, tail: bytes) -> bytes:
    """A mail with a Content-Length that is true only if `tail`, which looks like another mail, is of it."""
    body = b"body %d\n\n%b" % (number, tail)
    return LINE + b"Subject: %d\nContent-Length: %d\n\n%b\n" % (number, len(body), body)


FIRST_MAILS = {
    "without a length": mbox(1),
    "with a length": lengthy(1, b""),
    "without a date": b"From x\nSubject: 1\n\nbody\n\n",
    "of many blocks": LINE + b"Subject: 1\nContent-Length: 600000\n\n" + b"x" * 599_999 + b"\n\n",
}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("first", FIRST_MAILS.values(), ids=FIRST_MAILS)
def test_the_first_mail_tells_how_to_split_also_from_the_middle_on(
    tmp_path: Path, pack, first: bytes
) -> None:
    path = tmp_path / "x"
    undated = b"From here\nSubject: 5\n\nbody\n\n"
    pack(path, {"Mail/a.mbox": first + mbox(2) + lengthy(3, mbox(4)[:-1]) + undated + mbox(6)})
    found = read(one(path))
    assert len(found) >= 3
    for at, mail in enumerate(found):
        assert read(one(path), mail.position) == found[at + 1 :]


@pytest.mark.parametrize("pack", PACKED)
def test_each_kind_is_read_from_any_position(tmp_path: Path, pack) -> None:
    path = tmp_path / "no name that tells"
    pack(path, {"Mail/a.mbox": mbox(1, 2, 3), "Mail/b.mbox": mbox(4, 5)})
    archive = one(path)
    found = read(archive)
    assert subjects(found) == [1, 2, 3, 4, 5]
    assert archive.done == archive.size == path.stat().st_size
    assert archive.ignored == (pack in {zipped, tarred, tarred_plainly})
    for at, mail in enumerate(found):
        assert read(one(path), mail.position) == found[at + 1 :]


def test_single_mails_in_a_zip(tmp_path: Path) -> None:
    zipped(
        tmp_path / "a.zip", {"1.eml": b"Subject: 1\n\nx\n", "n.txt": b"note\n", "2.eml": b"Subject: 2\n\nx\n"}
    )
    archive = one(tmp_path / "a.zip")
    found = read(archive)
    assert subjects(found) == [1, 2]
    assert archive.ignored == 2
    assert subjects(read(archive, found[0].position)) == [2]


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"):
        (tmp_path / "Maildir" / folder).mkdir(parents=True)
    made = tmp_path / "Maildir"
    (made / "cur/100.a.host:2,FS").write_bytes(b"Subject: 1\n\nx\n")
    (made / "new/200.b.host").write_bytes(b"Subject: 2\n\nx\n")
    (made / "cur/300.c.host:2,").write_bytes(b"no header at all\n")
    (made / "tmp/400.d.host").write_bytes(b"Subject: half\n")
    (made / "dovecot-uidlist").write_bytes(b"3 V1 N4\n1 :100.a.host\n")
    (made / ".Sent/cur/500.e.host:2,RT").write_bytes(b"Subject: 5\n\nx\n")
    return made


def test_a_maildir_with_its_flags_and_folders(maildir: Path) -> None:
    os.utime(maildir / "cur/100.a.host:2,FS", (1000, 1000))
    inbox, sent = sorted(find(maildir, pytest.fail), key=lambda archive: str(archive.path))
    first, second, third = read(inbox)
    assert subjects([first, second]) == [1, 2]
    assert third.raw == b"no header at all\r\n"
    assert (first.flags, first.internal_date) == (("\\Flagged", "\\Seen"), 1000.0)
    assert second.flags == ()
    assert [mail.flags for mail in read(sent)] == [("\\Answered", "\\Deleted")]
    assert read(inbox, second.position) == [third]


def test_a_maildir_that_changes_is_another(maildir: Path) -> None:
    def prints() -> set[str]:
        return {archive.fingerprint for archive in find(maildir, pytest.fail)}

    before = prints()
    assert prints() == before
    (maildir / "new/600.f.host").write_bytes(b"Subject: 6\n\nx\n")
    assert len(prints() - before) == 1


def test_equal_names_in_two_folders_are_two_archives(tmp_path: Path) -> None:
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "1.eml").write_bytes(b"Subject: 1\n\nx\n")
        os.utime(tmp_path / year / "1.eml", (1, 1))
    first, second = find(tmp_path, pytest.fail)
    assert first.fingerprint != second.fingerprint


def test_a_folder_with_a_bit_of_everything(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "1.eml").write_bytes(b"Subject: 1\r\n\r\nx\r\n")
    (tmp_path / "deep/2").write_bytes(mbox(2))
    gzipped(tmp_path / "deep/er/3.mbox.gz", {"": mbox(3)})
    for name, data in {
        "empty": b"", "note.txt": b"Note: buy milk\n", "From.txt": b"From here on\nall is well\n",
        "b.png": b"\x89PNG\r\n", "g.gz": gzip.compress(b"nothing"), "x.json": b'{"a": 1}',
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    assert sorted(
        number for archive in find(tmp_path, pytest.fail) for number in subjects(read(archive))
    ) == [1, 2, 3]


def test_loops_links_and_odd_names(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "outside.eml").write_bytes(b"Subject: 1\n\nx\n")
    (top / "linked.eml").symlink_to(tmp_path / "outside.eml")
    (top / "loop").symlink_to(top)
    (top / "broken").symlink_to(top / "nowhere")
    (top / "itself").symlink_to(top / "itself")
    os.mkfifo(top / "pipe")
    Path(os.fsdecode(os.fsencode(top) + b"/caf\xe9.mbox")).write_bytes(mbox(2))
    found = find(top, pytest.fail)
    assert sorted(number for archive in found for number in subjects(read(archive))) == [1, 2]
    assert all(archive.name.encode() for archive in found)


NO_MAIL = {
    "text": b"Dear diary,\nFrom: nobody\n", "from": b"From here on\nall is well\n", "binary": bytes(range(256)),
    "note": b"Note: nothing\n\nFrom: x\n", "gzip": gzip.compress(b"not a mail"), "zeros": b"\0" * 4096,
}  # fmt: skip


@pytest.mark.parametrize("what", NO_MAIL)
def test_what_is_no_mail_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(NO_MAIL[what])
    with pytest.raises(ArchiveError, match=r"a\.mbox: holds no mail.*remedy"):
        find(path, pytest.fail)


def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for name, words in (("pipe", "no regular file"), ("nothing", "No such file"), ("empty", "holds no mail")):
        with pytest.raises(ArchiveError, match=words):
            find(tmp_path / name, pytest.fail)
    (tmp_path / "a.mbox").write_bytes(mbox(1))
    (tmp_path / "secret.mbox").write_bytes(mbox(2))
    real = os.open

    def forbidden(path, *args, **options):
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(ArchiveError, match="Permission denied"):
        find(tmp_path / "secret.mbox", pytest.fail)
    problems: list[str] = []
    assert [subjects(read(archive)) for archive in find(tmp_path, problems.append)] == [[1]]
    assert len(problems) == 1


def test_an_empty_file_is_an_empty_mbox(tmp_path: Path) -> None:
    (tmp_path / "Drafts").write_bytes(b"")
    assert read(one(tmp_path / "Drafts")) == []


def _read_until_it_breaks(archive: Archive) -> tuple[list[Archived], str]:
    """What comes before the error, and the error's words."""
    found: list[Archived] = []
    try:
        for mail in archive.mails(0, MAX):
            found.append(mail)  # noqa: PERF402 - what comes before the error is kept
    except ArchiveError as error:
        return found, str(error)
    raise AssertionError("it does not break")


MANY = range(1, 4000)


@pytest.mark.parametrize("pack", [gzipped, zipped, tarred])
def test_a_download_that_was_cut(tmp_path: Path, pack) -> None:
    path = tmp_path / "a"
    pack(
        path,
        {
            "Mail/a.mbox": b"".join(
                LINE + b"Subject: %d\n\n%b\n\n" % (n, os.urandom(900).hex().encode()) for n in MANY
            )
        },
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if pack is zipped:  # its list of contents is at the end
        assert "cannot be read on" in _read_until_it_breaks(one(path))[1]
        return
    found, words = _read_until_it_breaks(one(path))
    assert "cannot be read on" in words
    assert "remedy" in words
    # Not one that may be a half.
    assert 0 < len(found) < len(MANY)
    assert subjects(found) == list(MANY)[: len(found)]
    assert all(len(mail.raw) > 1800 for mail in found)


def test_a_gzip_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    data = bytearray(
        gzip.compress(b"".join(LINE + b"Subject: %d\n\n%b\n\n" % (n, os.urandom(90)) for n in MANY))
    )
    data[len(data) // 2 : len(data) // 2 + 50] = b"\0" * 50
    path.write_bytes(bytes(data))
    with pytest.raises(ArchiveError, match="cannot be read on"):
        read(one(path))


@pytest.mark.parametrize("pack", [gzipped, tarred])
def test_a_small_archive_that_was_cut_gives_what_can_be_unpacked(tmp_path: Path, pack) -> None:
    path, numbers = tmp_path / "a", range(1, 101)
    text = b"".join(LINE + b"Subject: %d\n\n%b\n\n" % (n, os.urandom(150).hex().encode()) for n in numbers)
    pack(path, {"Mail/a.mbox": text})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found, words = _read_until_it_breaks(one(path))
    assert "cannot be read on" in words
    assert subjects(found) == list(numbers)[: len(found)]
    # What is unpacked at once may be lost with the damage, not more.
    assert len(found) > 30
    assert all(len(mail.raw) > 300 for mail in found)


@pytest.mark.parametrize(("pack", "kept"), [(gzipped, 99), (zipped, 70)])
def test_a_checksum_that_is_wrong_takes_only_the_last_mails(tmp_path: Path, pack, kept: int) -> None:
    path, numbers = tmp_path / "a", range(1, 101)
    pack(path, {"a.mbox": mbox(*numbers)})
    data = bytearray(path.read_bytes())
    # CRC-32: of the gzip in its trailer (RFC 1952 2.3.1), of the zip in its list of contents.
    data[-8 if pack is gzipped else data.rindex(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(bytes(data))
    found, words = _read_until_it_breaks(one(path))
    assert "CRC" in words
    assert subjects(found) == list(numbers)[: len(found)]
    assert len(found) >= kept


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.mbox", mbox(1))
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1  # "encrypted"
    path.write_bytes(bytes(data))
    assert "password" in _read_until_it_breaks(one(path))[1]


@pytest.mark.parametrize("pack", PACKED)
def test_a_position_that_means_nothing_any_more(tmp_path: Path, pack) -> None:
    path = tmp_path / "a"
    pack(path, {"a.mbox": mbox(1, 2, 3)})
    first = read(one(path))[0]
    with pytest.raises(ArchiveChanged):
        read(one(path), first.position + 3)


@pytest.mark.parametrize("pack", PACKED)
def test_a_file_that_has_grown_is_another(tmp_path: Path, pack) -> None:
    path = tmp_path / "a"
    pack(path, {"a.mbox": mbox(1, 2, 3)})
    before = one(path).fingerprint
    assert one(path).fingerprint == before
    pack(path, {"a.mbox": mbox(1, 2, 3, 4)})
    assert one(path).fingerprint != before


def test_a_file_that_vanishes_harms_no_other(maildir: Path) -> None:
    problems: list[str] = []
    archives = find(maildir, problems.append)
    (maildir / "cur/100.a.host:2,FS").unlink()
    found = [mail for archive in archives for mail in read(archive)]
    assert len(found) == 3
    assert len(problems) == 1
    assert "100.a.host" in problems[0]


def test_a_mail_that_is_too_large_keeps_its_beginning(tmp_path: Path) -> None:
    text = b"Subject: 1\n\n" + b"x" * 100_000 + b"\n"
    (tmp_path / "1.eml").write_bytes(text)
    zipped(tmp_path / "1.zip", {"1.eml": text})
    gzipped(tmp_path / "1.gz", {"": text})
    for name in ("1.eml", "1.zip", "1.gz"):
        (mail,) = one(tmp_path / name).mails(0, 70_000)
        assert mail.truncated
        assert mail.size == len(text)
        assert len(mail.raw) == 64 * 1024
        (mail,) = one(tmp_path / name).mails(0, len(text) + 3)
        assert (mail.truncated, mail.size) == (False, len(text) + 3)

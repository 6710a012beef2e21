"""The sections of the handlers that keep mails: [jsonl], [maildir], [sqlite] and [postgres]."""

from typing import Annotated, Literal

from msgspec import Meta

from fastmail_ingest.config.section import MIB, ONE_LINE, TIB, Section, expects

# A name, or schema.name; quoted in every statement all the same. PostgreSQL cuts names at 63 bytes,
# and the table of attachments has a longer one.
_TABLE = r"^([A-Za-z_][A-Za-z0-9_]{0,49}\.)?[A-Za-z_][A-Za-z0-9_]{0,49}\Z"
_POSTGRES_URL = r"^\Z|^postgres(ql)?://[^\x00-\x20\x7f]*\Z"


class JsonlConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "jsonl": one JSON object a line for each mail, in files that rotate."""

    directory: Annotated[
        str,
        Meta(description="Directory of the files, on a disk of this host: each host has one.", min_length=1),
    ] = "mails-jsonl"
    rotate_bytes: Annotated[
        int, Meta(description="A new file above so many bytes; 0 = never for its size.", ge=0, le=TIB)
    ] = 256 * MIB
    rotate_daily: Annotated[bool, Meta(description="A new file each day (UTC).")] = True
    text: Annotated[
        Literal["whole", "preview", "none"],
        Meta(
            description="How much of the plain text, or else of the text of the HTML: all (`text`), its "
            "beginning in one line of at most 200 characters (`preview`), or nothing."
        ),
    ] = "whole"
    raw: Annotated[bool, Meta(description="The whole mail, too, in base64 (`raw`).")] = False


class MaildirConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "maildir": each mail as a file of a Maildir, as it came."""

    directory: Annotated[
        str, Meta(description="The Maildir; it is made if it is not there.", min_length=1)
    ] = "Maildir"
    folders: Annotated[
        Literal["one", "account", "mailbox"],
        Meta(description="All mails in one folder, or one for each account or each mailbox (Maildir++)."),
    ] = "one"
    flags: Annotated[
        bool,
        Meta(description="Seen mails and such go to cur with their flags; else all are new."),
    ] = False


class SqliteConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "sqlite": one row for each mail in an SQLite file.

    Its column `text` has the plain text, or else the text of the HTML.
    """

    path: Annotated[
        str,
        Meta(description="The database, on a disk of this host: each host has one.", min_length=1),
    ] = "mails.db"
    attachments: Annotated[bool, Meta(description="Keep the attachments, too, in a table of their own.")] = (
        False
    )
    raw: Annotated[bool, Meta(description="Keep the whole mail, too, in the column `raw`.")] = False


class PostgresConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "postgres" (extra `postgres`): one row for each mail in a PostgreSQL table.

    Its column `text` has the plain text, or else the text of the HTML.
    """

    url: Annotated[
        str,
        Meta(
            description="postgresql:// address. What it does not say, libpq takes from PGHOST, PGUSER "
            "and its other variables.",
            pattern=_POSTGRES_URL,
            extra=expects("a postgresql:// URL"),
            examples=["postgresql://mail@db.example.com/mail"],
        ),
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File that holds the password, and nothing else (chmod 600).",
            examples=["postgres.password"],
        ),
    ] = ""
    password: Annotated[
        str,
        Meta(
            description="Password; better in password_file or in the environment.",
            pattern=ONE_LINE,
            extra=expects("a string without control characters"),
            examples=["..."],
        ),
    ] = ""
    table: Annotated[
        str,
        Meta(
            description="The table, or schema.table; it is made if it is not there.",
            pattern=_TABLE,
            extra=expects("a table's name, or schema.table, of letters, digits and underscores"),
        ),
    ] = "mails"
    attachments: Annotated[
        bool, Meta(description="Keep the attachments, too, in a table `..._attachments`.")
    ] = False
    raw: Annotated[bool, Meta(description="Keep the whole mail, too, in the column `raw`.")] = False

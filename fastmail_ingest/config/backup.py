"""The section [backup]: where `fastmail-ingest backup` keeps its copies, and how many."""

from typing import Annotated

from msgspec import Meta

from fastmail_ingest.config.section import DAY_S, Section


class BackupConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commands `backup` and `restore`."""

    directory: Annotated[
        str,
        Meta(
            description="Directory of the backups: on another disk than Redis' own data, better on another "
            "host. They hold whole mails, and are readable for this user alone.",
            min_length=1,
        ),
    ] = "fastmail-ingest-backups"
    keep: Annotated[
        int,
        Meta(description="So many backups are kept; older ones go when a new one is whole.", ge=1, le=10000),
    ] = 7
    timeout: Annotated[
        float,
        Meta(description="Redis may take so long to write its snapshot, or to load one, s.", ge=1, le=DAY_S),
    ] = 900.0

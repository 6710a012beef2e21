"""What stands beside a backup: what it is of, what is in it, and how to tell that it is whole."""

import msgspec

from fastmail_ingest.errors import BackupError
from fastmail_ingest.model.tally import Tally

FORMAT = 1


class Manifest(msgspec.Struct, frozen=True):
    """Written when all the rest is on disk: a backup without it is none.

    `taken_at` is when the snapshot was begun (epoch s); `counts` are of about that moment. `checked_by` is
    the server whose checker has read all of it, empty if none could.
    """

    format: int
    taken_at: float
    program: str  # version of fastmail-ingest
    server: str  # as in redis 7.0.15
    prefix: str
    rdb_bytes: int
    rdb_sha256: str
    blob_space: str
    blob_count: int
    blob_bytes: int
    counts: Tally
    checked_by: str = ""
    over_network: bool = False


_decoder = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(text: bytes) -> Manifest:
    """Read a manifest; raises BackupError with the reason."""
    try:
        manifest = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(f"its manifest is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"its manifest has format {manifest.format}, this program reads {FORMAT}. "
            "remedy: use the version that wrote it"
        )
    return manifest

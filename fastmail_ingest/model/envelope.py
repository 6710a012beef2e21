"""One mail as it travels in the stream, and its codec: msgpack arrays with a version in front."""

import msgspec

from fastmail_ingest.errors import UndecodableEntry

CODEC_VERSION = 1
# Of a mail that is in a blob: a reader that knows of none must not take its beginning for the whole.
BLOB_VERSION = 2
_READABLE = (CODEC_VERSION, BLOB_VERSION)


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A fetched mail with all that the mail server said about it.

    Fields may be added at the end only, each with a default: an older reader ignores what it does
    not know, a newer one fills in what is missing. Any other change needs a new CODEC_VERSION.
    """

    version: int
    id: str
    account: str
    mailbox: str
    uid_validity: int
    uid: int
    flags: tuple[str, ...]
    labels: tuple[str, ...]
    thread_id: str
    internal_date: float  # seconds since the epoch, as the server gave it; 0.0 if it gave none
    size: int  # bytes of the whole mail, also when `raw` was cut
    content_hash: bytes  # first 16 bytes of SHA-256 over the raw mail
    fetched_at: float  # seconds since the epoch
    trace_id: str  # 32 hex digits, W3C Trace Context's trace-id
    raw: bytes  # the mail; only its beginning if it was above producer.max_mail or is in a blob
    truncated: bool = False
    blob: str = ""  # where the whole mail is if it was above blobs.inline_limit
    traceparent: str = ""  # see model.trace; empty if its beginning was recorded nowhere

    @property
    def correlation_id(self) -> str:
        """The trace id, by the name that it has in log lines."""
        return self.trace_id


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)

encode = _encoder.encode


def decode(payload: bytes) -> Envelope:
    """Read a stream entry's payload; raise UndecodableEntry with the reason if it is not ours."""
    try:
        envelope = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableEntry(f"not an entry of this program: {error}") from error
    if envelope.version not in _READABLE:
        raise UndecodableEntry(
            f"entry has codec version {envelope.version}, this program reads up to {BLOB_VERSION}: "
            "let the version that wrote it handle it, or upgrade this one"
        )
    return envelope

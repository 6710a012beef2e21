"""Signatures of requests by the Standard Webhooks scheme (github.com/standard-webhooks, spec 1.0)."""

import base64
import binascii
import hashlib
import hmac

from fastmail_ingest.errors import HandlerLoadError

PREFIX = "whsec_"
_BYTES_MIN, _BYTES_MAX = 24, 64  # what the specification asks for
_MAKE_ONE = 'echo "whsec_$(head -c 32 /dev/urandom | base64)"'


def secrets_of(text: str) -> list[bytes]:
    """The secrets in a setting, with spaces between; raises HandlerLoadError, and quotes none."""
    secrets = [_decoded(word) for word in text.split()]
    if not secrets:
        raise HandlerLoadError(
            f"[webhook] secret_file: no signing secret is set. remedy: make one ({_MAKE_ONE}), keep it in a "
            "file (chmod 600), and give it to the receiver"
        )
    return secrets


def _decoded(word: str) -> bytes:
    try:
        secret = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not word.startswith(PREFIX) or not _BYTES_MIN <= len(secret) <= _BYTES_MAX:
        raise HandlerLoadError(
            f"[webhook] secret: expected {PREFIX} and {_BYTES_MIN} to {_BYTES_MAX} bytes in base64, got "
            f"something else (not shown). remedy: make one ({_MAKE_ONE})"
        )
    return secret


def message_id(identity: str) -> str:
    """A mail's name as a header takes it, and without the dots that separate what is signed."""
    return f"mail_{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:32]}"


def headers(secrets: list[bytes], name: str, now: float, body: bytes) -> dict[str, str]:
    """The headers of a signed request; each secret signs, so that it can be changed on either side first."""
    timestamp = str(int(now))
    signed = b".".join((name.encode(), timestamp.encode(), body))
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }

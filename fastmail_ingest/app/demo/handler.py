"""The demo's handler: it reads the mail as a real one would."""

import time

from fastmail_ingest.model.email import Email

_WORK_S = 0.002  # a little work, so that there is something to see


def handle(email: Email) -> None:
    """Read what most handlers read."""
    if email.subject is not None and email.sender is not None and email.text is not None:
        time.sleep(_WORK_S)

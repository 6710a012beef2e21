"""Which mailbox of the server is meant: by its name, or by its use, whatever it is called there."""

from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from fastmail_ingest.source.wire import WiredClient

_NAMES_SHOWN = 20


def resolve(client: WiredClient, mailbox: str) -> str:
    r"""The server's name of a mailbox that the configuration names by its use (RFC 6154), as in \\All.

    Gmail calls it [Gmail]/All Mail, or what that is in the user's language. Other names are returned as
    they are, and so is a use that no mailbox has.
    """
    if not mailbox.startswith("\\"):
        return mailbox
    found = client.find_special_folder(mailbox.encode("ascii", "replace"))
    return mailbox if found is None else str(found)


def refusal(client: WiredClient, mailbox: str, name: str, reason: str) -> str:
    """What to say of a mailbox that was not opened under the server's `name`: it may be misspelt."""
    if mailbox.startswith("\\") and name == mailbox:
        return f"the server marks no mailbox as {mailbox}. remedy: name it by its own name{_there(client)}"
    remedy = f"name mailboxes that exist{_there(client)}"
    return f'mailbox "{mailbox}" cannot be opened: {reason}. remedy: {remedy}'


def _there(client: WiredClient) -> str:
    """What mailboxes there are, behind a colon."""
    try:
        folders = client.list_folders()
    except IMAPClientAbortError:
        raise
    except IMAPClientError:
        return ""
    names = sorted(str(name) for _, _, name in folders)
    return f": {', '.join(names[:_NAMES_SHOWN])}"

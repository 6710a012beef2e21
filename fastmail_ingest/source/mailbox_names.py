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


def remedy(client: WiredClient) -> str:
    """What mailboxes there are, for somebody who has misspelt one."""
    try:
        folders = client.list_folders()
    except IMAPClientAbortError:
        raise
    except IMAPClientError:
        return "remedy: name mailboxes that exist"
    names = sorted(str(name) for _, _, name in folders)
    return f"remedy: name mailboxes that exist: {', '.join(names[:_NAMES_SHOWN])}"

"""What an operator types."""

from fastmail_ingest.config import Account


def setup_command(account: Account) -> str:
    """The command that asks the user of an account for a grant."""
    return f"fastmail-ingest auth setup {account.name}"

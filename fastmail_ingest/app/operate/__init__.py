"""What an operator asks and does: dead letters, retries, the ledger's memory, the audit."""

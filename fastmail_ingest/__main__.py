"""`python -m fastmail_ingest` is the same as the `fastmail-ingest` command."""

from fastmail_ingest.cli.main import main

main()

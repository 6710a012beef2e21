"""`fastmail-ingest bench`: the whole real way, measured."""

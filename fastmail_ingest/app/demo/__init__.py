"""`fastmail-ingest demo`: the main job on sample mailboxes, with a live picture."""

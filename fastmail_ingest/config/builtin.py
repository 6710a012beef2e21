"""The handlers in the box: their names, and the sections that configure them."""

BUILT_IN = ("noop", "log", "classify", "webhook", "redis-stream", "jsonl", "maildir", "sqlite", "postgres")

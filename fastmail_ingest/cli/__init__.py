"""The command line: thin verbs, each loading only what it needs."""

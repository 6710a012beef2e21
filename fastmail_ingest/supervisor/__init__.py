"""Processes: fork, watch, restart, drain. Knows nothing of mail, Redis or configuration files."""

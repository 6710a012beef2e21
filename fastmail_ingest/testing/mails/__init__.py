"""Mails for tests: sound ones with what is in them, and hostile ones, each made from a seed and a number."""

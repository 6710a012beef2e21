"""Archives of mail in files: mbox, Takeout, Maildir, .eml; each a stream of mails that one can go on in."""

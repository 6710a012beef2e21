"""All that knows IMAP: the wire, the FETCH reader, logging in, watching a mailbox."""

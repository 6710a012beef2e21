"""Where the bytes of large mails wait, outside of Redis."""

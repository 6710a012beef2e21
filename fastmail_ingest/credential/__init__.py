"""OAuth2: where access tokens come from and how they are kept. All that knows token endpoints is here."""

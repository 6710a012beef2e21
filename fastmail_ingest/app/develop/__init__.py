"""For whoever writes a handler: a starter, one mail by hand, and reload on change."""

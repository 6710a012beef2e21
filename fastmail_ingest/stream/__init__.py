"""All that knows Redis: the keyspace, the scripts, the connections, our own server."""

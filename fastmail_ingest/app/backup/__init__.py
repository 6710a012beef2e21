"""`backup` and `restore`: copies of the stream that are whole or not there, and the way back."""

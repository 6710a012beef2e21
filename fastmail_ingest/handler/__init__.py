"""The user's function: finding it, and calling it in the way it wants to be called."""

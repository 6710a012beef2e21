"""Pure decisions: facts, the time and a random number come in, a decision comes out."""

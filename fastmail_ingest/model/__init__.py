"""The facts that travel between the parts: frozen structs, no clock, no I/O."""

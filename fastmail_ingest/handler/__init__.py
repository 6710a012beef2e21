"""What is done with each mail: the user's function and its hooks, the handlers in the box, and chains.

Each handler in the box is a file of its name, and all that knows what it writes to.
"""

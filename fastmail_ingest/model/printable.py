"""Text of strangers, made fit to be shown: none of their control characters reach a terminal or a page."""


def clean(text: str, kept: str = "") -> str:
    """The text with everything unprintable replaced, but for the characters in `kept`."""
    return "".join(
        char if char.isprintable() or char in kept else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def clean_lines(text: str) -> str:
    """The same for a text of several lines."""
    return clean(text.replace("\r\n", "\n"), kept="\n\t")

"""Words of the messages for users."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 batch", "2 batches", "1,000 records"."""
    if number != 1:
        noun += "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{number:,} {noun}"

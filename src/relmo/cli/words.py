"""Numbers as the commands print them."""

__all__ = ["in_bytes", "some"]


def in_bytes(n_bytes: int) -> str:
    """999 bytes, 1.2 kB, 3.4 MB, ..."""
    size = float(n_bytes)
    if size < 1000:
        return some(n_bytes, "byte")
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def some(n: int, noun: str) -> str:
    """1 token, 2 tokens, 1,000 tokens."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"

"""How reports write numbers, lists and names of ours."""

from typing import Sequence


def number(x: float) -> str:
    """RETURNS (str): Three digits, or whole."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def join(parts: Sequence[str]) -> str:
    """RETURNS (str): A list in words."""
    *rest, last = parts or ["none"]
    return f"{', '.join(rest)} and {last}" if rest else last


def words(name: str) -> str:
    """RETURNS (str): A name of ours in words."""
    return name.replace("_", " ")

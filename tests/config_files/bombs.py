"""Short texts that expand to very large values."""

from __future__ import annotations


def bomb(levels: int = 9) -> str:
    """A YAML text of a few hundred letters that expands to 10 to the power of `levels` values."""
    aliases = [f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return f"[&a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], {', '.join(aliases)}]"


ALIASES = (bomb(), "&a [*a]")

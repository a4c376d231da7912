"""The exceptions for what a user can cause."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something in the user's files or flags is wrong; the message says what came, what is allowed and what to do."""


class Interrupted(Exception):
    """The user pressed Ctrl-C; the state is saved, and the message says how to go on."""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> UserError:
    """An error for a name that is not in `allowed`, with the nearest allowed name as a suggestion."""
    names = sorted(allowed)
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UserError(f"unknown {kind} {name!r}{hint} Allowed: {', '.join(names)}.")

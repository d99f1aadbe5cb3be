"""Presence: which window has which image open."""

from __future__ import annotations

from bigkingxxl.viewer.contract.common import (
    Count,
    Key,
    WindowId,
    Wire,
)


class Presence(Wire):
    """A window has an image open (to be said every 20 seconds), or None."""

    window: WindowId
    key: Key | None = None


class PresenceAnswer(Wire):
    """How many other windows have the same image open, and its revision."""

    windows: Count
    revision: Count

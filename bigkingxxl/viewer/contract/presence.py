"""Presence: which window has which image open."""

from __future__ import annotations

from bigkingxxl.viewer.contract.common import (
    Count,
    Key,
    WindowId,
    Wire,
)


class Presence(Wire):
    """The image that a window has open, or None; sent every 20 seconds."""

    window: WindowId
    key: Key | None = None


class PresenceAnswer(Wire):
    """The number of other windows that have the same image open, and its revision."""

    windows: Count
    revision: Count

"""Shipped models, their card and their licence; see MODEL_CARD.md."""

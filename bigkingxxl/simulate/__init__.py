"""Phase-contrast images with truth: cells, optics, camera."""

from __future__ import annotations

from bigkingxxl.simulate.cell_types import CELL_TYPES
from bigkingxxl.simulate.field import SimulatedCell, SimulatedField, simulate_field

__all__ = ["CELL_TYPES", "SimulatedCell", "SimulatedField", "simulate_field"]

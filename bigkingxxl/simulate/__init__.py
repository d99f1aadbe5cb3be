"""Simulated images with known truth: cells, optics and camera.

What belongs here: drawing cells and simulating what a microscope shows of them, with numpy and
scipy only. What does not: writing them as a data set (`data.synthesize`).
"""

from __future__ import annotations

from bigkingxxl.simulate.cell_types import CELL_TYPES
from bigkingxxl.simulate.field import SimulatedCell, SimulatedField, simulate_field

__all__ = ["CELL_TYPES", "SimulatedCell", "SimulatedField", "simulate_field"]

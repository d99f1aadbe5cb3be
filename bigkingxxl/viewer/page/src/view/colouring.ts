/** Which colour each cell has, and whether it is shown at all. */
import type { KnownCell } from "../model/cell_book.ts";
import type { Document } from "../model/document.ts";
import {
  CELL_COLOURS,
  type ColourBy,
  NeighbourColours,
  ORIGIN_COLOURS,
  packed,
  rampColour,
  typeColour,
} from "./palette.ts";

export interface Thresholds {
  readonly minScore: number | null;
  readonly minArea: number | null;
}

/** Whether live thresholds leave a cell in; cells that a person drew or edited stay. */
export function isKept({ facts, area }: KnownCell, { minScore, minArea }: Thresholds): boolean {
  if (facts.origin !== "model") return true;
  if (minScore !== null && facts.score !== null && facts.score < minScore) return false;
  return minArea === null || area >= minArea;
}

export class Colouring {
  private readonly cellColours = CELL_COLOURS.map(packed);
  private readonly neighbours = new WeakMap<Document, NeighbourColours>();
  private readonly ramp = Array.from({ length: 256 }, (_, i) => packed(rampColour(i / 255)));

  of(
    document: Document,
    by: ColourBy,
    types: readonly string[],
    thresholds: Thresholds,
  ): (id: number) => number {
    let neighbours = this.neighbours.get(document);
    if (!neighbours) this.neighbours.set(document, (neighbours = new NeighbourColours()));
    const distinct = neighbours;
    const areas = by === "area" ? areaScale(document) : null;
    const typeColours = new Map(types.map((type) => [type, packed(typeColour(type, types))]));
    const other = packed(typeColour("", types));
    return (id) => {
      const cell = document.book.get(id);
      if (!cell || !isKept(cell, thresholds)) return 0;
      switch (by) {
        case "cell":
          return this.cellColours[distinct.of(id, cell)];
        case "type":
          return typeColours.get(cell.facts.type) ?? other;
        case "score":
          return cell.facts.score === null ? other : this.ramp[Math.round(cell.facts.score * 255)];
        case "area":
          return this.ramp[Math.round((areas?.(cell.area) ?? 0) * 255)];
        case "origin":
          return packed(ORIGIN_COLOURS[cell.facts.origin]);
      }
    };
  }
}

/** The share of cells that are smaller: a few giants do not make all others of one colour. */
function areaScale(document: Document): (area: number) => number {
  const areas = [...document.book.entries].map(([, cell]) => cell.area).sort((a, b) => a - b);
  return (area) => {
    let [low, high] = [0, areas.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (areas[middle] < area) low = middle + 1;
      else high = middle;
    }
    return areas.length > 1 ? Math.min(1, low / (areas.length - 1)) : 0.5;
  };
}

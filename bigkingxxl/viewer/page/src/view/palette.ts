/** Colours of cells, as numbers 0xAABBGGRR, the order of a canvas's bytes. */
import type { KnownCell } from "../model/cell_book.ts";
import { type Box, overlap, padded } from "../model/box.ts";

export type ColourBy = "cell" | "type" | "score" | "area" | "origin";

/** Told apart by people with any kind of colour vision, and on gray (after Okabe and Ito, and Tol). */
export const CELL_COLOURS = ["#56b4e9", "#e69f00", "#2fc79b", "#f0e442", "#e07bb0", "#ff6f59", "#9a8cff", "#b5e655"];
export const TYPE_COLOURS = ["#56b4e9", "#e69f00", "#2fc79b", "#e07bb0", "#f0e442", "#9a8cff", "#ff6f59", "#b5e655", "#c9c9c9"];
export const ORIGIN_COLOURS = { model: "#56b4e9", edited: "#e69f00", drawn: "#2fc79b" } as const;
export const SELECTED = packed("#ffffff");
/** From low to high: readable on dark and on light images. */
const RAMP = ["#3b4cc0", "#3f8fd2", "#35b9a5", "#8fd14f", "#f2d43d", "#f0923b", "#e0483e"];

export function packed(colour: string): number {
  const value = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

export function rampColour(share: number): string {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const [low, high] = [Math.floor(at), Math.ceil(at)];
  const mix = (from: number): number => {
    const [a, b] = [RAMP[low], RAMP[high]].map((each) => parseInt(each.slice(from, from + 2), 16));
    return Math.round(a + (b - a) * (at - low));
  };
  return `#${[1, 3, 5].map((from) => mix(from).toString(16).padStart(2, "0")).join("")}`;
}

export function typeColour(type: string, types: readonly string[]): string {
  const index = types.indexOf(type);
  return index < 0 ? "#c9c9c9" : TYPE_COLOURS[index % TYPE_COLOURS.length];
}

/** Gives every cell a colour that none of its neighbours has, as long as there are enough. */
export class NeighbourColours {
  private readonly colours = new Map<number, number>();
  private readonly grid = new Map<number, Set<number>>();
  private readonly boxes = new Map<number, Box>();

  /** Colour of a cell: the same as before unless the cell is new. */
  of(id: number, cell: KnownCell): number {
    const known = this.colours.get(id);
    if (known !== undefined) return known;
    const near = padded(cell.box, 4);
    const used = new Array<number>(CELL_COLOURS.length).fill(0);
    for (const square of squares(near))
      for (const other of this.grid.get(square) ?? []) {
        const box = this.boxes.get(other);
        if (box && overlap(box, near)) used[this.colours.get(other) ?? 0]++;
      }
    const fewest = Math.min(...used);
    // Among equals the number decides, so that far from each other not all are of one colour.
    const free = used.flatMap((count, colour) => (count === fewest ? [colour] : []));
    const colour = free[(id * 7) % free.length];
    this.colours.set(id, colour);
    this.boxes.set(id, cell.box);
    for (const square of squares(near)) {
      const cells = this.grid.get(square) ?? new Set();
      this.grid.set(square, cells.add(id));
    }
    return colour;
  }
}

const SQUARE = 64;

function* squares(box: Box): Generator<number> {
  for (let row = Math.floor(box.row0 / SQUARE); row <= Math.floor(box.row1 / SQUARE); row++)
    for (let col = Math.floor(box.col0 / SQUARE); col <= Math.floor(box.col1 / SQUARE); col++)
      yield row * 65536 + col;
}

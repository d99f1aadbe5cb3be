/** Small images written as text: '.' is background, every letter a cell. */
import { CellBook } from "../src/model/cell_book.ts";
import type { Cells, Change } from "../src/model/change.ts";
import { Refusal } from "../src/model/change.ts";
import { Raster } from "../src/model/raster.ts";
import type { Cell } from "../src/wire/contract.ts";

export const MODEL: Cell = { origin: "model", type: "a", score: 0.5 };

export function picture(...rows: string[]): Cells {
  const [height, width] = [rows.length, rows[0].length];
  const labels = new Raster(height, width, 4, true);
  const book = new CellBook();
  const values = [...rows.join("")].map((letter) => (letter === "." ? 0 : letter.charCodeAt(0) - 96));
  const runs = values.flatMap((value, place) => (value ? [place, 1, 0, value] : []));
  labels.apply(runs);
  const ids = [...new Set(values)].filter((id) => id > 0);
  book.apply(runs, ids.map((id) => ({ id, before: null, after: MODEL })), labels);
  return { labels, book };
}

export function text({ labels }: Cells): string[] {
  const values = labels.read(labels.bounds);
  return Array.from({ length: labels.height }, (_, row) =>
    [...values.subarray(row * labels.width, (row + 1) * labels.width)]
      .map((id) => (id ? String.fromCharCode(96 + id) : "."))
      .join(""),
  );
}

/** Make a change; a refusal fails the test. */
export function make(cells: Cells, change: Change | Refusal): Change {
  if (change instanceof Refusal) throw new Error(`refused: ${change.reason}`);
  cells.labels.apply(change.runs);
  cells.book.apply(change.runs, change.cells, cells.labels);
  return change;
}

/** A generator of numbers in [0, 1) that gives the same ones every time (Mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** The book by looking at every pixel. */
export function recount({ labels }: Cells): Map<number, { area: number; box: number[] }> {
  const found = new Map<number, { area: number; box: number[] }>();
  for (let row = 0; row < labels.height; row++)
    for (let col = 0; col < labels.width; col++) {
      const id = labels.at(row, col);
      if (!id) continue;
      const cell = found.get(id) ?? { area: 0, box: [row, col, row + 1, col + 1] };
      cell.area++;
      cell.box = [Math.min(cell.box[0], row), Math.min(cell.box[1], col), Math.max(cell.box[2], row + 1), Math.max(cell.box[3], col + 1)];
      found.set(id, cell);
    }
  return found;
}

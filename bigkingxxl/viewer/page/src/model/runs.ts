/**
 * Pixel differences as row runs: what an edit changed, exactly, and how to take it back.
 *
 * One run is four numbers, as on the wire: place (row * width + column), length, the number that
 * was there and the number that is there now. Runs rise, are disjoint, and stay in their row.
 */
import { type Box, NOWHERE, union } from "./box.ts";

export type Runs = readonly number[];

export const NUMBERS_PER_RUN = 4;

/** The runs in which two windows of values (row by row) of an image `imageWidth` wide differ. */
export function difference(
  before: ArrayLike<number>,
  after: ArrayLike<number>,
  box: Box,
  imageWidth: number,
): Runs {
  const found: number[] = [];
  const across = box.col1 - box.col0;
  for (let row = box.row0, at = 0; row < box.row1; row++, at += across)
    for (let col = 0; col < across; ) {
      const was = before[at + col];
      const is = after[at + col];
      const start = col;
      do col++;
      while (col < across && before[at + col] === was && after[at + col] === is);
      if (was !== is) found.push(row * imageWidth + box.col0 + start, col - start, was, is);
    }
  return found;
}

/** The runs that take these back. */
export function inverted(runs: Runs): Runs {
  const result = runs.slice();
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    result[i + 2] = runs[i + 3];
    result[i + 3] = runs[i + 2];
  }
  return result;
}

export function boundsOf(runs: Runs, imageWidth: number): Box {
  let box = NOWHERE;
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    const row = Math.floor(runs[i] / imageWidth);
    const col0 = runs[i] - row * imageWidth;
    box = union(box, { row0: row, col0, row1: row + 1, col1: col0 + runs[i + 1] });
  }
  return box;
}

/** The cells that lost or gained pixels. */
export function touchedCells(runs: Runs): Set<number> {
  const ids = new Set<number>();
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    ids.add(runs[i + 2]);
    ids.add(runs[i + 3]);
  }
  ids.delete(0);
  return ids;
}

export function countPixels(runs: Runs): number {
  let pixels = 0;
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) pixels += runs[i + 1];
  return pixels;
}

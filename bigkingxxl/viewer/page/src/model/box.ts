/** A half-open window of pixels: rows row0 to row1 - 1, columns col0 to col1 - 1. */
export interface Box {
  row0: number;
  col0: number;
  row1: number;
  col1: number;
}

export interface Point {
  row: number;
  col: number;
}

export const NOWHERE: Box = { row0: 0, col0: 0, row1: 0, col1: 0 };

export function isEmpty(box: Box): boolean {
  return box.row1 <= box.row0 || box.col1 <= box.col0;
}

export function height(box: Box): number {
  return Math.max(0, box.row1 - box.row0);
}

export function width(box: Box): number {
  return Math.max(0, box.col1 - box.col0);
}

export function union(a: Box, b: Box): Box {
  if (isEmpty(a)) return b;
  if (isEmpty(b)) return a;
  return {
    row0: Math.min(a.row0, b.row0),
    col0: Math.min(a.col0, b.col0),
    row1: Math.max(a.row1, b.row1),
    col1: Math.max(a.col1, b.col1),
  };
}

export function intersection(a: Box, b: Box): Box {
  const row0 = Math.max(a.row0, b.row0);
  const col0 = Math.max(a.col0, b.col0);
  return {
    row0,
    col0,
    row1: Math.max(row0, Math.min(a.row1, b.row1)),
    col1: Math.max(col0, Math.min(a.col1, b.col1)),
  };
}

export function overlap(a: Box, b: Box): boolean {
  return a.row0 < b.row1 && b.row0 < a.row1 && a.col0 < b.col1 && b.col0 < a.col1;
}

export function contains(box: Box, row: number, col: number): boolean {
  return row >= box.row0 && row < box.row1 && col >= box.col0 && col < box.col1;
}

export function padded(box: Box, by: number): Box {
  return { row0: box.row0 - by, col0: box.col0 - by, row1: box.row1 + by, col1: box.col1 + by };
}

/** The smallest box that holds all points, each a pixel's place (fractions are rounded down). */
export function around(points: readonly Point[]): Box {
  let box = NOWHERE;
  for (const { row, col } of points) {
    const [r, c] = [Math.floor(row), Math.floor(col)];
    box = union(box, { row0: r, col0: c, row1: r + 1, col1: c + 1 });
  }
  return box;
}

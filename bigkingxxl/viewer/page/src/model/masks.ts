/** Shapes as pixels: a mask is one byte a pixel of a box, row by row. */
import { around, type Box, height, padded, type Point, width } from "./box.ts";

export interface Mask {
  box: Box;
  inside: Uint8Array;
}

export function emptyMask(box: Box): Mask {
  return { box, inside: new Uint8Array(height(box) * width(box)) };
}

/** All pixels whose centre is at most `radius` from the line through the points: a brush stroke. */
export function stroke(points: readonly Point[], radius: number): Mask {
  const mask = emptyMask(padded(around(points), Math.ceil(radius) + 1));
  if (points.length === 1) points = [points[0], points[0]];
  for (let i = 1; i < points.length; i++) paintSegment(mask, points[i - 1], points[i], radius);
  return mask;
}

function paintSegment(mask: Mask, from: Point, to: Point, radius: number): void {
  const { box, inside } = mask;
  const across = width(box);
  const [down, right] = [to.row - from.row, to.col - from.col];
  const squared = down * down + right * right;
  // Half a pixel more would paint a cross where one pixel was asked for.
  const reach = radius * radius;
  const top = Math.max(box.row0, Math.floor(Math.min(from.row, to.row) - radius));
  const bottom = Math.min(box.row1, Math.ceil(Math.max(from.row, to.row) + radius) + 1);
  const left = Math.max(box.col0, Math.floor(Math.min(from.col, to.col) - radius));
  const end = Math.min(box.col1, Math.ceil(Math.max(from.col, to.col) + radius) + 1);
  for (let row = top; row < bottom; row++)
    for (let col = left; col < end; col++) {
      const [r, c] = [row + 0.5 - from.row, col + 0.5 - from.col];
      const along = squared === 0 ? 0 : Math.min(1, Math.max(0, (r * down + c * right) / squared));
      const [dr, dc] = [r - along * down, c - along * right];
      if (dr * dr + dc * dc <= reach) inside[(row - box.row0) * across + col - box.col0] = 1;
    }
  // However thin the brush, the pixels under its middle are painted.
  for (const { row, col } of [from, to]) setPixel(mask, Math.floor(row), Math.floor(col));
}

function setPixel({ box, inside }: Mask, row: number, col: number): void {
  if (row >= box.row0 && row < box.row1 && col >= box.col0 && col < box.col1)
    inside[(row - box.row0) * width(box) + col - box.col0] = 1;
}

/** The pixels of a polygon that closes itself: those whose centre is inside (even-odd rule). */
export function polygon(points: readonly Point[]): Mask {
  const mask = emptyMask(around(points));
  const { box, inside } = mask;
  const across = width(box);
  for (let row = box.row0; row < box.row1; row++) {
    const middle = row + 0.5;
    const crossings: number[] = [];
    for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
      const [a, b] = [points[j], points[i]];
      if (a.row <= middle !== b.row <= middle)
        crossings.push(a.col + ((middle - a.row) / (b.row - a.row)) * (b.col - a.col));
    }
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const start = Math.max(box.col0, Math.ceil(crossings[i] - 0.5));
      const stop = Math.min(box.col1, Math.ceil(crossings[i + 1] - 0.5));
      inside.fill(1, (row - box.row0) * across + start - box.col0, (row - box.row0) * across + Math.max(start, stop) - box.col0);
    }
  }
  return mask;
}

export function rectangle(box: Box): Mask {
  const mask = emptyMask(box);
  mask.inside.fill(1);
  return mask;
}

/** The pixels that a line passes, joined by their sides: nothing slips through it by a corner. */
export function line(points: readonly Point[]): Mask {
  const mask = emptyMask(padded(around(points), 1));
  for (let i = 1; i < points.length; i++) {
    const [from, to] = [points[i - 1], points[i]];
    const steps = Math.max(1, Math.ceil(Math.hypot(to.row - from.row, to.col - from.col) * 4));
    let [lastRow, lastCol] = [Math.floor(from.row), Math.floor(from.col)];
    for (let step = 0; step <= steps; step++) {
      const row = Math.floor(from.row + ((to.row - from.row) * step) / steps);
      const col = Math.floor(from.col + ((to.col - from.col) * step) / steps);
      if (row !== lastRow && col !== lastCol) setPixel(mask, row, lastCol);
      setPixel(mask, row, col);
      [lastRow, lastCol] = [row, col];
    }
  }
  return mask;
}

/**
 * Connected parts of a mask, numbered from 1, joined by sides (or by corners too).
 * Returns the number of each pixel (0 outside) and the size of each part (index 0 unused).
 */
export function components(mask: Mask, corners = false): { part: Int32Array; sizes: number[] } {
  const { box, inside } = mask;
  const [down, across] = [height(box), width(box)];
  const part = new Int32Array(inside.length);
  const sizes = [0];
  const queue = new Int32Array(inside.length);
  for (let seed = 0; seed < inside.length; seed++) {
    if (!inside[seed] || part[seed]) continue;
    const number = sizes.length;
    let [head, tail] = [0, 0];
    queue[tail++] = seed;
    part[seed] = number;
    while (head < tail) {
      const at = queue[head++];
      forNeighbours(at, down, across, corners, (next) => {
        if (inside[next] && !part[next]) {
          part[next] = number;
          queue[tail++] = next;
        }
      });
    }
    sizes.push(tail);
  }
  return { part, sizes };
}

export function forNeighbours(
  at: number,
  down: number,
  across: number,
  corners: boolean,
  visit: (next: number) => void,
): void {
  const row = (at / across) | 0;
  const col = at - row * across;
  for (let r = -1; r <= 1; r++)
    for (let c = -1; c <= 1; c++) {
      if ((r === 0 && c === 0) || (!corners && r !== 0 && c !== 0)) continue;
      if (row + r < 0 || row + r >= down || col + c < 0 || col + c >= across) continue;
      visit(at + r * across + c);
    }
}

/** The mask and the pixels beside it (`corners`: diagonally too), within its box. */
export function dilated(mask: Mask, corners: boolean): Mask {
  const [down, across] = [height(mask.box), width(mask.box)];
  const inside = mask.inside.slice();
  for (let at = 0; at < mask.inside.length; at++)
    if (mask.inside[at])
      forNeighbours(at, down, across, corners, (next) => {
        inside[next] = 1;
      });
  return { box: mask.box, inside };
}

/** The mask without the pixels at its border; the edge of its box is no border. */
export function eroded(mask: Mask, corners: boolean): Mask {
  const [down, across] = [height(mask.box), width(mask.box)];
  const inside = mask.inside.slice();
  for (let at = 0; at < mask.inside.length; at++)
    if (mask.inside[at])
      forNeighbours(at, down, across, corners, (next) => {
        if (!mask.inside[next]) inside[at] = 0;
      });
  return { box: mask.box, inside };
}

/** The pixels outside the mask that it encloses: no way leads from them to the box's edge. */
export function holes(mask: Mask): Mask {
  const [down, across] = [height(mask.box), width(mask.box)];
  const outside: Mask = { box: mask.box, inside: mask.inside.map((value) => (value ? 0 : 1)) };
  const { part, sizes } = components(outside);
  const open = new Uint8Array(sizes.length);
  open[0] = 1;
  for (let row = 0; row < down; row++)
    for (let col = 0; col < across; col++)
      if (row === 0 || col === 0 || row === down - 1 || col === across - 1)
        open[part[row * across + col]] = 1;
  return { box: mask.box, inside: mask.inside.map((_, at) => (open[part[at]] ? 0 : 1)) };
}

/** Give every pixel of number -1 that of the nearest numbered pixel, spreading by sides. */
export function spread(part: Int32Array, down: number, across: number): void {
  let border: number[] = [];
  for (let at = 0; at < part.length; at++) if (part[at] > 0) border.push(at);
  while (border.length) {
    const next: number[] = [];
    for (const at of border)
      forNeighbours(at, down, across, false, (beside) => {
        if (part[beside] === -1) {
          part[beside] = part[at];
          next.push(beside);
        }
      });
    border = next;
  }
}

/** What each tool makes of the cells: pure functions from cells to a change, or why there is none. */
import type { Candidate, Cell, DoneChange } from "../wire/contract.ts";
import { type Box, height, intersection, isEmpty, overlap, padded, type Point, union, width } from "./box.ts";
import { type Cells, type Change, NO_CHANGE, Refusal, repainted } from "./change.ts";
import * as masks from "./masks.ts";
import type { Mask } from "./masks.ts";
import type { Raster } from "./raster.ts";
import { difference } from "./runs.ts";

export interface PaintOptions {
  /** Whether pixels of other cells are taken. */
  readonly overwrite: boolean;
}

export function drawnCell(type: string): Cell {
  return { origin: "drawn", type, score: null };
}

/** Give the pixels of a mask to a cell; a cell that is new has the facts given. */
export function paint(
  tool: string,
  cells: Cells,
  mask: Mask,
  id: number,
  { overwrite }: PaintOptions,
  facts?: Cell,
): Change | Refusal {
  const box = intersection(mask.box, cells.labels.bounds);
  const after = cells.labels.read(box);
  let free = 0;
  let taken = 0;
  eachInside(mask, box, (at) => {
    if (after[at] === id) return;
    if (after[at] === 0 || overwrite) {
      after[at] = id;
      free++;
    } else taken++;
  });
  if (free === 0)
    return new Refusal(
      taken
        ? "These pixels belong to another cell. Hold Alt to paint over it."
        : "Nothing was changed, because these pixels lie outside the image or already belong to the cell.",
    );
  const known = cells.book.get(id);
  return repainted(tool, cells, box, after, facts && !known ? new Map([[id, facts]]) : undefined);
}

/** Take pixels away, from the given cells only, or from any where none are given. */
export function erase(
  tool: string,
  cells: Cells,
  mask: Mask,
  only: ReadonlySet<number>,
): Change | Refusal {
  const box = intersection(mask.box, cells.labels.bounds);
  const after = cells.labels.read(box);
  let erased = 0;
  eachInside(mask, box, (at) => {
    if (after[at] === 0 || (only.size && !only.has(after[at]))) return;
    after[at] = 0;
    erased++;
  });
  if (!erased) return new Refusal("There is no cell to erase here.");
  return repainted(tool, cells, box, after);
}

export function remove(cells: Cells, ids: Iterable<number>): Change | Refusal {
  const gone = new Set([...ids].filter((id) => cells.book.get(id)));
  const box = boxOfAll(cells, gone);
  if (!gone.size) return new Refusal("No cell is selected.");
  const after = cells.labels.read(box);
  for (let at = 0; at < after.length; at++) if (gone.has(after[at])) after[at] = 0;
  return repainted("delete", cells, box, after);
}

/** Cut every cell of `among` (or every cell) that the line crosses from border to border. */
export function cut(cells: Cells, points: readonly Point[], among: ReadonlySet<number>): Change | Refusal {
  const knife = masks.line(points);
  const reach = intersection(knife.box, cells.labels.bounds);
  if (isEmpty(reach)) return new Refusal("The line lies outside the image.");
  const beneath = cells.labels.read(reach);
  const crossed = new Set<number>();
  eachInside(knife, reach, (at) => {
    const id = beneath[at];
    if (id && (!among.size || among.has(id))) crossed.add(id);
  });
  if (!crossed.size) return new Refusal("The line does not cross a cell.");
  const box = boxOfAll(cells, crossed);
  const after = cells.labels.read(box);
  const facts = new Map<number, Cell>();
  let next = cells.book.nextCell;
  for (const id of crossed) {
    const known = cells.book.get(id);
    if (!known) continue;
    const pieces = piecesOf(cells.labels, id, known.box, knife);
    pieces.slice(1).forEach((piece) => {
      facts.set(next, { ...known.facts, origin: known.facts.origin === "model" ? "edited" : known.facts.origin });
      eachInside(piece, box, (at) => (after[at] = next));
      next++;
    });
  }
  if (!facts.size) return new Refusal("The line must cross a cell from one side to the other.");
  return repainted("cut", cells, box, after, facts);
}

/** The parts into which a line cuts a cell, the largest first; the line's own pixels go to the nearest. */
function piecesOf(labels: Raster, id: number, box: Box, knife: Mask): Mask[] {
  const whole = cellMask(labels, id, box);
  const rest: Mask = { box, inside: whole.inside.slice() };
  eachInside(knife, box, (at) => (rest.inside[at] = 0));
  // What was apart before the cut stays with the cell that it is a part of.
  const before = masks.components(whole, true);
  const { part, sizes } = masks.components(rest);
  const split = new Map<number, Set<number>>();
  for (let at = 0; at < part.length; at++)
    if (part[at]) {
      const parts = split.get(before.part[at]) ?? new Set();
      split.set(before.part[at], parts.add(part[at]));
    }
  for (let at = 0; at < part.length; at++) if (whole.inside[at] && !part[at]) part[at] = -1;
  masks.spread(part, height(box), width(box));
  const cutOff: number[] = [];
  for (const parts of split.values()) {
    const largestFirst = [...parts].sort((a, b) => sizes[b] - sizes[a] || a - b);
    cutOff.push(...largestFirst.slice(1));
  }
  cutOff.sort((a, b) => sizes[b] - sizes[a] || a - b);
  const pieces = cutOff.map((number) => ({ box, inside: Uint8Array.from(part, (each) => (each === number ? 1 : 0)) }));
  const kept = { box, inside: whole.inside.map((value, at) => (value && !cutOff.includes(part[at]) ? 1 : 0)) };
  return [kept, ...pieces];
}

/** Cells apart by at most this many pixels are joined by what lies between them. */
const GAP = 3;

/** One cell of several; it keeps number, type and score of the largest. */
export function merge(cells: Cells, ids: Iterable<number>): Change | Refusal {
  const known = [...ids].filter((id) => cells.book.get(id));
  if (known.length < 2) return new Refusal("Select two or more cells to merge them.");
  const area = (id: number): number => cells.book.get(id)?.area ?? 0;
  known.sort((a, b) => area(b) - area(a) || a - b);
  const box = intersection(padded(boxOfAll(cells, known), GAP + 1), cells.labels.bounds);
  const joined = new Set(known);
  const after = cells.labels.read(box);
  const mask: Mask = { box, inside: Uint8Array.from(after, (id) => (joined.has(id) ? 1 : 0)) };
  const bridged = masks.components(mask, true).sizes.length > 2 ? closed(mask) : mask;
  for (let at = 0; at < after.length; at++)
    if (joined.has(after[at]) || (after[at] === 0 && bridged.inside[at])) after[at] = known[0];
  return repainted("merge", cells, box, after);
}

function closed(mask: Mask): Mask {
  const rounds = Math.ceil(GAP / 2);
  let result = mask;
  for (let i = 0; i < rounds; i++) result = masks.dilated(result, i % 2 === 1);
  for (let i = rounds - 1; i >= 0; i--) result = masks.eroded(result, i % 2 === 1);
  return result;
}

export function fillHoles(cells: Cells, ids: Iterable<number>): Change | Refusal {
  return eachCell("fill holes", cells, ids, "These cells have no holes.", (mask) => {
    const inner = masks.holes(mask);
    return { box: mask.box, inside: mask.inside.map((value, at) => value | inner.inside[at]) };
  });
}

/** One pixel more all around, into the background only. */
export function grow(cells: Cells, ids: Iterable<number>): Change | Refusal {
  return eachCell("grow", cells, ids, "These cells have no room to grow.", (mask) => masks.dilated(mask, false));
}

/** One pixel less all around; a cell that would vanish stays. */
export function shrink(cells: Cells, ids: Iterable<number>): Change | Refusal {
  return eachCell("shrink", cells, ids, "These cells are too thin to shrink.", (mask) => {
    const less = masks.eroded(mask, false);
    return less.inside.includes(1) ? less : mask;
  });
}

/** Replace each cell's mask by what `alter` makes of it; background is taken, other cells are not. */
function eachCell(
  tool: string,
  cells: Cells,
  ids: Iterable<number>,
  nothing: string,
  alter: (mask: Mask) => Mask,
): Change | Refusal {
  const known = [...ids].filter((id) => cells.book.get(id));
  if (!known.length) return new Refusal("Select a cell first.");
  const box = intersection(padded(boxOfAll(cells, known), 2), cells.labels.bounds);
  const after = cells.labels.read(box);
  for (const id of known) {
    const cell = cells.book.get(id);
    if (!cell) continue;
    const around = intersection(padded(cell.box, 2), cells.labels.bounds);
    const mask = alter(cellMask(cells.labels, id, around));
    const across = width(around);
    for (let row = around.row0; row < around.row1; row++)
      for (let col = around.col0; col < around.col1; col++) {
        const at = (row - box.row0) * width(box) + col - box.col0;
        const inside = mask.inside[(row - around.row0) * across + col - around.col0];
        if (inside && after[at] === 0) after[at] = id;
        else if (!inside && after[at] === id) after[at] = 0;
      }
  }
  const change = repainted(tool, cells, box, after);
  return change.runs.length ? change : new Refusal(nothing);
}

export function setType(cells: Cells, ids: Iterable<number>, type: string): Change | Refusal {
  const changes = [...ids].flatMap((id) => {
    const before = cells.book.get(id)?.facts;
    return before && before.type !== type ? [{ id, before, after: { ...before, type } }] : [];
  });
  if (!changes.length) return new Refusal(type ? `The selected cells already have the type ${type}.` : "The selected cells have no type.");
  return { ...NO_CHANGE, tool: "type", cells: changes };
}

/** A cell of the model's own candidate: its pixels that no cell has. */
export function addCandidate(cells: Cells, candidate: Candidate): Change | Refusal {
  const { labels, book } = cells;
  const [row0, col0, row1, col1] = candidate.box;
  const box = { row0, col0, row1, col1 };
  const mask = masks.emptyMask(box);
  for (let i = 0; i < candidate.runs.length; i += 2) {
    const row = Math.floor(candidate.runs[i] / labels.width);
    const at = (row - row0) * width(box) + candidate.runs[i] - row * labels.width - col0;
    mask.inside.fill(1, at, at + candidate.runs[i + 1]);
  }
  const facts: Cell = { origin: "model", type: candidate.type, score: candidate.score };
  return paint("add", cells, mask, book.nextCell, { overwrite: false }, facts);
}

/** The surest candidate at a pixel. */
export function candidateAt(
  candidates: readonly Candidate[],
  row: number,
  col: number,
  imageWidth: number,
): Candidate | undefined {
  const place = row * imageWidth + col;
  let best: Candidate | undefined;
  for (const candidate of candidates) {
    const [row0, col0, row1, col1] = candidate.box;
    if (row < row0 || row >= row1 || col < col0 || col >= col1) continue;
    if (best && best.score >= candidate.score) continue;
    for (let i = 0; i < candidate.runs.length; i += 2)
      if (place >= candidate.runs[i] && place < candidate.runs[i] + candidate.runs[i + 1]) {
        best = candidate;
        break;
      }
  }
  return best;
}

/** Mark a rectangle as reviewed, or as not. */
export function review(reviewed: Raster, box: Box, value: 0 | 1): Change | Refusal {
  const inside = intersection(box, reviewed.bounds);
  if (isEmpty(inside)) return new Refusal("The rectangle lies outside the image.");
  const before = reviewed.read(inside);
  const runs = difference(before, new Uint32Array(before.length).fill(value), inside, reviewed.width);
  if (!runs.length)
    return new Refusal(value ? "This part is already marked as reviewed." : "This part is not marked as reviewed.");
  return { ...NO_CHANGE, tool: value ? "review" : "unreview", reviewed: runs };
}

export function setDone(done: DoneChange): Change {
  return { ...NO_CHANGE, tool: done.after ? "done" : "not done", done };
}

/** Cells whose middle lies in a box. */
export function cellsWithin(cells: Cells, box: Box): number[] {
  const found: number[] = [];
  for (const [id, cell] of cells.book.entries) {
    if (!overlap(cell.box, box)) continue;
    const [row, col] = [(cell.box.row0 + cell.box.row1) / 2, (cell.box.col0 + cell.box.col1) / 2];
    if (row >= box.row0 && row < box.row1 && col >= box.col0 && col < box.col1) found.push(id);
  }
  return found;
}

/** The box of several cells: what must be loaded before they are changed. */
export function boxOfAll(cells: Cells, ids: Iterable<number>): Box {
  let box: Box = { row0: 0, col0: 0, row1: 0, col1: 0 };
  for (const id of ids) {
    const cell = cells.book.get(id);
    if (cell) box = union(box, cell.box);
  }
  return box;
}

export function cellMask(labels: Raster, id: number, box: Box): Mask {
  return { box, inside: Uint8Array.from(labels.read(box), (value) => (value === id ? 1 : 0)) };
}

/** Visit the mask's pixels that lie in `box`, by their place in a window of `box`. */
function eachInside(mask: Mask, box: Box, visit: (at: number) => void): void {
  const common = intersection(mask.box, box);
  const [from, to] = [width(mask.box), width(box)];
  for (let row = common.row0; row < common.row1; row++)
    for (let col = common.col0; col < common.col1; col++)
      if (mask.inside[(row - mask.box.row0) * from + col - mask.box.col0])
        visit((row - box.row0) * to + col - box.col0);
}


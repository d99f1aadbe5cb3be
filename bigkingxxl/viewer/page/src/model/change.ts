/** A change of one image: pixels, facts of cells, the reviewed region, 'done'. It can be undone. */
import type { Cell, CellChange, DoneChange } from "../wire/contract.ts";
import type { Box } from "./box.ts";
import { type CellBook, sameFacts } from "./cell_book.ts";
import type { Raster } from "./raster.ts";
import { difference, inverted, NUMBERS_PER_RUN, type Runs } from "./runs.ts";

export interface Change {
  readonly tool: string;
  readonly runs: Runs;
  readonly cells: readonly CellChange[];
  readonly reviewed: Runs;
  readonly done: DoneChange | null;
}

/** Why a tool did nothing, in one sentence for the user. */
export class Refusal {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

export interface Cells {
  readonly labels: Raster;
  readonly book: CellBook;
}

export const NO_CHANGE: Change = { tool: "none", runs: [], cells: [], reviewed: [], done: null };

export function isEmptyChange(change: Change): boolean {
  return !change.runs.length && !change.cells.length && !change.reviewed.length && !change.done;
}

export function undone(change: Change, tool: "undo" | "redo" = "undo"): Change {
  return {
    tool,
    runs: inverted(change.runs),
    cells: change.cells.map(({ id, before, after }) => ({ id, before: after, after: before })),
    reviewed: inverted(change.reviewed),
    done: change.done && { before: change.done.after, after: change.done.before },
  };
}

/**
 * The change that gives a window of the label image new numbers.
 *
 * A cell whose pixels change becomes 'edited', one that loses its last pixel goes; `facts` are those
 * of cells that are new, or that are to be told otherwise.
 */
export function repainted(
  tool: string,
  { labels, book }: Cells,
  box: Box,
  after: ArrayLike<number>,
  facts: ReadonlyMap<number, Cell> = new Map(),
): Change {
  const runs = difference(labels.read(box), after, box, labels.width);
  const gains = new Map<number, number>();
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    gains.set(runs[i + 2], (gains.get(runs[i + 2]) ?? 0) - runs[i + 1]);
    gains.set(runs[i + 3], (gains.get(runs[i + 3]) ?? 0) + runs[i + 1]);
  }
  gains.delete(0);
  const cells: CellChange[] = [];
  for (const id of new Set([...gains.keys(), ...facts.keys()])) {
    const known = book.get(id);
    const before = known?.facts ?? null;
    const area = (known?.area ?? 0) + (gains.get(id) ?? 0);
    const told = facts.get(id) ?? (before && edited(before));
    const is = area > 0 ? told : null;
    if (!sameFacts(before, is)) cells.push({ id, before, after: is });
  }
  return { ...NO_CHANGE, tool, runs, cells };
}

function edited(cell: Cell): Cell {
  return cell.origin === "model" ? { ...cell, origin: "edited" } : cell;
}

/** Several changes, made one after the other, as one. The last of them is already applied. */
export function joined(tool: string, changes: readonly Change[], labels: Raster, box: Box): Change {
  const before = labels.read(box);
  const across = box.col1 - box.col0;
  for (const { runs } of [...changes].reverse())
    for (let i = runs.length - NUMBERS_PER_RUN; i >= 0; i -= NUMBERS_PER_RUN) {
      const row = Math.floor(runs[i] / labels.width);
      const at = (row - box.row0) * across + runs[i] - row * labels.width - box.col0;
      before.fill(runs[i + 2], at, at + runs[i + 1]);
    }
  const facts = new Map<number, { before: Cell | null; after: Cell | null }>();
  for (const { cells } of changes)
    for (const { id, before: was, after } of cells)
      facts.set(id, { before: facts.get(id)?.before ?? was, after });
  // A cell that came and went within the changes was never there.
  const cells = [...facts]
    .map(([id, { before: was, after }]) => ({ id, before: was, after }))
    .filter((change) => !sameFacts(change.before, change.after));
  const runs = difference(before, labels.read(box), box, labels.width);
  return { ...NO_CHANGE, tool, runs, cells };
}

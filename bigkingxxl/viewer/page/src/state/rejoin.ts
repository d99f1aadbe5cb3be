/** Bring unsent edits onto a newer state of their image. */
import type { Edit } from "../wire/contract.ts";
import { type Change } from "../model/change.ts";
import { changeOf, type Document } from "../model/document.ts";
import { NUMBERS_PER_RUN } from "../model/runs.ts";

/**
 * The changes of edits, with numbers of their own for cells that they made: another window may have
 * given these to cells of its own. Whether a change fits is seen when its turn comes.
 */
export function* rejoined(edits: readonly Edit[], document: Document): Generator<Change> {
  const numbers = new Map<number, number>();
  for (const edit of edits) {
    for (const { id, before } of edit.cells)
      if (before === null && !numbers.has(id) && document.book.get(id)) {
        numbers.set(id, document.book.nextCell);
        document.book.reserve(document.book.nextCell);
      }
    const number = (id: number): number => numbers.get(id) ?? id;
    const change = changeOf(edit);
    yield {
      ...change,
      runs: change.runs.map((value, i) => (i % NUMBERS_PER_RUN >= 2 ? number(value) : value)),
      cells: change.cells.map((each) => ({ ...each, id: number(each.id) })),
    };
  }
}

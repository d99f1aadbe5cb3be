/** The cells of an image: what is known of each, and where it lies. Kept right under every edit. */
import type { Cell, CellChange, CellTable } from "../wire/contract.ts";
import { type Box, type Point, union } from "./box.ts";
import type { Raster } from "./raster.ts";
import { NUMBERS_PER_RUN, type Runs, touchedCells } from "./runs.ts";

export interface KnownCell {
  readonly facts: Cell;
  readonly area: number;
  readonly box: Box;
}

export class CellBook {
  private readonly cells = new Map<number, KnownCell>();
  private next = 1;

  static of(table: CellTable, nextCell: number): CellBook {
    const book = new CellBook();
    table.ids.forEach((id, i) => {
      const [row0, col0, row1, col1] = table.boxes.slice(4 * i, 4 * i + 4);
      book.put(id, { facts: table.cells[i], area: table.areas[i], box: { row0, col0, row1, col1 } });
    });
    book.reserve(nextCell - 1);
    return book;
  }

  get size(): number {
    return this.cells.size;
  }

  get ids(): IterableIterator<number> {
    return this.cells.keys();
  }

  get entries(): IterableIterator<[number, KnownCell]> {
    return this.cells.entries();
  }

  get(id: number): KnownCell | undefined {
    return this.cells.get(id);
  }

  /** A number that no cell has or had. */
  get nextCell(): number {
    return this.next;
  }

  reserve(id: number): void {
    this.next = Math.max(this.next, id + 1);
  }

  centre(id: number): Point | undefined {
    const box = this.cells.get(id)?.box;
    return box && { row: (box.row0 + box.row1) / 2, col: (box.col0 + box.col1) / 2 };
  }

  /** Whether all facts are as they were before the changes: whether these can be applied. */
  fits(changes: readonly CellChange[]): boolean {
    return changes.every(({ id, before }) => sameFacts(this.cells.get(id)?.facts ?? null, before));
  }

  /** Follow an edit whose runs are painted on `raster` already. */
  apply(runs: Runs, changes: readonly CellChange[], raster: Raster): void {
    const facts = new Map(changes.map((change) => [change.id, change.after]));
    const [gained, lost] = extents(runs, raster.width);
    for (const id of new Set([...touchedCells(runs), ...facts.keys()])) {
      const known = this.cells.get(id);
      const is = facts.has(id) ? facts.get(id) : known?.facts;
      this.reserve(id);
      if (!is) {
        this.cells.delete(id);
        continue;
      }
      const more = gained.get(id);
      const less = lost.get(id);
      let box = known?.box;
      if (more) box = box ? union(box, more.box) : more.box;
      if (less && box) box = raster.boxOf(id, box);
      const area = (known?.area ?? 0) + (more?.area ?? 0) - (less?.area ?? 0);
      if (box) this.put(id, { facts: is, area, box });
    }
  }

  private put(id: number, cell: KnownCell): void {
    this.cells.set(id, cell);
    this.reserve(id);
  }
}

type Extents = Map<number, { area: number; box: Box }>;

/** Area and box of what each cell gained and lost. */
function extents(runs: Runs, imageWidth: number): [Extents, Extents] {
  const [gained, lost]: [Extents, Extents] = [new Map(), new Map()];
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    const row = Math.floor(runs[i] / imageWidth);
    const col0 = runs[i] - row * imageWidth;
    const box = { row0: row, col0, row1: row + 1, col1: col0 + runs[i + 1] };
    add(lost, runs[i + 2], runs[i + 1], box);
    add(gained, runs[i + 3], runs[i + 1], box);
  }
  return [gained, lost];
}

function add(sums: Extents, id: number, area: number, box: Box): void {
  if (id === 0) return;
  const sum = sums.get(id);
  sums.set(id, { area: (sum?.area ?? 0) + area, box: sum ? union(sum.box, box) : box });
}

export function sameFacts(a: Cell | null, b: Cell | null): boolean {
  if (a === null || b === null) return a === b;
  return a.type === b.type && a.score === b.score && a.origin === b.origin;
}

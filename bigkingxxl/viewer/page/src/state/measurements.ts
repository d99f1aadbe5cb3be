/** Measurements of the open image, and of all images, as they are asked for. */
import { signal } from "@preact/signals";
import type { Document } from "../model/document.ts";
import { client } from "../wire/client.ts";
import type { CellTable } from "../wire/contract.ts";
import type { App } from "./app.ts";

export interface Columns {
  readonly revision: number;
  readonly ids: readonly number[];
  readonly columns: ReadonlyMap<string, { readonly unit: string; readonly values: readonly (number | null)[] }>;
}

const ALWAYS = ["area", "score"] as const;

export class Measurements {
  /** Of the open image; null while they are under way. */
  readonly columns = signal<Columns | null>(null);
  /** Of all images together, as far as they have come. */
  readonly folder = signal<{ readonly name: string; readonly values: readonly number[]; readonly done: number; readonly total: number } | null>(null);
  private turn = 0;
  private folderTurn = 0;

  /** Ask anew for what is measured of the open image, once its edits are saved. */
  async refresh(app: App): Promise<void> {
    const turn = ++this.turn;
    const document = app.shown.value;
    if (!document) return;
    await app.saved();
    const thresholds = app.preview.value
      ? { min_score: app.display.minScore.value, min_area: app.display.minArea.value }
      : {};
    const table = await client.cells(document.key, { measurements: 1, ...thresholds });
    if (turn === this.turn && app.shown.value === document) this.columns.value = columnsOf(table);
  }

  forget(): void {
    this.turn++;
    this.columns.value = null;
  }

  /** All values of a measurement in all images: one image after the other. */
  async ofFolder(app: App, name: string): Promise<void> {
    const turn = ++this.folderTurn;
    const ready = app.images.value.filter((each) => each.state === "ready");
    const values: number[] = [];
    for (const [i, { key }] of ready.entries()) {
      const table = await client.cells(key, ALWAYS.includes(name as "area") ? {} : { measurements: 1 }).catch(() => null);
      if (turn !== this.folderTurn) return;
      for (const value of table ? (columnsOf(table).columns.get(name)?.values ?? []) : []) if (value !== null) values.push(value);
      if (i % 5 === 4 || i === ready.length - 1)
        this.folder.value = { name, values: values.slice(), done: i + 1, total: ready.length };
    }
  }

  stopFolder(): void {
    this.folderTurn++;
    this.folder.value = null;
  }
}

function columnsOf(table: CellTable): Columns {
  const columns = new Map<string, { unit: string; values: readonly (number | null)[] }>();
  columns.set("area", { unit: "px", values: table.areas });
  columns.set("score", { unit: "", values: table.cells.map((cell) => cell.score) });
  for (const { name, unit, values } of table.measurements) columns.set(name, { unit, values });
  return { revision: table.revision, ids: table.ids, columns };
}

/** Values of the open image: area and score as they are at this moment, others as last measured. */
export function currentValues(document: Document, measured: Columns | null, name: string): Map<number, number | null> {
  if (name === "area") return new Map([...document.book.entries].map(([id, cell]) => [id, cell.area]));
  if (name === "score") return new Map([...document.book.entries].map(([id, cell]) => [id, cell.facts.score]));
  const column = measured?.columns.get(name);
  return new Map(measured?.ids.map((id, i) => [id, column?.values[i] ?? null]));
}

export interface Histogram {
  readonly counts: readonly number[];
  readonly low: number;
  readonly high: number;
}

export function histogram(values: readonly number[], bins = 32): Histogram | null {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return null;
  let [low, high] = [Infinity, -Infinity];
  for (const value of finite) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const counts = new Array<number>(bins).fill(0);
  for (const value of finite) counts[Math.min(bins - 1, Math.floor(((value - low) / (high - low)) * bins))]++;
  return { counts, low, high };
}

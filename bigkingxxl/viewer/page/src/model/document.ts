/** One open image: its cells, its reviewed region, its history; and the one way to change them. */
import type { CellTable, Edit, ImageInfo, PastEdit } from "../wire/contract.ts";
import { type Box, height, union, width } from "./box.ts";
import { CellBook } from "./cell_book.ts";
import { type Cells, type Change, isEmptyChange } from "./change.ts";
import { History } from "./history.ts";
import { Raster } from "./raster.ts";
import { boundsOf, NUMBERS_PER_RUN, type Runs } from "./runs.ts";

export type LoadTile = (
  what: "labels" | "reviewed",
  level: number,
  place: { row: number; col: number } | null,
) => Promise<ArrayLike<number>>;

/** Told of every change: the box of pixels that look otherwise now, and the change if there is one. */
export type Listener = (box: Box, change: Change | null) => void;

export class Document implements Cells {
  readonly info: ImageInfo;
  readonly labels: Raster;
  /** The label image as seen from afar: level 1, 2 ... of a large image; empty for others. */
  readonly overviews: readonly Raster[];
  readonly reviewed: Raster;
  readonly book: CellBook;
  readonly history = new History();
  done: boolean;
  /** Pixels that are reviewed. */
  reviewedPixels: number;
  /** The server's revision plus the edits that are on their way. */
  revision: number;
  private readonly listeners = new Set<Listener>();
  private readonly loadTile: LoadTile;
  /** All changes since the image was opened. */
  private readonly session: Change[] = [];
  private readonly loading = new Map<string, Promise<void>>();

  constructor(info: ImageInfo, table: CellTable, tileSide: number, loadTile: LoadTile) {
    this.info = info;
    this.loadTile = loadTile;
    const [full, ...further] = info.levels;
    this.labels = new Raster(full.height, full.width, tileSide);
    this.reviewed = new Raster(full.height, full.width, tileSide);
    this.overviews = further.map((level) => new Raster(level.height, level.width, tileSide));
    this.book = CellBook.of(table, info.next_cell);
    this.done = info.entry.done;
    this.reviewedPixels = info.entry.done ? 0 : Math.round(info.entry.reviewed * full.height * full.width);
    this.revision = table.revision;
  }

  get key(): string {
    return this.info.entry.key;
  }

  get size(): { height: number; width: number } {
    return { height: this.labels.height, width: this.labels.width };
  }

  /** Of an image that is done all is reviewed. */
  get reviewedShare(): number {
    if (this.done) return 1;
    return this.reviewedPixels / (this.labels.height * this.labels.width);
  }

  /** Whether the whole image is in the memory at once. */
  get isWhole(): boolean {
    return this.overviews.length === 0;
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // ---- loading ----------------------------------------------------------------------------------

  /** Load what a window of the image needs before it can be changed. */
  async ensure(box: Box): Promise<void> {
    await Promise.all([this.ensureRaster("labels", 0, box), this.ensureRaster("reviewed", 0, box)]);
  }

  async ensureReviewed(box: Box): Promise<void> {
    await this.ensureRaster("reviewed", 0, box);
  }

  /** Load what a change concerns before it is made. */
  async ensureFor(change: Pick<Change, "runs" | "reviewed">): Promise<void> {
    const { width } = this.labels;
    await Promise.all([
      this.ensureRaster("labels", 0, boundsOf(change.runs, width)),
      this.ensureRaster("reviewed", 0, boundsOf(change.reviewed, width)),
    ]);
  }

  /** Load what a window (in pixels of the level) needs to be shown from afar. */
  ensureOverview(level: number, box: Box): Promise<void> {
    return this.ensureRaster("labels", level, box);
  }

  private async ensureRaster(what: "labels" | "reviewed", level: number, box: Box): Promise<void> {
    const raster = what === "reviewed" ? this.reviewed : level === 0 ? this.labels : this.overviews[level - 1];
    if (this.isWhole) {
      if (raster.missing(raster.bounds).length) await this.once(`${what} whole`, what, 0, null, raster);
      return;
    }
    await Promise.all(
      raster.missing(box).map((place) => this.once(`${what} ${level} ${place.row} ${place.col}`, what, level, place, raster)),
    );
  }

  private once(
    name: string,
    what: "labels" | "reviewed",
    level: number,
    place: { row: number; col: number } | null,
    raster: Raster,
  ): Promise<void> {
    const running = this.loading.get(name);
    if (running) return running;
    const box = place ? raster.tileBox(place) : raster.bounds;
    const load = this.loadTile(what, level, place)
      .then((values) => {
        if (values.length !== height(box) * width(box))
          throw new Error(`The label image does not have the size of the image (${width(box)} x ${height(box)} pixels).`);
        raster.load(box, values);
        if (what === "reviewed" && !place) this.reviewedPixels = countOnes(values);
        // The server may or may not have these already: painting them once more is the same.
        for (const change of this.session) this.paint(change, raster, what, level);
        this.tell(what === "labels" ? scaled(box, 2 ** level) : box, null);
      })
      .finally(() => this.loading.delete(name));
    this.loading.set(name, load);
    return load;
  }

  // ---- changing ---------------------------------------------------------------------------------

  /** Whether everything is as it was before the change. */
  fits(change: Change): boolean {
    return (
      this.book.fits(change.cells) &&
      this.labels.fits(change.runs) &&
      this.reviewed.fits(change.reviewed) &&
      (!change.done || change.done.before === this.done)
    );
  }

  /** Make a change; it is one revision of the image. */
  make(change: Change): void {
    if (isEmptyChange(change)) return;
    this.preview(change);
    this.history.follow(change);
    this.revision++;
  }

  /** Show a change that may still be taken back, as while a stroke is drawn. */
  preview(change: Change): void {
    this.session.push(change);
    let box = this.labels.apply(change.runs);
    this.overviews.forEach((raster, i) => this.paint(change, raster, "labels", i + 1));
    this.book.apply(change.runs, change.cells, this.labels);
    box = union(box, this.reviewed.apply(change.reviewed));
    for (let i = 0; i < change.reviewed.length; i += NUMBERS_PER_RUN)
      this.reviewedPixels += change.reviewed[i + 1] * (change.reviewed[i + 3] - change.reviewed[i + 2]);
    if (change.done) this.done = change.done.after;
    for (const { id } of change.cells) {
      const cell = this.book.get(id);
      if (cell) box = union(box, cell.box);
    }
    this.tell(box, change);
  }

  /** The edit of a change that is about to be made. */
  edit(change: Change, window: string, seq: number): Edit {
    const { tool, runs, cells, reviewed, done } = change;
    return { window, seq, revision: this.revision, tool, runs, cells, reviewed, done };
  }

  /** Follow the journal as it was before this page came. */
  remember(edits: readonly PastEdit[]): void {
    for (const { edit } of edits) this.history.follow(changeOf(edit));
  }

  private paint(change: Change, raster: Raster, what: "labels" | "reviewed", level: number): void {
    if (what === "reviewed") raster.apply(change.reviewed);
    else if (level === 0) raster.apply(change.runs);
    else raster.apply(fromAfar(change.runs, this.labels.width, raster, 2 ** level));
  }

  private tell(box: Box, change: Change | null): void {
    for (const listener of this.listeners) listener(box, change);
  }
}

export function changeOf(edit: Edit): Change {
  const { tool, runs, cells, reviewed, done } = edit;
  return { tool, runs, cells, reviewed, done };
}

function countOnes(values: ArrayLike<number>): number {
  let ones = 0;
  for (let i = 0; i < values.length; i++) ones += values[i];
  return ones;
}

/** The runs as seen by a raster that holds every `step`-th pixel. */
function fromAfar(runs: Runs, imageWidth: number, raster: Raster, step: number): Runs {
  const result: number[] = [];
  for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
    const row = Math.floor(runs[i] / imageWidth);
    if (row % step) continue;
    const col = runs[i] - row * imageWidth;
    const [start, stop] = [Math.ceil(col / step), Math.ceil((col + runs[i + 1]) / step)];
    if (stop > start)
      result.push((row / step) * raster.width + start, stop - start, runs[i + 2], runs[i + 3]);
  }
  return result;
}

function scaled(box: Box, by: number): Box {
  return { row0: box.row0 * by, col0: box.col0 * by, row1: box.row1 * by, col1: box.col1 * by };
}

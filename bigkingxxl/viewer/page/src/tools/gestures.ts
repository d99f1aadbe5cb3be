/** One gesture per tool: from where it is pressed to the change that it makes. */
import { type Box, type Point, intersection, padded, union } from "../model/box.ts";
import { type Change, joined, Refusal, undone } from "../model/change.ts";
import type { Document } from "../model/document.ts";
import * as masks from "../model/masks.ts";
import * as tools from "../model/tools.ts";
import type { App, ToolName } from "../state/app.ts";
import { isKept } from "../view/colouring.ts";
import type { Gesture, Press, Sketch } from "./gesture.ts";

/** Pixels of the screen within which a press and its end are one click. */
const CLICK = 4;

/** Start the gesture of the current tool; null if it does nothing, which a message explains. */
export function begin(app: App, press: Press, zoom: number): Gesture | null {
  const tool = app.tool.value;
  if (tool === "select") return app.shown.value && new SelectGesture(app, app.shown.value, press, zoom);
  const document = app.mayEdit();
  if (!document) return null;
  return makers[tool](app, document, press, zoom);
}

const makers: Record<Exclude<ToolName, "select">, (app: App, document: Document, press: Press, zoom: number) => Gesture> = {
  brush: (app, document, press) => new BrushGesture(app, document, press, false),
  eraser: (app, document, press) => new BrushGesture(app, document, press, true),
  lasso: (app, document, press) => new PathGesture(app, document, press, true, lassoed),
  cut: (app, document, press) => new PathGesture(app, document, press, false, cutAlong),
  add: (app, document, press) => new ClickGesture(() => addAt(app, document, press)),
  region: (app, document, press) => new RegionGesture(app, document, press),
};

/** The cell at a place that is shown there, or 0. */
export function cellAt(app: App, { row, col }: Point): number {
  const document = app.shown.value;
  const id = document?.labels.at(Math.floor(row), Math.floor(col)) ?? 0;
  const cell = document?.book.get(id);
  const thresholds = { minScore: app.display.minScore.value, minArea: app.display.minArea.value };
  return cell && isKept(cell, thresholds) ? id : 0;
}

/** Load what a change needs, then make it of the cells as they are then. */
async function change(app: App, document: Document, box: Box, make: () => Change | Refusal): Promise<boolean> {
  await app.during(document.ensure(box));
  return app.document.value === document && app.change(make());
}

/** A change of the selected cells, from a key or a button. */
export async function changeSelected(
  app: App,
  make: (document: Document, ids: ReadonlySet<number>) => Change | Refusal,
): Promise<void> {
  const document = app.mayEdit();
  if (!document) return;
  const ids = app.selected.value;
  await change(app, document, padded(tools.boxOfAll(document, ids), 6), () => make(document, ids));
}

class SelectGesture implements Gesture {
  sketch: Sketch = null;
  private readonly app: App;
  private readonly document: Document;
  private readonly start: Press;
  private readonly zoom: number;

  constructor(app: App, document: Document, start: Press, zoom: number) {
    [this.app, this.document, this.start, this.zoom] = [app, document, start, zoom];
  }

  move({ at }: Press): void {
    const from = this.start.at;
    const far = Math.max(Math.abs(at.row - from.row), Math.abs(at.col - from.col)) * this.zoom > CLICK;
    if (far || this.sketch) this.sketch = { kind: "box", box: boxBetween(from, at) };
  }

  end(press: Press): void {
    this.move(press);
    const many = press.shift || this.start.shift || press.ctrl;
    const before = many ? this.app.selected.value : new Set<number>();
    if (this.sketch?.kind === "box") {
      const thresholds = { minScore: this.app.display.minScore.value, minArea: this.app.display.minArea.value };
      const inside = tools.cellsWithin(this.document, this.sketch.box).filter((id) => {
        const cell = this.document.book.get(id);
        return cell && isKept(cell, thresholds);
      });
      this.app.selected.value = new Set([...before, ...inside]);
      return;
    }
    void this.pick(before);
  }

  /** The part of a large image that is clicked may still be on its way. */
  private async pick(before: ReadonlySet<number>): Promise<void> {
    const [row, col] = [Math.floor(this.start.at.row), Math.floor(this.start.at.col)];
    const box = { row0: row, col0: col, row1: row + 1, col1: col + 1 };
    if (this.document.labels.missing(box).length) await this.document.ensure(box);
    if (this.app.shown.value !== this.document) return;
    const id = cellAt(this.app, this.start.at);
    const selected = new Set(before);
    if (id && !selected.delete(id)) selected.add(id);
    this.app.selected.value = selected;
  }

  cancel(): void {
    this.sketch = null;
  }
}

/** Paints while it moves; the whole stroke is one step of undo. */
class BrushGesture implements Gesture {
  readonly sketch = null;
  private readonly app: App;
  private readonly document: Document;
  private readonly erases: boolean;
  private readonly id: number;
  private readonly isNew: boolean;
  private readonly changes: Change[] = [];
  private last: Point;
  private reach: Box | null = null;
  private refusal: Refusal | null = null;
  /** Parts of the stroke are painted in their order, when what they need is loaded. */
  private painting: Promise<void> = Promise.resolve();

  constructor(app: App, document: Document, press: Press, erases: boolean) {
    [this.app, this.document, this.erases, this.last] = [app, document, erases, press.at];
    const under = cellAt(app, press.at);
    const [chosen] = app.selected.value.size === 1 ? app.selected.value : [0];
    this.id = press.shift && chosen ? chosen : under || document.book.nextCell;
    this.isNew = !document.book.get(this.id);
    this.paint(press);
  }

  move(press: Press): void {
    this.paint(press);
    this.last = press.at;
  }

  end(press: Press): void {
    this.move(press);
    this.painting = this.app.during(this.painting.then(() => this.finish()));
  }

  cancel(): void {
    this.painting = this.painting.then(() => this.takeBack());
  }

  private paint(press: Press): void {
    const mask = masks.stroke([this.last, press.at], this.app.display.brush.value / 2);
    const overwrite = press.alt !== this.app.display.overwrite.value;
    this.painting = this.painting.then(async () => {
      await this.document.ensure(mask.box);
      const change = this.erases
        ? tools.erase("erase", this.document, mask, this.app.selected.value)
        : tools.paint("brush", this.document, mask, this.id, { overwrite }, tools.drawnCell(newType(this.app)));
      if (change instanceof Refusal) {
        this.refusal = change;
        return;
      }
      this.reach = this.reach ? union(this.reach, mask.box) : mask.box;
      this.changes.push(change);
      this.document.preview(change);
    });
  }

  private takeBack(): void {
    for (const change of this.changes.reverse()) this.document.preview(undone(change));
    this.changes.length = 0;
  }

  private finish(): void {
    if (!this.reach || !this.changes.length) {
      if (this.refusal) this.app.messages.tell(this.refusal.reason);
      return;
    }
    const box = intersection(this.reach, this.document.labels.bounds);
    const whole = joined(this.erases ? "erase" : "brush", this.changes, this.document.labels, box);
    this.takeBack();
    if (this.app.document.value !== this.document || !this.app.change(whole)) return;
    if (this.isNew && !this.erases && this.document.book.get(this.id)) this.app.selected.value = new Set([this.id]);
  }
}

type PathEnd = (app: App, document: Document, points: readonly Point[], press: Press) => Promise<void>;

/** Collects a line; what becomes of it is decided at its end. */
class PathGesture implements Gesture {
  private readonly points: Point[];
  private readonly app: App;
  private readonly document: Document;
  private readonly closed: boolean;
  private readonly finish: PathEnd;
  private readonly start: Press;

  constructor(app: App, document: Document, press: Press, closed: boolean, finish: PathEnd) {
    [this.app, this.document, this.start, this.closed, this.finish] = [app, document, press, closed, finish];
    this.points = [press.at];
  }

  get sketch(): Sketch {
    return { kind: "path", points: this.points, closed: this.closed };
  }

  move({ at }: Press): void {
    const last = this.points[this.points.length - 1];
    if (Math.hypot(at.row - last.row, at.col - last.col) > 0.25) this.points.push(at);
  }

  end(press: Press): void {
    this.move(press);
    const { shift, alt, ctrl } = this.start;
    const both = { at: press.at, shift: shift || press.shift, alt: alt || press.alt, ctrl: ctrl || press.ctrl };
    void this.finish(this.app, this.document, this.points, both);
  }

  cancel(): void {
    this.points.length = 0;
  }
}

async function lassoed(app: App, document: Document, points: readonly Point[], press: Press): Promise<void> {
  const mask = masks.polygon(points);
  const [chosen] = app.selected.value.size === 1 ? app.selected.value : [0];
  const adds = press.shift && chosen !== 0;
  const id = adds ? chosen : document.book.nextCell;
  const overwrite = press.alt !== app.display.overwrite.value;
  const made = await change(app, document, mask.box, () => {
    if (!mask.inside.includes(1)) return new Refusal("Draw around the cell. The outline closes when you release the button.");
    if (press.ctrl) return tools.erase("lasso erase", document, mask, app.selected.value);
    return tools.paint(adds ? "lasso add" : "lasso", document, mask, id, { overwrite }, tools.drawnCell(newType(app)));
  });
  if (made && !press.ctrl) app.selected.value = new Set([id]);
}

async function cutAlong(app: App, document: Document, points: readonly Point[]): Promise<void> {
  const { selected } = app;
  const under = masks.line(points).box;
  await document.ensure(under);
  const crossed = tools.cellsWithin(document, document.labels.bounds).filter((id) => {
    const cell = document.book.get(id);
    return cell && cell.box.row0 < under.row1 && under.row0 < cell.box.row1 && cell.box.col0 < under.col1 && under.col0 < cell.box.col1;
  });
  const before = document.book.nextCell;
  const made = await change(app, document, tools.boxOfAll(document, crossed), () => tools.cut(document, points, selected.value));
  if (made) {
    const pieces = [...document.book.ids].filter((id) => id >= before);
    selected.value = new Set([...selected.value, ...pieces]);
  }
}

class ClickGesture implements Gesture {
  readonly sketch = null;
  private readonly act: () => void;

  constructor(act: () => void) {
    this.act = act;
  }

  move(): void {
    // A click is where it began.
  }

  end(): void {
    this.act();
  }

  cancel(): void {
    // Nothing was begun.
  }
}

/** The model's own candidate at a place becomes a cell. */
async function addAt(app: App, document: Document, { at }: Press): Promise<void> {
  const [row, col] = [Math.floor(at.row), Math.floor(at.col)];
  const candidate = tools.candidateAt(app.candidates.value, row, col, document.labels.width);
  if (!candidate) {
    const none = app.candidates.value.length
      ? "The model detected no other cell here. Draw it with the lasso (L) or the brush (B)."
      : "No candidates of the model are stored for this image. Draw the cell with the lasso (L) or the brush (B).";
    app.messages.tell(none);
    return;
  }
  const id = document.book.nextCell;
  const [row0, col0, row1, col1] = candidate.box;
  const made = await change(app, document, { row0, col0, row1, col1 }, () => tools.addCandidate(document, candidate));
  if (made) app.selected.value = new Set([id]);
}

class RegionGesture implements Gesture {
  private readonly app: App;
  private readonly document: Document;
  private readonly start: Press;
  private box: Box;

  constructor(app: App, document: Document, start: Press) {
    [this.app, this.document, this.start] = [app, document, start];
    this.box = boxBetween(start.at, start.at);
  }

  get sketch(): Sketch {
    return { kind: "box", box: this.box };
  }

  move({ at }: Press): void {
    this.box = boxBetween(this.start.at, at);
  }

  end(press: Press): void {
    this.move(press);
    const value = press.alt || this.start.alt ? 0 : 1;
    const box = intersection(this.box, this.document.labels.bounds);
    void change(this.app, this.document, box, () => tools.review(this.document.reviewed, box, value));
  }

  cancel(): void {
    // Only the sketch was there.
  }
}

/** The type of cells that are drawn: that of the selected cell, else the most frequent one. */
function newType(app: App): string {
  const document = app.document.value;
  const [chosen] = app.selected.value;
  const selected = chosen ? document?.book.get(chosen)?.facts.type : undefined;
  if (selected !== undefined) return selected;
  const counts = new Map<string, number>();
  for (const [, { facts }] of document?.book.entries ?? []) counts.set(facts.type, (counts.get(facts.type) ?? 0) + 1);
  const [most] = [...counts].sort((a, b) => b[1] - a[1]);
  return most?.[0] ?? app.types.value[0] ?? "";
}

function boxBetween(a: Point, b: Point): Box {
  return {
    row0: Math.floor(Math.min(a.row, b.row)),
    col0: Math.floor(Math.min(a.col, b.col)),
    row1: Math.floor(Math.max(a.row, b.row)) + 1,
    col1: Math.floor(Math.max(a.col, b.col)) + 1,
  };
}

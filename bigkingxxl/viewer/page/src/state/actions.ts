/** Actions of keys and buttons that need more than one line. */
import * as tools from "../model/tools.ts";
import { changeSelected } from "../tools/gestures.ts";
import type { CanvasView } from "../view/canvas_view.ts";
import { isKept } from "../view/colouring.ts";
import type { ColourBy } from "../view/palette.ts";
import { client } from "../wire/client.ts";
import { type App, errorText } from "./app.ts";
import { arranged } from "./strip_order.ts";

const BRUSHES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 90, 110, 140, 180, 220] as const;
const COLOURS: readonly ColourBy[] = ["cell", "type", "score", "area", "origin"];

export function resizeBrush(app: App, by: 1 | -1): void {
  const now = app.display.brush.value;
  const sizes: readonly number[] = BRUSHES;
  const next = by > 0 ? sizes.find((size) => size > now) : sizes.filter((size) => size < now).at(-1);
  app.display.brush.value = next ?? now;
}

export function setTypeByNumber(app: App, number: number): void {
  const type = app.types.value[number - 1];
  if (type === undefined) app.messages.tell(`There is no cell type with the number ${number}.`);
  else void changeSelected(app, (cells, ids) => tools.setType(cells, ids, type));
}

/** Cells that thresholds leave in, from the top left to the bottom right. */
export function cellsInOrder(app: App): number[] {
  const document = app.shown.value;
  const thresholds = { minScore: app.display.minScore.value, minArea: app.display.minArea.value };
  return [...(document?.book.entries ?? [])]
    .filter(([, cell]) => isKept(cell, thresholds))
    .sort(([, a], [, b]) => a.box.row0 - b.box.row0 || a.box.col0 - b.box.col0)
    .map(([id]) => id);
}

export function stepCell(app: App, by: 1 | -1): void {
  const cells = cellsInOrder(app);
  if (!cells.length) return;
  const [chosen] = app.selected.value;
  const at = chosen === undefined ? (by > 0 ? -1 : 0) : cells.indexOf(chosen);
  showCell(app, cells[(at + by + cells.length) % cells.length]);
}

export function showCell(app: App, id: number): void {
  const box = app.shown.value?.book.get(id)?.box;
  if (!box) return;
  app.selected.value = new Set([id]);
  app.show(box);
}

export function selectAll(app: App): void {
  app.selected.value = new Set(cellsInOrder(app));
}

export function escape(app: App, view: CanvasView): void {
  if (view.cancelGesture()) return;
  else if (view.cursor.value) view.toggleCursor();
  else app.selected.value = new Set();
}

export function nextColours(app: App): void {
  const { colourBy } = app.display;
  colourBy.value = COLOURS[(COLOURS.indexOf(colourBy.value) + 1) % COLOURS.length];
}

export function stepImage(app: App, by: 1 | -1): void {
  const order = arranged(app.images.value, app.display.order.value, "");
  const key = app.opening.value || app.document.value?.key;
  const at = order.findIndex((each) => each.key === key);
  const next = order[at + by];
  if (next) void app.open(next.key);
  else app.messages.tell(by > 0 ? "This is the last image." : "This is the first image.");
}

/** The whole image is reviewed: all its cells are accepted, and where there are none there are none. */
export async function acceptAll(app: App): Promise<boolean> {
  const document = app.mayEdit();
  if (!document) return false;
  await app.during(document.ensureReviewed(document.labels.bounds));
  return app.change(tools.review(document.reviewed, document.labels.bounds, 1));
}

export async function doneNext(app: App): Promise<void> {
  const document = app.mayEdit();
  if (!document) return;
  // Of an image that is done all counts: one of which a part is marked is left as it is.
  if (document.reviewedShare > 0 && document.reviewedShare < 1)
    app.messages.tell("Only the marked part of the image is reviewed. To mark the whole image as reviewed, click Accept all.");
  else if (!document.done) app.change(tools.setDone({ before: false, after: true }));
  await app.saved();
  try {
    const [next] = (await client.next(document.key)).keys;
    if (next) await app.open(next);
    else app.messages.tell("All images are marked as done.");
  } catch (error) {
    app.messages.tell(errorText(error), "error");
  }
}

/** All keyboard shortcuts in one table, from which the page runs them and the help shows them. */

import * as tools from "./model/tools.ts";
import * as actions from "./state/actions.ts";
import type { App, ToolName } from "./state/app.ts";
import { changeSelected } from "./tools/gestures.ts";
import type { CanvasView } from "./view/canvas_view.ts";

export interface Binding {
  readonly group: string;
  /** As shown in the help sheet: "Ctrl+Z", "Shift+G", "[". The first is the main one. */
  readonly keys: readonly string[];
  readonly does: string;
  run(app: App, view: CanvasView, event: KeyboardEvent): void;
  /** For keys that are held. */
  release?(app: App, view: CanvasView): void;
}

function toolKey(key: string, tool: ToolName, does: string): Binding {
  return { group: "Tools", keys: [key], does, run: (app) => app.take(tool) };
}

const pressKeys = (event: KeyboardEvent): { shift: boolean; alt: boolean; ctrl: boolean } => ({
  shift: event.shiftKey,
  alt: event.altKey,
  ctrl: event.ctrlKey || event.metaKey,
});

export const BINDINGS: readonly Binding[] = [
  toolKey("V", "select", "Select: click a cell, or drag a box around cells; hold Shift to add to the selection"),
  toolKey("B", "brush", "Brush: start on a cell to extend it, or next to it to draw a new cell; hold Shift to extend the selected cell"),
  toolKey("E", "eraser", "Eraser: erase parts of cells; if cells are selected, only these are changed"),
  toolKey("L", "lasso", "Lasso: draw the outline of a cell, which closes by itself; hold Shift to add to the selected cell, or Ctrl to erase"),
  toolKey("C", "cut", "Cut: draw a line across a cell to divide it"),
  toolKey("N", "add", "Add: click a cell that the model detected with a low score"),
  toolKey("R", "region", "Reviewed region: drag a rectangle over the part that you have checked; hold Alt to remove it"),
  { group: "Tools", keys: ["[", ","], does: "Make the brush smaller", run: (app) => actions.resizeBrush(app, -1) },
  { group: "Tools", keys: ["]", "."], does: "Make the brush larger", run: (app) => actions.resizeBrush(app, 1) },
  {
    group: "Tools",
    keys: ["O"],
    does: "Allow or forbid painting over other cells (hold Alt while you draw to do the opposite)",
    run: ({ display }) => (display.overwrite.value = !display.overwrite.value),
  },

  { group: "Selected cells", keys: ["Delete", "Backspace"], does: "Delete them", run: (app) => void changeSelected(app, tools.remove) },
  { group: "Selected cells", keys: ["M"], does: "Merge them into one cell", run: (app) => void changeSelected(app, tools.merge) },
  { group: "Selected cells", keys: ["F"], does: "Fill their holes", run: (app) => void changeSelected(app, tools.fillHoles) },
  { group: "Selected cells", keys: ["G"], does: "Grow them by one pixel", run: (app) => void changeSelected(app, tools.grow) },
  { group: "Selected cells", keys: ["Shift+G"], does: "Shrink them by one pixel", run: (app) => void changeSelected(app, tools.shrink) },
  {
    group: "Selected cells",
    keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    does: "Set their type, by its number in the list",
    run: (app, _, event) => actions.setTypeByNumber(app, Number(event.key)),
  },
  { group: "Selected cells", keys: ["0"], does: "Remove their type", run: (app) => void changeSelected(app, (cells, ids) => tools.setType(cells, ids, "")) },
  { group: "Selected cells", keys: ["J"], does: "Select the next cell", run: (app) => actions.stepCell(app, 1) },
  { group: "Selected cells", keys: ["Shift+J"], does: "Select the previous cell", run: (app) => actions.stepCell(app, -1) },
  { group: "Selected cells", keys: ["Ctrl+A"], does: "Select all cells", run: actions.selectAll },
  { group: "Selected cells", keys: ["Escape"], does: "Cancel the current drawing, or clear the selection", run: (app, view) => actions.escape(app, view) },

  { group: "Undo, and images", keys: ["Ctrl+Z"], does: "Undo", run: (app) => void app.undo() },
  { group: "Undo, and images", keys: ["Ctrl+Y", "Ctrl+Shift+Z"], does: "Redo", run: (app) => void app.redo() },
  { group: "Undo, and images", keys: ["D", "ArrowRight"], does: "Open the next image in the list", run: (app) => actions.stepImage(app, 1) },
  { group: "Undo, and images", keys: ["A", "ArrowLeft"], does: "Open the previous image in the list", run: (app) => actions.stepImage(app, -1) },
  { group: "Undo, and images", keys: ["Shift+Enter"], does: "Accept all cells: mark the whole image as reviewed", run: (app) => void actions.acceptAll(app) },
  { group: "Undo, and images", keys: ["Enter"], does: "Mark the image as done, and open the next image that needs correction", run: (app) => void actions.doneNext(app) },
  {
    group: "Undo, and images",
    keys: ["Shift+D"],
    does: "Mark the image as not done",
    run: (app) => {
      const document = app.mayEdit();
      if (document?.done) app.change(tools.setDone({ before: true, after: false }));
    },
  },

  { group: "View", keys: ["X"], does: "Show or hide the filling of cells", run: ({ display }) => (display.filled.value = !display.filled.value) },
  { group: "View", keys: ["Z"], does: "Show or hide outlines", run: ({ display }) => (display.outlines.value = !display.outlines.value) },
  {
    group: "View",
    keys: ["H"],
    does: "Hide all cells while you hold the key",
    run: ({ display }) => (display.hidden.value = true),
    release: ({ display }) => (display.hidden.value = false),
  },
  {
    group: "View",
    keys: ["Space"],
    does: "Hold and drag to move the image (or drag with the middle or right mouse button)",
    run: (_, view) => view.holdSpace(true),
    release: (_, view) => view.holdSpace(false),
  },
  { group: "View", keys: ["+", "="], does: "Zoom in (or turn the mouse wheel)", run: (_, view) => view.zoomBy(1.25) },
  { group: "View", keys: ["-"], does: "Zoom out", run: (_, view) => view.zoomBy(0.8) },
  { group: "View", keys: ["Home"], does: "Show the whole image", run: (_, view) => view.fit() },
  { group: "View", keys: ["End"], does: "Show the image at 100 % (one image pixel per screen pixel)", run: (_, view) => view.zoomTo(1) },
  { group: "View", keys: ["T"], does: "Colour the cells in another way", run: actions.nextColours },
  { group: "View", keys: ["/"], does: "Search images", run: () => document.querySelector<HTMLInputElement>("#search")?.focus() },
  { group: "View", keys: ["?", "F1"], does: "Show or hide this help", run: (app) => (app.helpOpen.value = !app.helpOpen.value) },

  { group: "Drawing with the keyboard", keys: ["K"], does: "Show or hide a crosshair that you move with the keyboard", run: (_, view) => view.toggleCursor() },
];

/** With the crosshair shown, arrows and Space draw; these come before all other keys. */
const STEP: Record<string, readonly [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

export const CROSSHAIR_HELP: readonly Pick<Binding, "group" | "keys" | "does">[] = [
  { group: "Drawing with the keyboard", keys: ["Arrow keys"], does: "Move the crosshair by one pixel, or with Ctrl by ten pixels" },
  { group: "Drawing with the keyboard", keys: ["Space"], does: "Press and release the tool; Shift, Alt and Ctrl work as with the mouse" },
];

function nameOf(event: KeyboardEvent): string {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const isLetter = /^[A-Z]$/.test(key);
  const isNamed = key.length > 1;
  // Brackets need AltGr on some keyboards, which the browser tells as Ctrl and Alt.
  const plain = event.getModifierState("AltGraph");
  const ctrl = !plain && (event.ctrlKey || event.metaKey) ? "Ctrl+" : "";
  const alt = !plain && event.altKey ? "Alt+" : "";
  const shift = event.shiftKey && (isLetter || isNamed) ? "Shift+" : "";
  return ctrl + alt + shift + key;
}

const byName = new Map(BINDINGS.flatMap((binding) => binding.keys.map((key) => [key, binding] as const)));

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target.isContentEditable || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}

/** Keys that a focused button, row or list uses itself. */
const OWN_KEYS = new Set(["Enter", "Space", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"]);

function isOwn(event: KeyboardEvent, name: string): boolean {
  const { target } = event;
  return target instanceof HTMLElement && target.closest("button, input, summary, [role=row], [role=option], [role=tab], a") !== null && OWN_KEYS.has(name);
}

export function listenToKeys(app: App, view: () => CanvasView | null): () => void {
  const held = new Map<string, Binding>();
  const down = (event: KeyboardEvent): void => {
    const canvas = view();
    const name = nameOf(event);
    if (!canvas || event.isComposing || isTyping(event.target) || isOwn(event, name)) return;
    // An open dialog gets all keys; only the help also closes by its own key.
    if (document.querySelector("dialog[open]") && !(app.helpOpen.value && (name === "?" || name === "F1"))) return;
    if (canvas.cursor.value && crosshairKey(canvas, event)) return void event.preventDefault();
    const binding = byName.get(name);
    if (!binding) return;
    event.preventDefault();
    if (binding.release) {
      if (event.repeat) return;
      held.set(event.code, binding);
    } else if (canvas.isDrawing && name !== "Escape") return;
    binding.run(app, canvas, event);
  };
  const release = (code: string): void => {
    const canvas = view();
    if (canvas) held.get(code)?.release?.(app, canvas);
    held.delete(code);
  };
  const up = (event: KeyboardEvent): void => release(event.code);
  // The page gets no event if a key is released in another window.
  const blur = (): void => [...held.keys()].forEach(release);
  addEventListener("keydown", down);
  addEventListener("keyup", up);
  addEventListener("blur", blur);
  return () => {
    removeEventListener("keydown", down);
    removeEventListener("keyup", up);
    removeEventListener("blur", blur);
  };
}

function crosshairKey(view: CanvasView, event: KeyboardEvent): boolean {
  const keys = pressKeys(event);
  const step = STEP[event.key];
  if (step) {
    const far = keys.ctrl ? 10 : 1;
    view.moveCursor(step[0] * far, step[1] * far, { ...keys, ctrl: false });
    return true;
  }
  if (event.key !== " ") return false;
  if (!event.repeat) view.pressCursor(keys);
  return true;
}

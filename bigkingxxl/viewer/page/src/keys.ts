/** Every key of the page, in one table: it runs them, and the help sheet shows it. */

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
  toolKey("V", "select", "Select: click a cell; drag a box; Shift adds"),
  toolKey("B", "brush", "Brush: from a cell it extends it, elsewhere it draws a new one; Shift: the selected cell"),
  toolKey("E", "eraser", "Eraser: only the selected cells, if any are selected"),
  toolKey("L", "lasso", "Lasso: draws a cell and closes itself; Shift adds to the selected cell, Ctrl erases"),
  toolKey("C", "cut", "Cut: draw a line across a cell"),
  toolKey("N", "add", "Add: click a shape that the model saw but left out"),
  toolKey("R", "region", "Reviewed part: drag a rectangle; Alt takes it back"),
  { group: "Tools", keys: ["[", ","], does: "Smaller brush", run: (app) => actions.resizeBrush(app, -1) },
  { group: "Tools", keys: ["]", "."], does: "Larger brush", run: (app) => actions.resizeBrush(app, 1) },
  {
    group: "Tools",
    keys: ["O"],
    does: "Paint over other cells, or not (Alt while drawing: the other way)",
    run: ({ look }) => (look.overwrite.value = !look.overwrite.value),
  },

  { group: "Selected cells", keys: ["Delete", "Backspace"], does: "Delete", run: (app) => void changeSelected(app, tools.remove) },
  { group: "Selected cells", keys: ["M"], does: "Merge into one cell", run: (app) => void changeSelected(app, tools.merge) },
  { group: "Selected cells", keys: ["F"], does: "Fill holes", run: (app) => void changeSelected(app, tools.fillHoles) },
  { group: "Selected cells", keys: ["G"], does: "Grow by one pixel", run: (app) => void changeSelected(app, tools.grow) },
  { group: "Selected cells", keys: ["Shift+G"], does: "Shrink by one pixel", run: (app) => void changeSelected(app, tools.shrink) },
  {
    group: "Selected cells",
    keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    does: "Set the cell type, by its number in the list",
    run: (app, _, event) => actions.setTypeByNumber(app, Number(event.key)),
  },
  { group: "Selected cells", keys: ["0"], does: "No cell type", run: (app) => void changeSelected(app, (cells, ids) => tools.setType(cells, ids, "")) },
  { group: "Selected cells", keys: ["J"], does: "Next cell", run: (app) => actions.stepCell(app, 1) },
  { group: "Selected cells", keys: ["Shift+J"], does: "Previous cell", run: (app) => actions.stepCell(app, -1) },
  { group: "Selected cells", keys: ["Ctrl+A"], does: "Select all cells", run: actions.selectAll },
  { group: "Selected cells", keys: ["Escape"], does: "Give up what is being drawn; select nothing", run: (app, view) => actions.escape(app, view) },

  { group: "Steps and images", keys: ["Ctrl+Z"], does: "Undo", run: (app) => void app.undo() },
  { group: "Steps and images", keys: ["Ctrl+Y", "Ctrl+Shift+Z"], does: "Redo", run: (app) => void app.redo() },
  { group: "Steps and images", keys: ["D", "ArrowRight"], does: "Next image in the strip", run: (app) => actions.stepImage(app, 1) },
  { group: "Steps and images", keys: ["A", "ArrowLeft"], does: "Previous image in the strip", run: (app) => actions.stepImage(app, -1) },
  { group: "Steps and images", keys: ["Shift+Enter"], does: "Accept all: the whole image is reviewed", run: (app) => void actions.acceptAll(app) },
  { group: "Steps and images", keys: ["Enter"], does: "Image done; open the next that needs eyes", run: (app) => void actions.doneNext(app) },
  {
    group: "Steps and images",
    keys: ["Shift+D"],
    does: "Image not done after all",
    run: (app) => {
      const document = app.mayEdit();
      if (document?.done) app.change(tools.setDone({ before: true, after: false }));
    },
  },

  { group: "Looking", keys: ["X"], does: "Fill cells, or not", run: ({ look }) => (look.filled.value = !look.filled.value) },
  { group: "Looking", keys: ["Z"], does: "Outlines, or not", run: ({ look }) => (look.outlines.value = !look.outlines.value) },
  {
    group: "Looking",
    keys: ["H"],
    does: "Hold to hide all cells",
    run: ({ look }) => (look.hidden.value = true),
    release: ({ look }) => (look.hidden.value = false),
  },
  {
    group: "Looking",
    keys: ["Space"],
    does: "Hold and drag to move the image (or drag with the middle or right button)",
    run: (_, view) => view.holdSpace(true),
    release: (_, view) => view.holdSpace(false),
  },
  { group: "Looking", keys: ["+", "="], does: "Zoom in (or turn the wheel)", run: (_, view) => view.zoomBy(1.25) },
  { group: "Looking", keys: ["-"], does: "Zoom out", run: (_, view) => view.zoomBy(0.8) },
  { group: "Looking", keys: ["Home"], does: "Show the whole image", run: (_, view) => view.fit() },
  { group: "Looking", keys: ["End"], does: "One pixel of the image is one of the screen", run: (_, view) => view.zoomTo(1) },
  { group: "Looking", keys: ["T"], does: "Next way to colour cells", run: actions.nextColours },
  { group: "Looking", keys: ["/"], does: "Search images", run: () => document.querySelector<HTMLInputElement>("#search")?.focus() },
  { group: "Looking", keys: ["?", "F1"], does: "This sheet", run: (app) => (app.helpOpen.value = !app.helpOpen.value) },

  { group: "Drawing with the keyboard", keys: ["K"], does: "Show or hide the keyboard's crosshair", run: (_, view) => view.toggleCursor() },
];

/** With the crosshair shown, arrows and Space draw; these come before all other keys. */
const STEP: Record<string, readonly [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

export const CROSSHAIR_HELP: readonly Pick<Binding, "group" | "keys" | "does">[] = [
  { group: "Drawing with the keyboard", keys: ["Arrow keys"], does: "Move the crosshair by one pixel; with Ctrl by ten" },
  { group: "Drawing with the keyboard", keys: ["Space"], does: "Press the tool, and let it go again; Shift, Alt and Ctrl as with the mouse" },
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
    // What is asked in a dialog comes first; only the sheet of keys closes by its own key.
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
  // Keys let go in another window are never told.
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

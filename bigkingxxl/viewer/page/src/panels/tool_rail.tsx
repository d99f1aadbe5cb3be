/** The toolbar beside the image, and the toolbar of the selected cells. */
import type { JSX } from "preact";
import * as tools from "../model/tools.ts";
import type { App, ToolName } from "../state/app.ts";
import { changeSelected } from "../tools/gestures.ts";
import { Icon } from "./icons.tsx";

const TOOLS: readonly { tool: ToolName; name: string; key: string }[] = [
  { tool: "select", name: "Select", key: "V" },
  { tool: "brush", name: "Brush", key: "B" },
  { tool: "eraser", name: "Eraser", key: "E" },
  { tool: "lasso", name: "Lasso", key: "L" },
  { tool: "cut", name: "Cut", key: "C" },
  { tool: "add", name: "Add", key: "N" },
  { tool: "region", name: "Reviewed region", key: "R" },
];

export function ToolRail({ app }: { app: App }): JSX.Element {
  const locked = app.readOnly.value !== "";
  return (
    <section class="rail" aria-label="Tools"><div role="toolbar" aria-label="Tools" aria-orientation="vertical">
      {TOOLS.map(({ tool, name, key }) => (
        <button
          key={tool}
          type="button"
          class="tool"
          aria-pressed={app.tool.value === tool}
          aria-label={name}
          aria-keyshortcuts={key}
          title={`${name} (${key})`}
          disabled={locked && tool !== "select"}
          onClick={() => app.take(tool)}
        >
          <Icon name={tool} />
          <span class="key">{key}</span>
        </button>
      ))}
      <hr />
      <button type="button" class="tool" aria-label="Undo" title={["Undo", undoName(app), "(Ctrl+Z)"].filter(Boolean).join(" ")} disabled={locked || !steps(app).undoable} onClick={() => void app.undo()}>
        <Icon name="undo" />
      </button>
      <button type="button" class="tool" aria-label="Redo" title="Redo (Ctrl+Y)" disabled={locked || !steps(app).redoable} onClick={() => void app.redo()}>
        <Icon name="redo" />
      </button>
    </div></section>
  );
}

function steps(app: App): { undoable: number; redoable: number } {
  void app.version.value;
  return app.document.value?.history ?? { undoable: 0, redoable: 0 };
}

function undoName(app: App): string {
  return app.document.value?.history.names.undo ?? "";
}

const ACTIONS = [
  { name: "Merge", key: "M", least: 2, act: tools.merge },
  { name: "Fill holes", key: "F", least: 1, act: tools.fillHoles },
  { name: "Grow", key: "G", least: 1, act: tools.grow },
  { name: "Shrink", key: "Shift+G", least: 1, act: tools.shrink },
  { name: "Delete", key: "Delete", least: 1, act: tools.remove },
] as const;

/** Options of the current tool. */
export function ToolOptions({ app }: { app: App }): JSX.Element {
  const { display } = app;
  const tool = app.tool.value;
  const draws = tool === "brush" || tool === "lasso";
  return (
    <div class="options" role="toolbar" aria-label="Tool options">
      <span class="hint">{HINTS[tool]}</span>
      {(tool === "brush" || tool === "eraser") && (
        <label class="inline">
          Size
          <input
            type="range" min="1" max="120" step="1" value={display.brush.value}
            aria-label="Brush size in pixels"
            onInput={(event) => (display.brush.value = Number(event.currentTarget.value))}
          />
          <output>{display.brush.value} px</output>
        </label>
      )}
      {draws && (
        <label class="inline" title="If this is off, drawing does not change other cells (O). Hold Alt while you draw to do the opposite.">
          <input type="checkbox" checked={display.overwrite.value} onInput={() => (display.overwrite.value = !display.overwrite.value)} />
          Paint over other cells
        </label>
      )}
    </div>
  );
}

/** Actions on the selected cells. */
export function SelectionBar({ app }: { app: App }): JSX.Element | null {
  const chosen = app.selected.value.size;
  if (!chosen || app.readOnly.value) return null;
  return (
    <div class="chosen" role="toolbar" aria-label="Selected cells">
      <span class="count">{chosen === 1 ? `Cell ${[...app.selected.value][0]}` : `${chosen} cells`}</span>
      {ACTIONS.map(({ name, key, least, act }) => (
        <button key={name} type="button" class="small" disabled={chosen < least} title={`${name} (${key})`} onClick={() => void changeSelected(app, act)}>
          {name}
        </button>
      ))}
      <TypeMenu app={app} />
    </div>
  );
}

const HINTS: Record<ToolName, string> = {
  select: "Click a cell, or drag a box around cells. Hold Shift to add to the selection.",
  brush: "Start on a cell to extend it, or next to it to draw a new cell.",
  eraser: "Erase parts of cells. If cells are selected, only these are changed.",
  lasso: "Draw the outline of a cell. Hold Shift to add to the selected cell, or Ctrl to erase.",
  cut: "Draw a line across a cell to divide it.",
  add: "Click a white outline to add this cell. The model detected it with a low score.",
  region: "Drag over the part that you have checked. Hold Alt to remove the mark.",
};

function TypeMenu({ app }: { app: App }): JSX.Element {
  const document = app.shown.value;
  void app.version.value;
  const types = new Set([...app.selected.value].map((id) => document?.book.get(id)?.facts.type ?? ""));
  const value = types.size === 1 ? [...types][0] : "…";
  const choose = (type: string): void => {
    if (type === "+") app.namingType.value = true;
    else void changeSelected(app, (cells, ids) => tools.setType(cells, ids, type));
  };
  return (
    <label class="inline">
      Type
      <select
        value={value}
        onChange={(event) => {
          const { value: chosen } = event.currentTarget;
          event.currentTarget.value = value;
          event.currentTarget.blur();
          choose(chosen);
        }}
      >
        {types.size > 1 && <option value="…">different types</option>}
        <option value="">none (0)</option>
        {app.types.value.map((type, i) => (
          <option key={type} value={type}>
            {i < 9 ? `${type} (${i + 1})` : type}
          </option>
        ))}
        <option value="+">Add a new type …</option>
      </select>
    </label>
  );
}

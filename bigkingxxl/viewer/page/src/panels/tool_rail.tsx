/** The column of tools beside the image, and what is done with the selected cells. */
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
  { tool: "region", name: "Reviewed part", key: "R" },
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
      <button type="button" class="tool" aria-label="Undo" title={`Undo ${undoName(app)} (Ctrl+Z)`} disabled={locked || !steps(app).undoable} onClick={() => void app.undo()}>
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

/** What the tool in use may be told. */
export function ToolOptions({ app }: { app: App }): JSX.Element {
  const { look } = app;
  const tool = app.tool.value;
  const draws = tool === "brush" || tool === "lasso";
  return (
    <div class="options" role="toolbar" aria-label="Options of the tool">
      <span class="hint">{HINTS[tool]}</span>
      {(tool === "brush" || tool === "eraser") && (
        <label class="inline">
          Size
          <input
            type="range" min="1" max="120" step="1" value={look.brush.value}
            aria-label="Brush size in pixels"
            onInput={(event) => (look.brush.value = Number(event.currentTarget.value))}
          />
          <output>{look.brush.value} px</output>
        </label>
      )}
      {draws && (
        <label class="inline" title="Otherwise pixels of other cells stay theirs (O; Alt while drawing: the other way)">
          <input type="checkbox" checked={look.overwrite.value} onInput={() => (look.overwrite.value = !look.overwrite.value)} />
          Paint over other cells
        </label>
      )}
    </div>
  );
}

/** What may be done with the selected cells. */
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
  select: "Click a cell, or drag a box. Shift adds.",
  brush: "Begin on a cell to extend it, beside it for a new one.",
  eraser: "Takes pixels away; only from the selected cells, if there are any.",
  lasso: "Draw around a cell. Shift adds to the selected cell, Ctrl erases.",
  cut: "Draw a line across a cell.",
  add: "Click a white shape: the model saw it, and left it out.",
  region: "Drag over the part that you have checked. Alt takes it back.",
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
        {types.size > 1 && <option value="…">several</option>}
        <option value="">none (0)</option>
        {app.types.value.map((type, i) => (
          <option key={type} value={type}>
            {i < 9 ? `${type} (${i + 1})` : type}
          </option>
        ))}
        <option value="+">New type …</option>
      </select>
    </label>
  );
}

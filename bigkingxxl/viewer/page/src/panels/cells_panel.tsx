/** Counts, a histogram, and a table of measurements; clicking a row shows its cell. */
import { effect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as actions from "../state/actions.ts";
import { type App, count, errorText } from "../state/app.ts";
import { currentValues, histogram, Measurements } from "../state/measurements.ts";
import { isKept } from "../view/colouring.ts";
import { Bars } from "./bars.tsx";
import { percent, short } from "./numbers.ts";

const ROW = 26;
const WAIT = 600;
const USUAL = ["area", "score", "perimeter", "eccentricity", "solidity", "intensity_mean", "area_um2"];

export function CellsPanel({ app }: { app: App }): JSX.Element | null {
  const measurements = useMemo(() => new Measurements(), []);
  const [name, setName] = useState("area");
  const [whole, setWhole] = useState(false);
  useEffect(() => refreshing(app, measurements), []);
  useEffect(() => {
    if (whole) void measurements.ofFolder(app, name).catch((error: unknown) => app.messages.tell(errorText(error), "error"));
    else measurements.stopFolder();
  }, [whole, name]);
  void app.version.value;
  const document = app.shown.value;
  if (!document) return null;
  const columns = measurements.columns.value;
  const names = [...new Set(["area", "score", ...(columns?.columns.keys() ?? [])])];
  const thresholds = { minScore: app.display.minScore.value, minArea: app.display.minArea.value };
  const kept = [...document.book.entries].filter(([, cell]) => isKept(cell, thresholds));
  const area = kept.reduce((sum, [, cell]) => sum + cell.area, 0);
  const { width, height } = document.size;
  const ready = app.images.value.filter((each) => each.cells !== null);
  const folderCells = ready.reduce((sum, each) => sum + (each.cells ?? 0), 0);
  const covered = ready.filter((each) => each.confluence !== null);
  const confluence = covered.reduce((sum, each) => sum + (each.confluence ?? 0), 0) / Math.max(1, covered.length);
  const values = currentValues(document, columns, name);
  const folder = measurements.folder.value;
  const shown = whole ? (folder?.name === name ? folder.values : []) : kept.flatMap(([id]) => values.get(id) ?? []);
  const bins = histogram(shown);
  const unit = columns?.columns.get(name)?.unit ?? "";
  return (
    <>
      <section>
        <dl class="facts">
          <div><dt>This image</dt><dd data-cells={kept.length}>{count(kept.length, "cell")}</dd><dd>{percent(area / (width * height))} covered</dd></div>
          <div><dt>All images</dt><dd>{count(folderCells, "cell")}</dd><dd>{covered.length ? `${percent(confluence)} covered` : ""}</dd></div>
        </dl>
      </section>
      <section>
        <h2>Histogram</h2>
        <div class="row">
          <select aria-label="Measurement" value={name} onChange={(event) => setName(event.currentTarget.value)}>
            {names.map((each) => <option key={each} value={each}>{readable(each)}</option>)}
          </select>
          <select aria-label="Images" value={whole ? "all" : "one"} onChange={(event) => setWhole(event.currentTarget.value === "all")}>
            <option value="one">this image</option>
            <option value="all">all images</option>
          </select>
        </div>
        {bins ? <Bars {...bins} label={`${readable(name)}, cells`} unit={unit} /> : <p class="quiet">{whole && folder?.name !== name ? "Measuring …" : "There are no values to show."}</p>}
        {whole && folder && folder.done < folder.total && <p class="quiet">{folder.done} of {count(folder.total, "image")} …</p>}
        {bins && <p class="quiet">{summary(shown)} {unit}</p>}
      </section>
      <Table app={app} ids={kept.map(([id]) => id)} names={names} values={(each) => currentValues(document, columns, each)} />
    </>
  );
}

/** Measure anew when the image, or something on it, has changed and rests. */
function refreshing(app: App, measurements: Measurements): () => void {
  let timer = 0;
  let before: unknown = null;
  const stop = effect(() => {
    void app.version.value;
    const document = app.shown.value;
    if (document !== before) measurements.forget();
    const wait = document === before ? WAIT : 0;
    before = document;
    clearTimeout(timer);
    timer = window.setTimeout(() => void measurements.refresh(app).catch(() => undefined), wait);
  });
  return () => {
    clearTimeout(timer);
    stop();
  };
}

function summary(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const mean = values.reduce((sum, each) => sum + each, 0) / values.length;
  return `${count(values.length, "cell")}, median ${short(sorted[sorted.length >> 1])}, mean ${short(mean)}`;
}

function readable(name: string): string {
  const words = name.replace(/_um2?$/, "").replaceAll("_", " ");
  return name.endsWith("_um2") ? `${words} (µm²)` : name.endsWith("_um") ? `${words} (µm)` : words;
}

interface TableProps {
  readonly app: App;
  readonly ids: readonly number[];
  readonly names: readonly string[];
  readonly values: (name: string) => Map<number, number | null>;
}

function Table({ app, ids, names, values }: TableProps): JSX.Element {
  const [sort, setSort] = useState<{ name: string; down: boolean }>({ name: "id", down: false });
  const [all, setAll] = useState(false);
  const [view, setView] = useState({ top: 0, height: 400 });
  const body = useRef<HTMLDivElement>(null);
  const document = app.shown.value;
  const columns = all ? names : names.filter((each) => USUAL.includes(each));
  const numbers = new Map(columns.map((each) => [each, values(each)]));
  const facts = (id: number): string => document?.book.get(id)?.facts.type ?? "";
  const rows = [...ids].sort((a, b) => {
    const way = sort.down ? -1 : 1;
    if (sort.name === "id") return way * (a - b);
    if (sort.name === "type") return way * facts(a).localeCompare(facts(b)) || a - b;
    const column = numbers.get(sort.name);
    return way * ((column?.get(a) ?? -Infinity) - (column?.get(b) ?? -Infinity)) || a - b;
  });
  const [first] = app.selected.value;
  const at = app.selected.value.size === 1 && first !== undefined ? rows.indexOf(first) : -1;
  useEffect(() => {
    const element = body.current;
    if (!element || at < 0) return;
    if (at * ROW < element.scrollTop || (at + 2) * ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = at * ROW - element.clientHeight / 2;
  }, [first]);
  useEffect(() => {
    const element = body.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setView({ top: element.scrollTop, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const start = Math.max(0, Math.floor(view.top / ROW) - 6);
  const end = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + 6);
  const choose = (id: number, event: MouseEvent | KeyboardEvent): void => {
    if (event.shiftKey || event.ctrlKey || event.metaKey) {
      const selected = new Set(app.selected.value);
      if (!selected.delete(id)) selected.add(id);
      app.selected.value = selected;
    } else actions.showCell(app, id);
  };
  const key = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step || !rows.length) return;
    event.preventDefault();
    actions.showCell(app, rows[Math.min(rows.length - 1, Math.max(0, at + step))]);
  };
  const heads = ["id", "type", ...columns];
  return (
    <section class="table-section">
      <div class="row between">
        <h2>Cells</h2>
        <button type="button" class="plain text" onClick={() => setAll(!all)}>{all ? "Show fewer columns" : "Show all columns"}</button>
      </div>
      <div class="table" ref={body} tabIndex={0} role="grid" aria-label="Measurements of cells" aria-rowcount={rows.length} onKeyDown={key}
        onScroll={(event) => setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}>
        <div class="table-row head" role="row">
          {heads.map((each) => (
            <span key={each} role="columnheader" aria-sort={sort.name === each ? (sort.down ? "descending" : "ascending") : "none"}>
              <button type="button" class="plain text" title={readable(each)} onClick={() => setSort({ name: each, down: sort.name === each ? !sort.down : each !== "id" && each !== "type" })}>
                {each === "id" ? "cell" : readable(each)}
                {sort.name === each ? (sort.down ? " ↓" : " ↑") : ""}
              </button>
            </span>
          ))}
        </div>
        <div style={{ height: `${rows.length * ROW}px`, position: "relative" }}>
          {rows.slice(start, end).map((id, i) => (
            <div key={id} class="table-row" role="row" aria-selected={app.selected.value.has(id)} aria-rowindex={start + i + 1} style={{ top: `${(start + i) * ROW}px`, height: `${ROW}px` }} onClick={(event) => choose(id, event)}>
              <span role="gridcell">{id}</span>
              <span role="gridcell">{facts(id)}</span>
              {columns.map((each) => <span key={each} role="gridcell" class="number">{short(numbers.get(each)?.get(id) ?? null)}</span>)}
            </div>
          ))}
        </div>
      </div>
    </section>
  );
}

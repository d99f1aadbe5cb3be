/** The list of images: search, order, status. Only the visible rows exist. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import type { App } from "../state/app.ts";
import { count } from "../state/app.ts";
import type { Order } from "../state/display.ts";
import { arranged } from "../state/strip_order.ts";
import type { ImageEntry } from "../wire/contract.ts";
import { urls } from "../wire/client.ts";
import { percent } from "./numbers.ts";

const ROW = 64;
/** Letters at the end of a name that are always shown. */
const TAIL = 9;

export function Strip({ app }: { app: App }): JSX.Element {
  const [search, setSearch] = useState("");
  const list = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const images = app.images.value;
  const order = app.display.order.value;
  const shown = arranged(images, order, search);
  const current = app.opening.value || app.document.value?.key;
  const at = shown.findIndex((each) => each.key === current);

  useEffect(() => {
    const element = list.current;
    if (!element) return undefined;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);

  useEffect(() => {
    const element = list.current;
    if (!element || at < 0) return;
    const [top, bottom] = [at * ROW, (at + 1) * ROW];
    if (top < element.scrollTop || bottom > element.scrollTop + element.clientHeight)
      element.scrollTop = top - element.clientHeight / 2 + ROW / 2;
  }, [at, order]);

  const first = Math.max(0, Math.floor(view.top / ROW) - 4);
  const last = Math.min(shown.length, Math.ceil((view.top + view.height) / ROW) + 4);
  const done = images.filter((each) => each.done).length;
  return (
    <nav class="strip" aria-label="Images">
      <div class="strip-head">
        <input
          id="search" type="search" placeholder="Search images" aria-label="Search images" value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
            if (event.key === "Enter" && shown[0]) void app.open(shown[0].key);
          }}
        />
        <label class="inline">
          Sort by
          <select
            value={order}
            onChange={(event) => {
              app.display.order.value = event.currentTarget.value as Order;
              event.currentTarget.blur();
            }}
          >
            <option value="error">expected error</option>
            <option value="name">name</option>
            <option value="count">number of cells</option>
          </select>
        </label>
        <div class="quiet">
          {search ? `${shown.length} of ${count(images.length, "image")}` : `${count(images.length, "image")}, ${done} done`}
        </div>
      </div>
      <div class="strip-list" ref={list} role="listbox" aria-label="Images" tabIndex={0}
        aria-activedescendant={current ? `image-${current}` : undefined}
        onKeyDown={(event) => {
          const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          const next = shown[at + step];
          if (step && next) {
            event.preventDefault();
            void app.open(next.key);
          }
        }}
      >
        <div style={{ height: `${shown.length * ROW}px`, position: "relative" }}>
          {shown.slice(first, last).map((each, i) => (
            <Row key={each.key} entry={each} top={(first + i) * ROW} isCurrent={each.key === current} position={first + i + 1} total={shown.length} open={() => void app.open(each.key)} />
          ))}
        </div>
        {images.length === 0 && <p class="quiet padded">This folder contains no images.</p>}
        {images.length > 0 && shown.length === 0 && <p class="quiet padded">No image name contains this text.</p>}
      </div>
    </nav>
  );
}

function Row(props: { entry: ImageEntry; top: number; isCurrent: boolean; position: number; total: number; open: () => void }): JSX.Element {
  const { entry, top, isCurrent, open } = props;
  return (
    <div
      id={`image-${entry.key}`}
      class="strip-row" role="option" aria-selected={isCurrent} aria-setsize={props.total} aria-posinset={props.position}
      style={{ top: `${top}px`, height: `${ROW}px` }} title={[entry.name, entry.failure, ...entry.warnings].filter(Boolean).join("\n")}
      onClick={open}
    >
      {entry.state === "failed" ? (
        <span class="thumb empty">!</span>
      ) : (
        <img class="thumb" src={urls.thumbnail(entry.key, entry.thumbnail)} alt="" loading="lazy" decoding="async" width="48" height="48" />
      )}
      <span class="strip-text">
        <Name text={entry.name} />
        <span class="quiet">{status(entry)}</span>
        {entry.expected_error !== null && !entry.done && (
          <span class="error-bar" title={`Expected fraction of errors: ${percent(entry.expected_error)}`}>
            <span style={{ width: `${Math.round(100 * entry.expected_error)}%` }} />
          </span>
        )}
      </span>
      {entry.done ? <span class="badge done" title="This image is marked as done">✓</span> : entry.corrected ? <span class="badge" title="This image was corrected, but it is not marked as done">●</span> : null}
    </div>
  );
}

/** Where a long name does not fit, its middle is left out: what tells images apart is at its end. */
function Name({ text }: { text: string }): JSX.Element {
  const letters = [...text];
  const cut = Math.max(0, letters.length - TAIL);
  return (
    <span class="strip-name">
      <span class="start">{letters.slice(0, cut).join("")}</span>
      <span>{letters.slice(cut).join("")}</span>
    </span>
  );
}

function status(entry: ImageEntry): string {
  if (entry.state === "failed") return "The image could not be read";
  if (entry.state === "waiting") return "Waiting for prediction …";
  const cells = entry.cells === null ? "" : count(entry.cells, "cell");
  const part = entry.reviewed > 0 && entry.reviewed < 1 ? `, ${percent(entry.reviewed)} reviewed` : "";
  return cells + part;
}

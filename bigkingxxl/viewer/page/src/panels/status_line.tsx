/** The status bar: the cell under the pointer, the size of the image, and the zoom. */
import type { JSX } from "preact";
import type { App } from "../state/app.ts";
import type { CanvasView } from "../view/canvas_view.ts";
import { short } from "./numbers.ts";

export function StatusLine({ app, view }: { app: App; view: CanvasView | null }): JSX.Element {
  const document = app.shown.value;
  const at = view?.cursor.value ?? view?.pointer.value;
  const id = app.hovered.value;
  const cell = id ? document?.book.get(id) : undefined;
  return (
    <footer class="status">
      <span class="place">{at && document ? `${Math.floor(at.row)}, ${Math.floor(at.col)}` : ""}</span>
      <span class="grow">
        {cell &&
          [
            `Cell ${id}`,
            cell.facts.type,
            `${short(cell.area)} px`,
            cell.facts.score === null ? "" : `score ${cell.facts.score.toFixed(2)}`,
            { model: "predicted", edited: "edited", drawn: "drawn" }[cell.facts.origin],
          ]
            .filter(Boolean)
            .join(" · ")}
      </span>
      <span>{document ? `${document.size.width} × ${document.size.height} px` : ""}</span>
      <button type="button" class="plain text" title="Show the whole image (Home)" onClick={() => view?.fit()}>
        {view ? `${Math.round(100 * view.viewport.value.zoom)} %` : ""}
      </button>
    </footer>
  );
}

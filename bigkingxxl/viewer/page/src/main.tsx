/** The page: everything on it, and what happens first. */
import { effect } from "@preact/signals";
import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { listenToKeys } from "./keys.ts";
import { CellsPanel } from "./panels/cells_panel.tsx";
import { Compare } from "./panels/compare.tsx";
import { ExportPanel } from "./panels/export_panel.tsx";
import { HelpSheet } from "./panels/help_sheet.tsx";
import { JobCard } from "./panels/job_card.tsx";
import { FinetunePanel } from "./panels/finetune_panel.tsx";
import { DisplayPanel } from "./panels/display_panel.tsx";
import { MessageList } from "./panels/messages.tsx";
import { StatusLine } from "./panels/status_line.tsx";
import { Strip } from "./panels/strip.tsx";
import { SelectionBar, ToolOptions, ToolRail } from "./panels/tool_rail.tsx";
import { TopBar } from "./panels/top_bar.tsx";
import { TypeDialog } from "./panels/type_dialog.tsx";
import { App, errorText } from "./state/app.ts";
import { followEvents, keepPresence } from "./state/events.ts";
import type { Panel } from "./state/display.ts";
import { sentence } from "./state/messages.ts";
import { arranged } from "./state/strip_order.ts";
import { CanvasView } from "./view/canvas_view.ts";
import { client } from "./wire/client.ts";

const PANELS: readonly { panel: Panel; name: string }[] = [
  { panel: "display", name: "Display" },
  { panel: "cells", name: "Cells" },
  { panel: "finetune", name: "Fine-tune" },
  { panel: "export", name: "Export" },
];

function Page({ app }: { app: App }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [view, setView] = useState<CanvasView | null>(null);
  useEffect(() => {
    if (!canvas.current) return undefined;
    const made = new CanvasView(app, canvas.current);
    setView(made);
    const stop = listenToKeys(app, () => made);
    return () => {
      stop();
      made.close();
    };
  }, []);
  if (app.fatal.value) return <div class="fatal" role="alert"><h1>The page could not be started</h1><p>{app.fatal.value}</p></div>;
  return (
    <div class="page">
      <Strip app={app} />
      <TopBar app={app} />
      <ToolRail app={app} />
      <main class="stage">
        <ToolOptions app={app} />
        <div class="canvas-box">
          <canvas ref={canvas} class={`image ${app.tool.value}`} tabIndex={0} aria-label={label(app)} />
          <SelectionBar app={app} />
          <Notices app={app} />
          <MessageList app={app} />
        </div>
        <StatusLine app={app} view={view} />
      </main>
      <SidePanel app={app} />
      <HelpSheet app={app} />
      <Compare app={app} />
      <TypeDialog app={app} />
    </div>
  );
}

function label(app: App): string {
  void app.version.value;
  const document = app.shown.value;
  if (!document) return "No image is open";
  return `${app.entry?.name ?? "Image"}, ${document.book.size} cells. Press ? to see all keyboard shortcuts.`;
}

/** Notices over the image that stay while their reason lasts. */
function Notices({ app }: { app: App }): JSX.Element {
  const { entry } = app;
  const document = app.document.value;
  const running = app.jobs.value.filter((each) => (each.kind === "predict" || each.kind === "apply") && ["running", "waiting", "failed"].includes(each.state));
  return (
    <div class="notices">
      {app.preview.value && <div class="notice">This is a preview of other thresholds. Nothing has been changed yet.</div>}
      {!document && !app.opening.value && app.folder.value && <div class="notice centre">{app.images.value.length ? "Select an image in the list on the left." : "This folder contains no images."}</div>}
      {app.opening.value && <div class="notice slow">Opening {app.images.value.find((each) => each.key === app.opening.value)?.name ?? "the image"} …</div>}
      {entry?.state === "waiting" && <div class="notice">The cells of this image have not been predicted yet. The prediction is running.</div>}
      {entry?.state === "failed" && <div class="notice bad">{sentence(entry.failure)}</div>}
      {entry?.warnings.map((each) => <div key={each} class="notice">{sentence(each)}</div>)}
      {running.map((job) => <JobCard key={job.id} app={app} job={job} />)}
    </div>
  );
}

function SidePanel({ app }: { app: App }): JSX.Element {
  const { panel } = app.display;
  const waits = app.jobs.value.some((each) => each.kind === "learn" && each.state === "asking");
  return (
    <aside class="side">
      <div class="tabs" role="tablist" aria-label="Panels">
        {PANELS.map(({ panel: each, name }) => (
          <button key={each} type="button" role="tab" id={`tab-${each}`} aria-selected={panel.value === each} aria-controls="side-panel" tabIndex={panel.value === each ? 0 : -1}
            onClick={() => (panel.value = each)}
            onKeyDown={(event) => {
              const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
              if (!step) return;
              const at = PANELS.findIndex((other) => other.panel === each);
              const next = PANELS[(at + step + PANELS.length) % PANELS.length].panel;
              panel.value = next;
              document.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
            }}>
            {name}
            {each === "finetune" && waits && <span class="dot" title="A new model is waiting for your decision" />}
          </button>
        ))}
      </div>
      <div class="side-body" id="side-panel" role="tabpanel" aria-labelledby={`tab-${panel.value}`}>
        {panel.value === "display" && <DisplayPanel app={app} />}
        {panel.value === "cells" && <CellsPanel app={app} />}
        {panel.value === "finetune" && <FinetunePanel app={app} />}
        {panel.value === "export" && <ExportPanel app={app} />}
      </div>
    </aside>
  );
}

async function start(app: App): Promise<void> {
  const events = await client.events(-1, new AbortController().signal);
  await app.start();
  void followEvents(app, events.newest, new AbortController().signal);
  keepPresence(app);
  const key = location.hash.slice(1);
  const order = arranged(app.images.value, app.display.order.value, "");
  const first = order.find((each) => each.key === key) ?? order.find((each) => each.state !== "failed");
  if (first) await app.open(first.key);
  // A reload shows the same image.
  app.document.subscribe((document) => document && history.replaceState(null, "", `#${document.key}`));
}

const app = new App();
effect(() => {
  document.documentElement.dataset.theme = app.display.theme.value;
});
effect(() => {
  document.title = [app.entry?.name, "BigKingXXL"].filter(Boolean).join(" · ");
});
// Unsent changes are kept by the browser, but a person may think that they are gone.
addEventListener("beforeunload", (event) => {
  if (app.saving.value.unsent > 0) event.preventDefault();
});
const root = document.querySelector("#root");
if (root) render(<Page app={app} />, root);
start(app).catch((error: unknown) => (app.fatal.value = errorText(error)));

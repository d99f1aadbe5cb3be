/** Thresholds that are tried on the open image, and applied to the run when the user says so. */
import { batch } from "@preact/signals";
import { client } from "../wire/client.ts";
import { type App, errorText } from "./app.ts";
import { openDocument } from "./open_document.ts";

let asked = 0;

function query(app: App): { min_score: number | null; min_area: number | null } {
  const settings = app.folder.value?.settings;
  return {
    min_score: app.display.minScore.value ?? settings?.min_score ?? null,
    min_area: app.display.minArea.value ?? settings?.min_area ?? null,
  };
}

/** Show what the thresholds would make of the open image. */
export async function askThresholds(app: App): Promise<void> {
  const turn = ++asked;
  const document = app.document.value;
  if (!document) return;
  const preview = await openDocument(client, document.key, app.folder.value?.tile_side ?? 512, query(app));
  if (turn !== asked || app.document.value !== document) return;
  if (app.display.minScore.value === null && app.display.minArea.value === null) return;
  preview.listen(() => app.version.value++);
  batch(() => {
    app.preview.value = preview;
    app.selected.value = new Set([...app.selected.value].filter((id) => preview.book.get(id)));
    app.version.value++;
  });
}

export function dropThresholds(app: App): void {
  asked++;
  batch(() => {
    app.preview.value = null;
    app.display.minScore.value = app.display.minArea.value = null;
    app.version.value++;
  });
}

export async function applyThresholds(app: App): Promise<void> {
  try {
    const settings = query(app);
    app.followJob(await client.settings(settings));
    if (app.folder.value) app.folder.value = { ...app.folder.value, settings };
    app.messages.tell("The thresholds are being applied to all images that you have not corrected.");
  } catch (error) {
    app.messages.tell(errorText(error), "error");
  }
}

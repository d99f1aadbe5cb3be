/** Follow the events of the server: images predicted or edited elsewhere, jobs, the folder. */
import { batch } from "@preact/signals";
import { client, Refused } from "../wire/client.ts";
import type { Event } from "../wire/contract.ts";
import type { App } from "./app.ts";

const PRESENCE = 20_000;
const AGAIN = 2000;

/** Runs until `signal` says otherwise. */
export async function followEvents(app: App, after: number, signal: AbortSignal): Promise<void> {
  let newest = after;
  let away = false;
  while (!signal.aborted) {
    try {
      const answer = await client.events(newest, signal);
      if (answer.missed || answer.newest < newest || away) await reload(app);
      away = false;
      newest = answer.newest;
      for (const event of answer.events) take(app, event);
    } catch (error) {
      if (signal.aborted) return;
      away = true;
      if (error instanceof Refused && error.status === 403) newest = -1;
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}

async function reload(app: App): Promise<void> {
  const [folder, strip, jobs] = await Promise.all([client.folder(), client.strip(), client.jobs()]);
  batch(() => {
    app.folder.value = folder;
    app.images.value = strip.images;
    app.jobs.value = jobs.jobs;
  });
  app.retrySaving();
}

function take(app: App, event: Event): void {
  if (event.kind === "folder") void reload(app).catch(() => undefined);
  else if (event.kind === "job" && event.job) app.followJob(event.job);
  else if (event.kind === "windows" && event.window !== app.window) void tellPresence(app);
  else if (event.kind === "image" && event.image) {
    const { image } = event;
    const before = app.images.value.find((each) => each.key === image.key);
    // Of an image that is open here, this window knows its own edits better than an older message.
    const own = event.window === app.window;
    if (!own) app.replaceEntry(image.key, image);
    else app.replaceEntry(image.key, { revision: image.revision, thumbnail: image.thumbnail, expected_error: image.expected_error });
    if (!before) void reload(app).catch(() => undefined);
    if (own) return;
    const { document } = app;
    if (document.value?.key !== image.key) return;
    if (image.revision > 0) void app.follow(image.key, image.revision).catch(() => undefined);
    // Predicted, or selected, anew.
    else if (document.value.revision === 0) void app.open(image.key);
  }
}

/** Tell the server which image this window has open, and learn how many others have. */
async function tellPresence(app: App): Promise<void> {
  const key = app.document.value?.key ?? null;
  const answer = await client.presence({ window: app.window, key }).catch(() => null);
  if (!answer || app.document.value?.key !== key || key === null) return;
  app.otherWindows.value = answer.windows;
  await app.follow(key, answer.revision).catch(() => undefined);
}

/** Tell it with every image, every 20 seconds, and when the window closes. */
export function keepPresence(app: App): void {
  app.document.subscribe(() => void tellPresence(app));
  setInterval(() => void tellPresence(app), PRESENCE);
  addEventListener("pagehide", () => void client.presence({ window: app.window, key: null }).catch(() => undefined));
  addEventListener("pageshow", (event) => event.persisted && void tellPresence(app));
}

/** The bar above the image: its name, whether all changes are saved, and actions on the whole image. */
import type { JSX } from "preact";
import * as actions from "../state/actions.ts";
import { type App, count } from "../state/app.ts";
import type { Theme } from "../state/display.ts";
import { sentence } from "../state/messages.ts";
import { Icon } from "./icons.tsx";
import { percent } from "./numbers.ts";

export function TopBar({ app }: { app: App }): JSX.Element {
  const { entry } = app;
  void app.version.value;
  const document = app.document.value;
  const isPart = document !== null && document.reviewedShare > 0 && document.reviewedShare < 1;
  return (
    <header class="top">
      <span class="brand" title={app.folder.value?.path}>
        {app.folder.value?.path.split(/[/\\]/).filter(Boolean).pop() ?? "BigKingXXL"}
      </span>
      <button type="button" class="plain" aria-label="Previous image" title="Previous image (A or ←)" onClick={() => actions.stepImage(app, -1)}>
        <Icon name="left" />
      </button>
      <h1 class="image-name" title={document?.info.image_file}><bdi>{entry?.name ?? ""}</bdi></h1>
      <button type="button" class="plain" aria-label="Next image" title="Next image (D or →)" onClick={() => actions.stepImage(app, 1)}>
        <Icon name="right" />
      </button>
      {document && <ReviewState app={app} />}
      <span class="spacer" />
      <Saving app={app} />
      {document && !app.readOnly.value && (
        <>
          <button type="button" title="Mark the whole image as reviewed, with its present cells (Shift+Enter)" disabled={document.reviewedShare === 1} onClick={() => void actions.acceptAll(app)}>
            Accept all
          </button>
          <button type="button" class="primary" title={isPart ? "Open the next image that needs correction (Enter)" : "Mark this image as done, and open the next image that needs correction (Enter)"} onClick={() => void actions.doneNext(app)}>
            {isPart ? "Open next image" : "Mark as done"}
          </button>
        </>
      )}
      <ThemeButton app={app} />
      <button type="button" class="plain" aria-label="Help" title="Show help and all keyboard shortcuts (?)" onClick={() => (app.helpOpen.value = true)}>
        <Icon name="help" />
      </button>
    </header>
  );
}

function ReviewState({ app }: { app: App }): JSX.Element {
  void app.version.value; // a document is one object, whatever is changed in it
  const document = app.document.value;
  const share = document?.reviewedShare ?? 0;
  const text = document?.done ? "Done" : share === 0 ? "Not reviewed" : share === 1 ? "Reviewed" : `${percent(share)} reviewed`;
  return <span class={`pill ${document?.done ? "good" : ""}`} data-reviewed={share} title="Only reviewed parts are used to fine-tune and to score the model.">{text}</span>;
}

function Saving({ app }: { app: App }): JSX.Element {
  const { unsent, problem } = app.saving.value;
  const others = app.otherWindows.value;
  const state = app.readOnly.value ? "read-only" : problem ? "failing" : unsent || app.working.value ? "saving" : "saved";
  return (
    <span class="saving" role="status" aria-live="polite" data-state={state} data-windows={others + 1}>
      {others > 0 && <span class="pill warn" title="The changes of all windows are kept. If two windows change the same pixels, the first change is kept.">Open in {count(others + 1, "window")}</span>}
      {app.readOnly.value ? (
        <span class="pill warn" title={sentence(app.readOnly.value)}>Read-only</span>
      ) : problem ? (
        <button type="button" class="pill bad" title={`${sentence(problem)} Your changes are kept in this browser and will be saved as soon as possible. Click to try again now.`} onClick={() => app.retrySaving()}>
          {unsent === 1 ? "1 change is" : `${unsent} changes are`} not saved yet
        </button>
      ) : unsent || app.working.value ? (
        <span class="quiet">Saving …</span>
      ) : (
        <span class="quiet">Saved</span>
      )}
    </span>
  );
}

const THEMES: readonly Theme[] = ["system", "light", "dark"];

function ThemeButton({ app }: { app: App }): JSX.Element {
  const { theme } = app.display;
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  return (
    <button type="button" class="plain" aria-label={`Use the ${next} theme`} title={`The theme of the page is: ${theme.value}. Click to change it to: ${next}.`} onClick={() => (theme.value = next)}>
      <Icon name="theme" />
    </button>
  );
}

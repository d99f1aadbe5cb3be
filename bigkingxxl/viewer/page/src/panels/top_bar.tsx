/** Above the image: which it is, whether all is saved, and what is done with it as a whole. */
import type { JSX } from "preact";
import * as actions from "../state/actions.ts";
import { type App, count } from "../state/app.ts";
import type { Theme } from "../state/look.ts";
import { Icon } from "./icons.tsx";
import { percent } from "./numbers.ts";

export function TopBar({ app }: { app: App }): JSX.Element {
  const { entry } = app;
  void app.version.value;
  const document = app.document.value;
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
          <button type="button" title="The whole image is reviewed, with the cells as they are (Shift+Enter)" disabled={document.reviewedShare === 1} onClick={() => void actions.acceptAll(app)}>
            Accept all
          </button>
          <button type="button" class="primary" title="Image done; open the next that needs eyes (Enter)" onClick={() => void actions.doneNext(app)}>
            {document.reviewedShare > 0 && document.reviewedShare < 1 ? "Part done, next" : "Image done, next"}
          </button>
        </>
      )}
      <ThemeButton app={app} />
      <button type="button" class="plain" aria-label="Keys and help" title="Keys and help (?)" onClick={() => (app.helpOpen.value = true)}>
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
  return <span class={`pill ${document?.done ? "good" : ""}`} title="Only what is reviewed is learnt from and scored.">{text}</span>;
}

function Saving({ app }: { app: App }): JSX.Element {
  const { unsent, problem } = app.saving.value;
  const others = app.otherWindows.value;
  return (
    <span class="saving" role="status" aria-live="polite">
      {others > 0 && <span class="pill warn" title="Changes of both windows are kept; where both change the same pixels, the first counts.">Open in {count(others + 1, "window")}</span>}
      {app.readOnly.value ? (
        <span class="pill warn" title={app.readOnly.value}>Look only</span>
      ) : problem ? (
        <button type="button" class="pill bad" title={`${problem} Your changes are kept in this browser and are sent as soon as may be. Click to try now.`} onClick={() => app.retrySaving()}>
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
  const { theme } = app.look;
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  return (
    <button type="button" class="plain" aria-label={`Colours of the page: ${theme.value}`} title={`Light or dark: ${theme.value} (click: ${next})`} onClick={() => (theme.value = next)}>
      <Icon name="theme" />
    </button>
  );
}

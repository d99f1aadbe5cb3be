import type { JSX } from "preact";
import type { App } from "../state/app.ts";
import { sentence } from "../state/messages.ts";
import { Icon } from "./icons.tsx";

/** Short messages over the image. */
export function MessageList({ app }: { app: App }): JSX.Element {
  return (
    <div class="messages" role="log" aria-live="polite" aria-label="Messages">
      {app.messages.shown.value.map(({ id, text, kind, about }) => (
        <div key={id} class={`message ${kind}`} data-about={about} role={kind === "error" ? "alert" : undefined}>
          <span>{sentence(text)}</span>
          <button type="button" class="plain" aria-label="Close this message" onClick={() => app.messages.close(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}

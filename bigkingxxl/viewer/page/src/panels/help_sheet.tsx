/** Help: all keyboard shortcuts. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { BINDINGS, CROSSHAIR_HELP } from "../keys.ts";
import type { App } from "../state/app.ts";

export function HelpSheet({ app }: { app: App }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = app.helpOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const all = [...BINDINGS, ...CROSSHAIR_HELP];
  const groups = [...new Set(all.map((each) => each.group))];
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={() => (app.helpOpen.value = false)}
      onClick={(event) => {
        if (event.target === dialog.current) app.helpOpen.value = false;
      }}>
      <div class="row between">
        <h2 id="help-title">Keyboard shortcuts</h2>
        <button type="button" class="small" autofocus onClick={() => (app.helpOpen.value = false)}>Close</button>
      </div>
      <div class="help-columns">
        {groups.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {all.filter((each) => each.group === group).map((each) => (
                <div key={each.does}>
                  <dt>{keysOf(each.keys).map((key, i) => <span key={key}>{i > 0 && " "}<kbd>{key}</kbd></span>)}</dt>
                  <dd>{each.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>Good to know</h3>
          <p>Every change is saved automatically within a second. The cells that the model predicted are never overwritten.</p>
          <p>Drawing never changes the pixels of another cell unless you allow it.</p>
          <p>Only reviewed parts are used to fine-tune the model. You can mark a whole image as reviewed (<em>Accept all</em> or <em>Mark as done</em>), or a part of it (<kbd>R</kbd>).</p>
        </section>
      </div>
    </dialog>
  );
}

const SIGNS: Record<string, string> = { ArrowRight: "→", ArrowLeft: "←", Escape: "Esc" };

function keysOf(keys: readonly string[]): string[] {
  if (keys.length > 4) return [`${keys[0]} … ${keys.at(-1) ?? ""}`];
  return keys.map((key) => SIGNS[key] ?? key);
}

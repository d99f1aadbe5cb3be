/** The name of a new cell type, for the selected cells. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import * as tools from "../model/tools.ts";
import type { App } from "../state/app.ts";
import { changeSelected } from "../tools/gestures.ts";

/** Letters of a name, as the contract has it. */
const LONGEST = 100;

export function TypeDialog({ app }: { app: App }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState("");
  const open = app.namingType.value;
  useEffect(() => {
    if (open) {
      setName("");
      dialog.current?.showModal();
    } else dialog.current?.close();
  }, [open]);
  const close = (): void => {
    app.namingType.value = false;
  };
  const take = (): void => {
    const type = name.trim();
    if (!type) return;
    app.addedTypes.value = [...new Set([...app.addedTypes.value, type])];
    close();
    void changeSelected(app, (cells, ids) => tools.setType(cells, ids, type));
  };
  return (
    <dialog ref={dialog} class="naming" aria-labelledby="naming-title" onClose={close}>
      <form method="dialog" onSubmit={(event) => { event.preventDefault(); take(); }}>
        <h2 id="naming-title">Add a new cell type</h2>
        <input
          type="text" autofocus maxLength={LONGEST} value={name} aria-label="Name of the new cell type" placeholder="for example: neuron"
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <div class="row buttons">
          <button type="submit" class="primary" disabled={!name.trim()}>Assign to the selected cells</button>
          <button type="button" onClick={close}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}

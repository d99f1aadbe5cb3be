/** Cells before and after fine-tuning, side by side, in images that were not used for training. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type App, errorText } from "../state/app.ts";
import { contextOf } from "../view/image_tiles.ts";
import { paintFlat } from "../view/overlay.ts";
import { CELL_COLOURS, packed } from "../view/palette.ts";
import { client, type Pixels, urls } from "../wire/client.ts";
import type { ImageInfo } from "../wire/contract.ts";
import { ask } from "./job_card.tsx";

/** Pixels a side of a picture in the comparison, at most. */
const LARGEST = 1600;

export function Compare({ app }: { app: App }): JSX.Element | null {
  const dialog = useRef<HTMLDialogElement>(null);
  const [at, setAt] = useState(0);
  const job = app.jobs.value.find((each) => each.id === app.comparing.value);
  const compared = job?.result?.compared ?? [];
  const open = job !== undefined && compared.length > 0;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const image = compared[Math.min(at, compared.length - 1)];
  const name = app.images.value.find((each) => each.key === image?.key)?.name ?? "";
  const step = (by: number): void => setAt((at + by + compared.length) % compared.length);
  return (
    <dialog ref={dialog} class="compare" aria-labelledby="compare-title" onClose={() => (app.comparing.value = "")}
      onKeyDown={(event) => {
        if (event.key === "ArrowRight" || event.key === "d") step(1);
        if (event.key === "ArrowLeft" || event.key === "a") step(-1);
      }}>
      {job && image && (
        <>
          <div class="row between">
            <h2 id="compare-title">Before and after: {name}</h2>
            <div class="row buttons">
              {compared.length > 1 && (
                <>
                  <button type="button" class="small" onClick={() => step(-1)}>Previous</button>
                  <span class="quiet">{at + 1} of {compared.length}</span>
                  <button type="button" class="small" onClick={() => step(1)}>Next</button>
                </>
              )}
              <button type="button" class="small" onClick={() => (app.comparing.value = "")}>Close</button>
            </div>
          </div>
          <div class="pair">
            {(["before", "after"] as const).map((which) => (
              <figure key={which}>
                <figcaption>
                  {which === "before" ? "Before" : "After"}
                  <span class="quiet"> {image[which] === null ? "" : `mAP ${image[which].toFixed(3)}`}</span>
                </figcaption>
                <Picture app={app} job={job.id} which={which} image={image.key} />
              </figure>
            ))}
          </div>
          {job.state === "asking" && (
            <div class="row buttons">
              <button type="button" class="primary" data-action="accept" onClick={() => { ask(app, job.id, "accept"); app.comparing.value = ""; }}>Use the new model</button>
              <button type="button" data-action="reject" onClick={() => { ask(app, job.id, "reject"); app.comparing.value = ""; }}>Keep the old model</button>
            </div>
          )}
        </>
      )}
    </dialog>
  );
}

function Picture({ app, job, which, image }: { app: App; job: string; which: "before" | "after"; image: string }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let current = true;
    draw(job, which, image, () => (current ? canvas.current : null)).catch((error: unknown) => app.messages.tell(errorText(error), "error"));
    return () => {
      current = false;
    };
  }, [job, which, image]);
  return <canvas ref={canvas} role="img" aria-label={`Cells ${which} fine-tuning`} />;
}

async function draw(job: string, which: "before" | "after", key: string, target: () => HTMLCanvasElement | null): Promise<void> {
  const info = await client.image(key);
  const level = info.levels.find((each) => Math.max(each.width, each.height) <= LARGEST) ?? info.levels[info.levels.length - 1];
  const [picture, labels] = await Promise.all([
    picked(key, info, level.level),
    client.compared(job, which, key, { level: level.level }),
  ]);
  const canvas = target();
  if (!canvas) return;
  [canvas.width, canvas.height] = [labels.width, labels.height];
  const context = contextOf(canvas);
  context.drawImage(picture, 0, 0, labels.width, labels.height);
  const outlines = document.createElement("canvas");
  [outlines.width, outlines.height] = [labels.width, labels.height];
  contextOf(outlines).putImageData(outlined(labels), 0, 0);
  context.drawImage(outlines, 0, 0);
}

async function picked(key: string, info: ImageInfo, level: number): Promise<ImageBitmap> {
  const channel = info.is_rgb ? "rgb" : "0";
  const response = await fetch(urls.pixels(key, { level, channel }));
  if (!response.ok) throw new Error(`The image could not be read (${response.status}).`);
  return createImageBitmap(await response.blob());
}

function outlined(labels: Pixels): ImageData {
  const { width, height, values } = labels;
  const around = new Uint32Array((width + 2) * (height + 2));
  for (let row = 0; row < height; row++)
    around.set(values.subarray(row * width, (row + 1) * width), (row + 1) * (width + 2) + 1);
  const colours = CELL_COLOURS.map(packed);
  const pixels = paintFlat(around, null, width, height, {
    outlines: true,
    filled: true,
    fillAlpha: 60,
    colour: (id) => colours[(id * 7) % colours.length],
    selected: () => false,
  });
  return new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
}

/** Export for other programs, and where the files lie. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type App, errorText } from "../state/app.ts";
import { client, urls } from "../wire/client.ts";
import { JobCard } from "./job_card.tsx";

const NAMES: Record<string, string> = {
  labels: "label images", zarr: "OME-Zarr 0.4", "zarr-0.5": "OME-Zarr 0.5", imagej: "ImageJ ROIs", qupath: "QuPath", cellpose: "Cellpose", coco: "COCO",
};

const MEANINGS: Record<string, string> = {
  labels: "TIFF, for napari, Fiji, anything",
  overlay: "pictures with outlines",
  measurements: "table of all cells (CSV, Parquet)",
  summary: "table of all images",
  contact_sheet: "all images on one page",
  imagej: "a ZIP per image, for Fiji",
  qupath: "GeoJSON",
  cellpose: "_seg.npy",
  coco: "results of all images, JSON",
  submission: "for the Kaggle challenge",
  zarr: "label images in tiles, for napari",
  "zarr-0.5": "the same, of its newest version",
};

export function ExportPanel({ app }: { app: App }): JSX.Element | null {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(["labels", "measurements"]));
  const folder = app.folder.value;
  if (!folder) return null;
  const job = app.jobs.value.find((each) => each.kind === "export");
  const busy = job !== undefined && ["waiting", "running"].includes(job.state);
  const formats = folder.export_formats.flatMap(({ name, install }) => (chosen.has(name) && !install ? [name] : []));
  const toggle = (format: string): void => {
    const next = new Set(chosen);
    if (!next.delete(format)) next.add(format);
    setChosen(next);
  };
  const start = (): void => {
    void app.saved().then(() => client.export({ formats })).then(
      (started) => app.followJob(started),
      (error: unknown) => app.messages.tell(errorText(error), "error"),
    );
  };
  return (
    <>
      <section>
        <h2>Export</h2>
        <p class="quiet">With your corrections, for all images.</p>
        <fieldset class="formats">
          <legend class="hidden">Formats</legend>
          {folder.export_formats.map(({ name, install }) => (
            <label key={name} class="inline">
              <input type="checkbox" checked={chosen.has(name) && !install} disabled={install !== ""} onInput={() => toggle(name)} />
              <span><strong>{NAMES[name] ?? name.replaceAll("_", " ")}</strong> <span class="quiet">{MEANINGS[name] ?? ""}{install && ` · ${install}`}</span></span>
            </label>
          ))}
        </fieldset>
        <button type="button" class="wide primary" disabled={!formats.length || busy || app.readOnly.value !== ""} onClick={start}>
          <strong>Export</strong>
        </button>
      </section>
      {job && (
        <section>
          <JobCard app={app} job={job} />
          {job.state === "done" && job.files.length > 0 && (
            <>
              <a class="button wide" href={urls.archive(job.id)} download>Download everything as one ZIP</a>
              <ul class="paths">{job.files.slice(0, 12).map((each) => <li key={each}><Path text={each} /></li>)}</ul>
              {job.files.length > 12 && <p class="quiet">and {job.files.length - 12} more files</p>}
            </>
          )}
        </section>
      )}
      <section>
        <h2>Where the files lie</h2>
        <dl class="paths">
          <dt>Folder</dt><dd><Path text={folder.path} /></dd>
          <dt>Corrected cells</dt><dd><Path text={folder.corrections} /></dd>
          {folder.run && folder.run !== folder.path && (<><dt>Run</dt><dd><Path text={folder.run} /></dd></>)}
          {app.document.value?.info.image_file && (<><dt>This image</dt><dd><Path text={app.document.value.info.image_file} /></dd></>)}
          <LabelFile app={app} />
        </dl>
        <p class="quiet">In napari, open the image and then its label image as a <em>labels</em> layer. Fiji and any other program reads the same files.</p>
      </section>
    </>
  );
}

/** The first correction moves it from the run to the corrections: the server is asked anew then. */
function LabelFile({ app }: { app: App }): JSX.Element | null {
  const info = app.document.value?.info;
  const [found, setFound] = useState(info);
  const isCorrected = app.entry?.corrected === true && app.saving.value.unsent === 0;
  useEffect(() => {
    setFound(info);
    if (!info || !isCorrected || info.entry.corrected) return;
    client.image(info.entry.key).then(setFound, () => undefined); // the page says if nobody answers
  }, [info, isCorrected]);
  const file = found?.entry.key === info?.entry.key ? found?.label_file : "";
  return file ? <><dt>Its label image</dt><dd><Path text={file} /></dd></> : null;
}

function Path({ text }: { text: string }): JSX.Element {
  return <code class="path">{text}</code>;
}

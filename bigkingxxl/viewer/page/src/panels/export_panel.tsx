/** Export for other programs, and the locations of files. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type App, count, errorText } from "../state/app.ts";
import { client, urls } from "../wire/client.ts";
import { JobCard } from "./job_card.tsx";

const NAMES: Record<string, string> = {
  labels: "Label images", overlay: "Overlays", measurements: "Measurements", summary: "Summary", contact_sheet: "Contact sheet",
  imagej: "ImageJ ROIs", qupath: "QuPath", cellpose: "Cellpose", coco: "COCO", submission: "Submission",
  zarr: "OME-Zarr 0.4", "zarr-0.5": "OME-Zarr 0.5",
};

const MEANINGS: Record<string, string> = {
  labels: "TIFF, for Fiji, napari and CellProfiler",
  overlay: "images with the outlines of the cells",
  measurements: "a table with one row per cell (CSV, Parquet)",
  summary: "a table with one row per image (CSV)",
  contact_sheet: "all images on one page (PNG)",
  imagej: "one ZIP file per image, for Fiji",
  qupath: "one GeoJSON file per image",
  cellpose: "one _seg.npy file per image",
  coco: "the cells of all images in one JSON file",
  submission: "a CSV file for the Sartorius challenge on Kaggle",
  zarr: "label images for napari (Zarr version 2)",
  "zarr-0.5": "label images for napari (Zarr version 3)",
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
        <p class="quiet">Write the cells of all images, including your corrections, in other formats.</p>
        <fieldset class="formats">
          <legend class="hidden">Formats</legend>
          {folder.export_formats.map(({ name, install }) => (
            <label key={name} class="inline">
              <input type="checkbox" checked={chosen.has(name) && !install} disabled={install !== ""} onInput={() => toggle(name)} />
              <span><strong>{NAMES[name] ?? name.replaceAll("_", " ")}</strong>{MEANINGS[name] ? ": " : " "}<span class="quiet">{MEANINGS[name] ?? ""}{install && ` · ${install}`}</span></span>
            </label>
          ))}
        </fieldset>
        <button type="button" class="wide primary" disabled={!formats.length || busy || app.readOnly.value !== ""} onClick={start}>
          <strong>Export cells</strong>
        </button>
      </section>
      {job && (
        <section>
          <JobCard app={app} job={job} />
          {job.state === "done" && job.files.length > 0 && (
            <>
              <a class="button wide" href={urls.archive(job.id)} download>Download all files as one ZIP file</a>
              <ul class="paths">{job.files.slice(0, 12).map((each) => <li key={each}><Path text={each} /></li>)}</ul>
              {job.files.length > 12 && <p class="quiet">and {count(job.files.length - 12, "more file")}</p>}
            </>
          )}
        </section>
      )}
      <section>
        <h2>Files on this computer</h2>
        <dl class="paths">
          <dt>Folder</dt><dd><Path text={folder.path} /></dd>
          <dt>Corrected cells</dt><dd><Path text={folder.corrections} /></dd>
          {folder.run && folder.run !== folder.path && (<><dt>Run</dt><dd><Path text={folder.run} /></dd></>)}
          {app.document.value?.info.image_file && (<><dt>This image</dt><dd><Path text={app.document.value.info.image_file} /></dd></>)}
          <LabelFile app={app} />
        </dl>
        <p class="quiet">In napari, open the image and then its label image as a <em>labels</em> layer. You can open the same files in Fiji and other programs.</p>
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
  return file ? <><dt>Label image</dt><dd><Path text={file} /></dd></> : null;
}

function Path({ text }: { text: string }): JSX.Element {
  return <code class="path">{text}</code>;
}

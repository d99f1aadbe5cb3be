/** Fine-tune the model on the reviewed parts; a new model is used only if the user accepts it. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type App, count, errorText } from "../state/app.ts";
import { sentence } from "../state/messages.ts";
import { client } from "../wire/client.ts";
import type { Job, LearnResult, ModelInfo } from "../wire/contract.ts";
import { ask, JobCard } from "./job_card.tsx";

export function FinetunePanel({ app }: { app: App }): JSX.Element | null {
  const [minutes, setMinutes] = useState(10);
  const folder = app.folder.value;
  if (!folder) return null;
  const reviewed = app.images.value.filter((each) => each.reviewed > 0);
  const done = app.images.value.filter((each) => each.done);
  const job = app.jobs.value.find((each) => each.kind === "learn");
  const busy = job !== undefined && ["waiting", "running", "asking"].includes(job.state);
  const start = (stage: 1 | 2): void => {
    client.learn({ stage, minutes }).then(
      (started) => app.followJob(started),
      (error: unknown) => app.messages.tell(errorText(error), "error"),
    );
  };
  const locked = busy || app.readOnly.value !== "" || !reviewed.length;
  return (
    <>
      <section>
        <h2>Fine-tune the model on your corrections</h2>
        <p>
          {reviewed.length
            ? `${count(reviewed.length, "image")} ${reviewed.length === 1 ? "has" : "have"} reviewed parts, and ${count(done.length, "image")} ${done.length === 1 ? "is" : "are"} marked as done. The model is fine-tuned on the reviewed parts only.`
            : "First correct a few images, and click “Mark as done” for each. Five images that differ from each other are a good start."}
        </p>
        <button type="button" class="wide" data-stage="1" disabled={locked} onClick={() => start(1)}>
          <strong>Tune the cell size and the thresholds</strong>
          <span>This takes seconds.</span>
        </button>
        <button type="button" class="wide primary" data-stage="2" disabled={locked || folder.learn.install !== ""} onClick={() => start(2)}>
          <strong>Train the model</strong>
          <span>This takes minutes. You can continue to correct cells meanwhile.</span>
        </button>
        <label class="row minutes" title="CPU time is the sum over all processor cores. On four cores, 10 minutes of CPU time pass in about 2.5 minutes.">
          <span>Limit training to</span>
          <input type="number" min="1" max="1440" value={minutes} aria-label="Largest CPU time of the training in minutes" onInput={(event) => setMinutes(Math.min(1440, Math.max(1, Number(event.currentTarget.value) || 1)))} />
          <span>CPU minutes</span>
        </label>
        {folder.learn.install && <p class="quiet">{sentence(folder.learn.install)}</p>}
      </section>
      {job && (
        <section>
          {job.state === "asking" && job.result ? <Choice app={app} job={job} result={job.result} /> : <JobCard app={app} job={job} />}
        </section>
      )}
      {folder.models.length > 0 && <History models={folder.models} />}
    </>
  );
}

function Choice({ app, job, result }: { app: App; job: Job; result: LearnResult }): JSX.Element {
  return (
    <div class="job asking">
      <h2>Use the new model?</h2>
      <p>{sentence(result.advice)}</p>
      <table class="scores">
        <caption class="quiet">
          <abbr title="The mean over the IoU thresholds 0.50, 0.55, ..., 0.95, as in the Sartorius challenge">Mean average precision (mAP)</abbr> on images that were not used for training. It is 1 if every cell is outlined as you outlined it, and 0 if none is.
        </caption>
        <tbody>
          <tr><th scope="row">before</th><td>{score(result.before)}</td></tr>
          <tr><th scope="row">after</th><td>{score(result.after)}</td></tr>
          {result.gain !== null && (
            <tr>
              <th scope="row">difference</th>
              <td>
                {signed(result.gain)}
                {result.gain_low !== null && result.gain_high !== null ? <span class="quiet"> (95 % confidence interval: {signed(result.gain_low)} to {signed(result.gain_high)})</span> : ""}
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {result.changed.length > 0 && <ul>{result.changed.map((each) => <li key={each}>{sentence(each)}</li>)}</ul>}
      {result.compared.length > 0 && <button type="button" class="wide" onClick={() => (app.comparing.value = job.id)}>Compare the cells before and after</button>}
      <div class="row buttons">
        <button type="button" class={result.is_better ? "primary" : ""} data-action="accept" onClick={() => ask(app, job.id, "accept")}>Use the new model</button>
        <button type="button" class={result.is_better ? "" : "primary"} data-action="reject" onClick={() => ask(app, job.id, "reject")}>Keep the old model</button>
      </div>
      <p class="quiet">If you use the new model, the cells of all images that you have not corrected are predicted again.</p>
    </div>
  );
}

function History({ models }: { models: readonly ModelInfo[] }): JSX.Element {
  return (
    <section>
      <h2>Models in this folder</h2>
      <ol class="models">
        {models.map((each) => (
          <li key={each.id} aria-current={each.is_current}>
            <strong>{each.name}</strong> {each.is_current && <span class="pill good">in use</span>}
            <div class="quiet">
              {[each.images ? `fine-tuned on ${count(each.images, "image")}` : "", each.after !== null ? `mAP ${score(each.before)} → ${score(each.after)}` : "", each.made.slice(0, 16).replace("T", " ")].filter(Boolean).join(" · ")}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

function score(value: number | null): string {
  return value === null ? "unknown" : value.toFixed(3);
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`;
}

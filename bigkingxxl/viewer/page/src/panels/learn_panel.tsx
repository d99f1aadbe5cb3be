/** Learn from what was reviewed; nothing is taken before the user has seen before and after. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type App, count, errorText } from "../state/app.ts";
import { client } from "../wire/client.ts";
import type { Job, LearnResult, ModelInfo } from "../wire/contract.ts";
import { ask, JobCard } from "./job_card.tsx";

export function LearnPanel({ app }: { app: App }): JSX.Element | null {
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
        <h2>Learn from your corrections</h2>
        <p>
          {reviewed.length
            ? `${count(reviewed.length, "image")} with a reviewed part, ${done.length} done. Only reviewed parts are learnt from.`
            : "Correct a few images first, and say “Image done”. About five that differ are a good beginning."}
        </p>
        <button type="button" class="wide" disabled={locked} onClick={() => start(1)}>
          <strong>Adapt thresholds and cell size</strong>
          <span>takes seconds</span>
        </button>
        <button type="button" class="wide primary" disabled={locked || folder.learn.install !== ""} onClick={() => start(2)}>
          <strong>Train the model</strong>
          <span>takes minutes, in the background; correct on meanwhile</span>
        </button>
        <label class="row minutes" title="Of all processor cores together: with four of them, a quarter of it by the clock">
          <span>Train at most</span>
          <input type="number" min="1" max="1440" value={minutes} aria-label="Minutes of training at most" onInput={(event) => setMinutes(Math.min(1440, Math.max(1, Number(event.currentTarget.value) || 1)))} />
          <span>minutes of computing</span>
        </label>
        {folder.learn.install && <p class="quiet">{folder.learn.install}</p>}
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
      <h2>Take the new model?</h2>
      <p>{result.advice}</p>
      <table class="scores">
        <caption class="quiet">
          Agreement with your cells, on what it did not learn from: 0 none, 1 perfect <abbr title="Mean average precision over overlaps (IoU) from 0.5 to 0.95, as in the Sartorius challenge">(mAP)</abbr>
        </caption>
        <tbody>
          <tr><th scope="row">before</th><td>{score(result.before)}</td></tr>
          <tr><th scope="row">after</th><td>{score(result.after)}</td></tr>
          {result.gain !== null && (
            <tr>
              <th scope="row">difference</th>
              <td>
                {signed(result.gain)}
                {result.gain_low !== null && result.gain_high !== null ? <span class="quiet"> (95 % sure: {signed(result.gain_low)} to {signed(result.gain_high)})</span> : ""}
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {result.changed.length > 0 && <ul>{result.changed.map((each) => <li key={each}>{each}</li>)}</ul>}
      {result.compared.length > 0 && <button type="button" class="wide" onClick={() => (app.comparing.value = job.id)}>See before and after, side by side</button>}
      <div class="row buttons">
        <button type="button" class={result.is_better ? "primary" : ""} onClick={() => ask(app, job.id, "accept")}>Take the new model</button>
        <button type="button" class={result.is_better ? "" : "primary"} onClick={() => ask(app, job.id, "reject")}>Keep the old one</button>
      </div>
      <p class="quiet">Taken, it finds the cells of all images anew that you did not correct.</p>
    </div>
  );
}

function History({ models }: { models: readonly ModelInfo[] }): JSX.Element {
  return (
    <section>
      <h2>Models of this folder</h2>
      <ol class="models">
        {models.map((each) => (
          <li key={each.id} aria-current={each.is_current}>
            <strong>{each.name}</strong> {each.is_current && <span class="pill good">in use</span>}
            <div class="quiet">
              {[each.images ? `learnt from ${count(each.images, "image")}` : "", each.after !== null ? `agreement ${score(each.before)} → ${score(each.after)}` : "", each.made.slice(0, 16).replace("T", " ")].filter(Boolean).join(" · ")}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

function score(value: number | null): string {
  return value === null ? "not known" : value.toFixed(3);
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`;
}

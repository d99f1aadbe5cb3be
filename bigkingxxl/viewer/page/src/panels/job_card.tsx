/** A background job: its progress, and buttons to cancel or resume it. */
import type { JSX } from "preact";
import { type App, errorText } from "../state/app.ts";
import { sentence } from "../state/messages.ts";
import { client } from "../wire/client.ts";
import type { Job } from "../wire/contract.ts";
import { duration } from "./numbers.ts";

const NAMES = { predict: "Predicting cells", apply: "Applying thresholds", learn: "Fine-tuning", export: "Exporting" } as const;

export function ask(app: App, id: string, action: "cancel" | "resume" | "accept" | "reject"): void {
  client.jobAction(id, action).then(
    (job) => app.followJob(job),
    (error: unknown) => app.messages.tell(errorText(error), "error"),
  );
}

export function JobCard({ app, job }: { app: App; job: Job }): JSX.Element {
  const share = job.total ? Math.min(1, job.done / job.total) : null;
  const runs = job.state === "running" || job.state === "waiting";
  return (
    <div class={`job ${job.state}`} data-state={job.state} role="status" aria-live="polite">
      <div class="row between">
        <strong>{NAMES[job.kind]}</strong>
        <span class="quiet">{stateText(job)}</span>
      </div>
      {runs && <progress aria-label={NAMES[job.kind]} {...(share === null ? {} : { value: share, max: 1 })} />}
      {job.message && <p class="quiet">{sentence(job.message)}</p>}
      {job.error && <p class="problem">{sentence(job.error)}</p>}
      <div class="row buttons">
        {job.can_cancel && <button type="button" class="small" data-action="cancel" onClick={() => ask(app, job.id, "cancel")}>Cancel</button>}
        {job.can_resume && <button type="button" class="small" data-action="resume" onClick={() => ask(app, job.id, "resume")}>Resume</button>}
      </div>
    </div>
  );
}

function stateText(job: Job): string {
  if (job.state === "running" && job.seconds_left !== null) return `about ${duration(job.seconds_left)} left`;
  if (job.state === "running" && job.kind === "learn") return "";
  if (job.state === "running") return job.total ? `${Math.round(job.done)} of ${Math.round(job.total)}` : "";
  return { waiting: "waiting", asking: "waiting for your decision", done: "finished", failed: "failed", cancelled: "cancelled", running: "" }[job.state];
}

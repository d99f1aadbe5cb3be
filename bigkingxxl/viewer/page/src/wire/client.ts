/** Requests to the server, and what may come of them. */
import type * as wire from "./contract.ts";

/** The server does not answer; what was asked may be asked again. */
export class ServerAway extends Error {}

/** The server answered with a refusal; the message is for the user. */
export class Refused extends Error {
  readonly status: number;
  readonly readOnly: boolean;
  constructor(status: number, message: string, readOnly = false) {
    super(message);
    this.status = status;
    this.readOnly = readOnly;
  }
}

export type Query = Record<string, string | number | null | undefined>;

/** Numbers of pixels, row by row. */
export interface Pixels {
  readonly height: number;
  readonly width: number;
  readonly revision: number;
  readonly values: Uint8Array | Uint16Array | Uint32Array;
}

const STARTED_ANEW =
  "The program was restarted, or this page has no access to it. Open the address that the program printed. " +
  "Changes that are not saved yet are kept in this browser.";

export function address(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

async function ask(url: string, request: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...request });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerAway("The program does not respond.");
  }
  if (response.ok) return response;
  if (response.status === 403) throw new Refused(403, STARTED_ANEW);
  const problem = (await response.json().catch(() => ({}))) as Partial<wire.Problem>;
  throw new Refused(
    response.status,
    problem.error ?? `The program reported an error (HTTP status ${response.status}).`,
    problem.read_only,
  );
}

async function json<T>(url: string, request?: RequestInit): Promise<T> {
  return (await (await ask(url, request)).json()) as T;
}

function send(method: "POST" | "PUT", body: unknown): RequestInit {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function pixels(url: string, signal?: AbortSignal): Promise<Pixels> {
  const response = await ask(url, signal ? { signal } : {});
  const [height, width] = [Number(response.headers.get("X-Height")), Number(response.headers.get("X-Width"))];
  const bytes = await response.arrayBuffer();
  const kinds = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
  const kind = (response.headers.get("X-Dtype") ?? "uint16") as keyof typeof kinds;
  return { height, width, revision: Number(response.headers.get("X-Revision")), values: new kinds[kind](bytes) };
}

const image = (key: string, rest = ""): string => `/api/images/${key}${rest}`;
const job = (id: string, rest = ""): string => `/api/jobs/${id}${rest}`;

export const client = {
  folder: () => json<wire.Folder>("/api/folder"),
  strip: () => json<wire.Strip>("/api/images"),
  next: (but: string) => json<wire.ImageList>(address("/api/next", { but })),
  image: (key: string) => json<wire.ImageInfo>(image(key)),
  cells: (key: string, query: Query = {}) => json<wire.CellTable>(address(image(key, "/cells"), query)),
  candidates: (key: string) => json<wire.CandidateList>(image(key, "/candidates")),
  edits: (key: string, after: number) => json<wire.EditList>(address(image(key, "/edits"), { after })),
  edit: (key: string, edit: wire.Edit) =>
    json<wire.EditAccepted>(image(key, "/edits"), { ...send("POST", edit), keepalive: edit.runs.length < 4000 }),
  urgent: (key: string) => json<wire.ImageEntry>(image(key, "/urgent"), send("POST", {})),
  presence: (presence: wire.Presence) =>
    json<wire.PresenceAnswer>("/api/presence", { ...send("POST", presence), keepalive: true }),
  labels: (key: string, query: Query = {}, signal?: AbortSignal) =>
    pixels(address(image(key, "/labels"), query), signal),
  reviewed: (key: string, query: Query = {}) => pixels(address(image(key, "/reviewed"), query)),
  compared: (id: string, which: "before" | "after", key: string, query: Query = {}) =>
    pixels(address(job(id, `/${which}/${key}/labels`), query)),
  settings: (settings: wire.Settings) => json<wire.Job>("/api/settings", send("PUT", settings)),
  jobs: () => json<wire.JobList>("/api/jobs"),
  learn: (request: wire.LearnRequest) => json<wire.Job>("/api/jobs/learn", send("POST", request)),
  export: (request: wire.ExportRequest) => json<wire.Job>("/api/jobs/export", send("POST", request)),
  jobAction: (id: string, action: "cancel" | "resume" | "accept" | "reject") =>
    json<wire.Job>(job(id, `/${action}`), send("POST", {})),
  events: (after: number, signal: AbortSignal) =>
    json<wire.EventList>(address("/api/events", { after }), { signal }),
};

export type Client = typeof client;

export const urls = {
  pixels: (key: string, query: Query) => address(image(key, "/pixels"), query),
  thumbnail: (key: string, version: string) => address(image(key, "/thumbnail"), { v: version }),
  archive: (id: string) => job(id, "/archive"),
};

/** The one state of the page, and what can be done with it. */
import { batch, computed, effect, signal } from "@preact/signals";
import type { Box } from "../model/box.ts";
import { type Change, isEmptyChange, Refusal } from "../model/change.ts";
import { changeOf, type Document } from "../model/document.ts";
import { client as server, Refused } from "../wire/client.ts";
import type { Candidate, Folder, ImageEntry, Job } from "../wire/contract.ts";
import { Outbox, type OutboxState } from "../wire/outbox.ts";
import { browserStore, memoryStore } from "../wire/unsent.ts";
import { Display } from "./display.ts";
import { Messages, sentence } from "./messages.ts";
import { openDocument } from "./open_document.ts";
import { rejoined } from "./rejoin.ts";
import { newWindowId, openWindows } from "./window_id.ts";

export type ToolName = "select" | "brush" | "eraser" | "lasso" | "cut" | "add" | "region";

const REMEMBERED_EDITS = 500;
/** After this number of refusals in a row, edits are no longer merged. */
const REFUSALS = 3;

export class App {
  readonly window = newWindowId();
  readonly display = new Display();
  readonly messages = new Messages();

  readonly folder = signal<Folder | null>(null);
  readonly images = signal<readonly ImageEntry[]>([]);
  readonly jobs = signal<readonly Job[]>([]);
  readonly fatal = signal("");

  readonly document = signal<Document | null>(null);
  /** The cells that other thresholds would select: a preview, never changed. */
  readonly preview = signal<Document | null>(null);
  readonly opening = signal("");
  readonly otherWindows = signal(0);
  readonly candidates = signal<readonly Candidate[]>([]);
  /** Rises with every change of the cells that are shown. */
  readonly version = signal(0);

  readonly tool = signal<ToolName>("select");
  readonly selected = signal<ReadonlySet<number>>(new Set());
  readonly hovered = signal(0);
  readonly addedTypes = signal<readonly string[]>([]);
  readonly saving = signal<OutboxState>({ unsent: 0, problem: "" });
  /** Changes that wait for the part of a large image that they concern. */
  readonly working = signal(0);
  /** The largest job of its kind that is compared side by side, or "". */
  readonly comparing = signal("");
  readonly helpOpen = signal(false);
  /** Whether the name of a new cell type is asked for. */
  readonly namingType = signal(false);

  readonly shown = computed(() => this.preview.value ?? this.document.value);
  readonly readOnly = computed(() => this.folder.value?.read_only ?? "");
  readonly types = computed(() => {
    void this.version.value;
    const types = new Set([...(this.folder.value?.type_names ?? []), ...this.addedTypes.value]);
    for (const [, cell] of this.shown.value?.book.entries ?? []) if (cell.facts.type) types.add(cell.facts.type);
    return [...types].filter((type) => type !== "");
  });

  /** Told to bring a box of the image into sight. */
  show: (box: Box) => void = () => undefined;

  private outbox!: Outbox;
  private seq = new Map<string, number>();
  /** How many times in a row the server refused merged edits. */
  private readonly refusals = new Map<string, number>();
  private opened = 0;
  /** Steps of undo and redo are made one after the other. */
  private stepping: Promise<void> = Promise.resolve();

  get entry(): ImageEntry | undefined {
    const key = this.document.value?.key ?? this.opening.value;
    return this.images.value.find((each) => each.key === key);
  }

  // ---- starting ---------------------------------------------------------------------------------

  async start(): Promise<void> {
    const folder = await server.folder();
    this.folder.value = folder;
    for (const notice of folder.notices) this.messages.tell(notice, "warning");
    effect(() => {
      if (this.readOnly.value) this.tool.value = "select";
    });
    const store = await browserStore().catch(() => memoryStore());
    this.outbox = new Outbox({
      store,
      folder: folder.path,
      send: (key, edit) => server.edit(key, edit),
      changed: (state) => (this.saving.value = state),
      accepted: (key, answer) => {
        this.refusals.delete(key);
        if (this.document.value?.key === key) this.document.value.book.reserve(answer.next_cell - 1);
      },
      conflict: (key, reason) => void this.rejoin(key, reason),
    });
    const alive = await openWindows();
    const left = (await store.all(folder.path)).filter(
      ({ edit }) => edit.window === this.window || !alive.has(edit.window),
    );
    if (left.length) {
      this.messages.tell(`${count(left.length, "change")} that could not be saved earlier ${left.length === 1 ? "is" : "are"} being saved now.`);
      this.outbox.adopt(left);
    }
    this.images.value = (await server.strip()).images;
    this.jobs.value = (await server.jobs()).jobs;
  }

  // ---- opening ----------------------------------------------------------------------------------

  async open(key: string): Promise<void> {
    const turn = ++this.opened;
    const again = this.document.value?.key === key;
    this.opening.value = key;
    try {
      // Unsent edits of this image are sent first, so that the server has the state of the page.
      await Promise.race([this.outbox.settled(key), pause(3000)]);
      const unsent = this.outbox.of(key).map(({ edit }) => edit);
      const document = await openDocument(server, key, this.folder.value?.tile_side ?? 512);
      const { edits } = await server.edits(key, Math.max(0, document.revision - REMEMBERED_EDITS));
      if (turn !== this.opened) return;
      document.remember(edits);
      for (const edit of unsent) document.make(changeOf(edit));
      document.listen(() => this.version.value++);
      batch(() => {
        this.document.value = document;
        this.preview.value = null;
        this.display.minScore.value = this.display.minArea.value = null;
        if (!again) this.display.beginImage(document.info);
        this.candidates.value = [];
        this.otherWindows.value = document.info.windows;
        if (!again) this.selected.value = new Set();
        else this.selected.value = new Set([...this.selected.value].filter((id) => document.book.get(id)));
        this.opening.value = "";
        this.version.value++;
      });
      if (document.info.has_candidates) await this.loadCandidates(document);
    } catch (error) {
      if (turn !== this.opened) return;
      this.opening.value = "";
      this.messages.tell(errorText(error), "error");
    }
  }

  private async loadCandidates(document: Document): Promise<void> {
    const { candidates } = await server.candidates(document.key);
    if (this.document.value === document) this.candidates.value = candidates;
  }

  /** Choose a tool; in a read-only folder, only the selection tool can be chosen. */
  take(tool: ToolName): void {
    if (tool === "select" || !this.readOnly.value) this.tool.value = tool;
    else this.messages.tell(this.readOnly.value, "warning", "read-only");
  }

  // ---- changing ---------------------------------------------------------------------------------

  /** The open image if its cells may be changed now; otherwise, a message gives the reason. */
  mayEdit(): Document | null {
    const document = this.document.value;
    if (this.opening.value) this.messages.tell("The image is still being opened. Please wait a moment.");
    if (!document || this.opening.value) return null;
    const reason =
      this.readOnly.value ||
      (this.preview.value ? "You are looking at a preview of other thresholds. Apply or discard them before you correct cells." : "");
    if (!reason) return document;
    this.messages.tell(reason, "warning", this.readOnly.value ? "read-only" : "");
    return null;
  }

  /** Make a change of the open image and save it; a refusal is shown as a message. */
  change(change: Change | Refusal): boolean {
    const document = this.document.value;
    if (change instanceof Refusal) {
      this.messages.tell(change.reason);
      return false;
    }
    if (!document || isEmptyChange(change)) return false;
    const edit = document.edit(change, this.window, this.nextSeq(document.key));
    batch(() => {
      document.make(change);
      const left = [...this.selected.value].filter((id) => document.book.get(id));
      if (left.length !== this.selected.value.size) this.selected.value = new Set(left);
      this.updateEntry(document);
    });
    void this.outbox.add(document.key, edit);
    return true;
  }

  /** Work that ends in a change: until then not all is saved. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.working.value++;
    try {
      return await work;
    } finally {
      this.working.value--;
    }
  }

  undo(): Promise<void> {
    return (this.stepping = this.stepping.then(() => this.during(this.step("undo"))));
  }

  redo(): Promise<void> {
    return (this.stepping = this.stepping.then(() => this.during(this.step("redo"))));
  }

  private async step(which: "undo" | "redo"): Promise<void> {
    const document = this.mayEdit();
    const change = which === "undo" ? document?.history.undo() : document?.history.redo();
    if (!document) return;
    if (change) await document.ensureFor(change);
    if (!change) this.messages.tell(`There is nothing to ${which}.`);
    else if (!document.fits(change))
      this.messages.tell(`This step cannot be ${which === "undo" ? "undone" : "redone"} because its cells have been changed since.`);
    else {
      this.change(change);
      const ids = change.cells.filter(({ after }) => after).map(({ id }) => id);
      if (ids.length) this.selected.value = new Set(ids.slice(0, 1000));
    }
  }

  /** Everything that was changed is on the server's disk when this resolves. */
  saved(): Promise<void> {
    return this.outbox.settled();
  }

  retrySaving(): void {
    this.outbox.retry();
  }

  private nextSeq(key: string): number {
    const seq = (this.seq.get(key) ?? 0) + 1;
    this.seq.set(key, seq);
    return seq;
  }

  private updateEntry(document: Document): void {
    const area = [...document.book.entries].reduce((sum, [, cell]) => sum + cell.area, 0);
    const { height, width } = document.size;
    this.replaceEntry(document.key, {
      cells: document.book.size,
      confluence: area / (height * width),
      done: document.done,
      reviewed: document.reviewedShare,
      corrected: true,
    });
  }

  /** A job as it is now. */
  followJob(job: Job): void {
    const others = this.jobs.value.filter((each) => each.id !== job.id);
    const known = others.length !== this.jobs.value.length;
    this.jobs.value = known ? this.jobs.value.map((each) => (each.id === job.id ? job : each)) : [job, ...others];
  }

  replaceEntry(key: string, news: Partial<ImageEntry>): void {
    this.images.value = this.images.value.map((each) => (each.key === key ? { ...each, ...news } : each));
  }

  // ---- other windows ----------------------------------------------------------------------------

  /** Another window edited an image, or the server has another state: merge the unsent edits. */
  private async rejoin(key: string, reason: string): Promise<void> {
    const unsent = await this.outbox.take(key);
    // The server counts the edits of a window, so those that it refused get new numbers.
    const own = unsent.filter(({ edit }) => edit.window === this.window).map(({ edit }) => edit.seq);
    if (own.length) this.seq.set(key, Math.min(...own) - 1);
    if (this.document.value?.key === key) await this.open(key);
    const document =
      this.document.value?.key === key
        ? this.document.value
        : await openDocument(server, key, this.folder.value?.tile_side ?? 512).catch(() => null);
    if (!document) {
      for (const { edit } of unsent) await this.outbox.add(key, edit);
      return;
    }
    const refusals = (this.refusals.get(key) ?? 0) + 1;
    this.refusals.set(key, refusals);
    let lost = refusals > REFUSALS ? unsent.length : 0;
    for (const change of refusals > REFUSALS ? [] : rejoined(unsent.map(({ edit }) => edit), document)) {
      await document.ensureFor(change);
      if (!document.fits(change)) {
        lost++;
        continue;
      }
      const edit = document.edit(change, this.window, this.nextSeq(key));
      document.make(change);
      await this.outbox.add(key, edit);
    }
    const kept = unsent.length - lost;
    if (lost)
      this.messages.tell(
        `${sentence(reason)} ${count(lost, "change")} of yours could not be merged and ${lost === 1 ? "is" : "are"} lost.${kept ? ` ${count(kept, "change")} ${kept === 1 ? "was" : "were"} merged.` : ""}`,
        "error",
        "not-merged",
      );
    else this.messages.tell("Another window also changed this image. The changes of both windows are kept.", "warning", "merged");
  }

  /** Apply the edits that another window made to the open image. */
  async follow(key: string, revision: number): Promise<void> {
    const document = this.document.value;
    if (document?.key !== key || revision <= document.revision) return;
    await this.outbox.settled(key);
    if (this.document.value !== document || revision <= document.revision) return;
    const { edits } = await server.edits(key, document.revision);
    for (const { edit } of edits) {
      if (edit.revision !== document.revision) continue;
      await document.ensureFor(edit);
      if (edit.revision !== document.revision || !document.fits(edit)) return void this.open(key);
      document.make(changeOf(edit));
    }
    this.selected.value = new Set([...this.selected.value].filter((id) => document.book.get(id)));
    this.messages.tell("Another window changed this image. Its changes are shown now.", "hint", "other-window");
  }
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

export function errorText(error: unknown): string {
  if (error instanceof Refused || error instanceof Error) return error.message;
  return String(error);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

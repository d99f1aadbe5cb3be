/**
 * Sends edits in their order, one at a time; nothing is dropped before the server has confirmed it.
 *
 * An edit that the server refuses for good (another window was faster) stops its image: `conflict`
 * is told, takes the image's unsent edits with `take`, and may add them anew.
 */
import { Refused, ServerAway } from "./client.ts";
import type { Edit, EditAccepted } from "./contract.ts";
import type { UnsentEdit, UnsentStore } from "./unsent.ts";

export interface OutboxState {
  readonly unsent: number;
  /** Why nothing is saved at present, for the user; "" where all is well. */
  readonly problem: string;
}

export interface OutboxOptions {
  readonly store: UnsentStore;
  readonly folder: string;
  readonly send: (key: string, edit: Edit) => Promise<EditAccepted>;
  readonly changed: (state: OutboxState) => void;
  readonly accepted: (key: string, answer: EditAccepted) => void;
  readonly conflict: (key: string, reason: string) => void;
  /** Milliseconds before an unanswered edit is sent again. */
  readonly pauses?: readonly number[];
}

const PAUSES = [500, 1000, 2000, 4000] as const;
/** Refusals that time may cure: the server is starting, busy, or its disk is full. */
const PASSING = new Set([403, 408, 425, 429, 500, 502, 503, 504, 507]);

export class Outbox {
  private queue: UnsentEdit[] = [];
  private readonly stopped = new Set<string>();
  private problem = "";
  private running = false;
  private tries = 0;
  private wake: (() => void) | undefined;
  private readonly options: OutboxOptions;
  /** Edits that are on their way into the store. */
  private entering = 0;
  /** Additions are written to the store in their order. */
  private writing: Promise<unknown> = Promise.resolve();

  constructor(options: OutboxOptions) {
    this.options = options;
  }

  get state(): OutboxState {
    return { unsent: this.queue.length + this.entering, problem: this.problem };
  }

  /** Unsent edits of an image. */
  of(key: string): UnsentEdit[] {
    return this.queue.filter((each) => each.key === key);
  }

  /** Keep an edit and send it as soon as may be. */
  add(key: string, edit: Edit): Promise<void> {
    this.entering++;
    this.tell();
    const kept = this.writing.then(async () => {
      let unsent: UnsentEdit;
      const bare = { folder: this.options.folder, key, edit };
      try {
        unsent = await this.options.store.add(bare);
      } catch {
        // A browser without room keeps it in memory, and it is sent all the same.
        unsent = { ...bare, order: -Date.now() };
      }
      this.entering--;
      this.queue.push(unsent);
      this.tell();
      void this.run();
    });
    this.writing = kept;
    return kept;
  }

  /** Edits that an earlier page could not send. */
  adopt(edits: readonly UnsentEdit[]): void {
    this.queue.unshift(...edits.filter((each) => !this.queue.some((other) => other.order === each.order)));
    this.tell();
    void this.run();
  }

  /** Remove and return an image's unsent edits; sending of the image goes on. */
  async take(key: string): Promise<UnsentEdit[]> {
    await this.writing;
    const taken = this.of(key);
    this.queue = this.queue.filter((each) => each.key !== key);
    for (const { order } of taken) await this.options.store.remove(order);
    this.stopped.delete(key);
    this.tell();
    void this.run();
    return taken;
  }

  /** Try again now. */
  retry(): void {
    this.wake?.();
  }

  /** Resolves when no edit of an image (or of any) waits. */
  async settled(key?: string): Promise<void> {
    await this.writing;
    while (this.queue.some((each) => (key === undefined || each.key === key) && !this.stopped.has(each.key)))
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    for (;;) {
      const next = this.queue.find((each) => !this.stopped.has(each.key));
      if (!next) break;
      await this.sendOne(next);
    }
    this.running = false;
  }

  private async sendOne(unsent: UnsentEdit): Promise<void> {
    try {
      const answer = await this.options.send(unsent.key, unsent.edit);
      this.tries = 0;
      this.problem = "";
      this.queue = this.queue.filter((each) => each !== unsent);
      await this.options.store.remove(unsent.order).catch(() => undefined);
      this.tell();
      this.options.accepted(unsent.key, answer);
    } catch (error) {
      const passing = error instanceof ServerAway || (error instanceof Refused && PASSING.has(error.status));
      if (!passing) {
        this.stopped.add(unsent.key);
        this.tell();
        this.options.conflict(unsent.key, error instanceof Error ? error.message : String(error));
        return;
      }
      this.problem = error.message;
      this.tell();
      const pauses = this.options.pauses ?? PAUSES;
      await this.pause(pauses[Math.min(this.tries++, pauses.length - 1)]);
    }
  }

  private async pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }

  private tell(): void {
    this.options.changed(this.state);
  }
}

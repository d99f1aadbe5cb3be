/** Short messages for the user: at most three at once, the newest last. */
import { signal } from "@preact/signals";

export type Topic = "" | "other-window" | "merged" | "not-merged" | "read-only";

export interface Message {
  readonly id: number;
  readonly text: string;
  readonly kind: "hint" | "warning" | "error";
  /** The event that it reports, for programs. */
  readonly about: Topic;
}

const SECONDS = { hint: 4, warning: 10, error: 20 } as const;

export class Messages {
  readonly shown = signal<readonly Message[]>([]);
  private last = 0;

  tell(text: string, kind: Message["kind"] = "hint", about: Topic = ""): void {
    const id = ++this.last;
    const others = this.shown.value.filter((each) => each.text !== text);
    this.shown.value = [...others, { id, text, kind, about }].slice(-3);
    setTimeout(() => this.close(id), SECONDS[kind] * 1000);
  }

  close(id: number): void {
    this.shown.value = this.shown.value.filter((each) => each.id !== id);
  }
}

/** A message of the program, which begins in lower case on a command line, as a sentence. */
export function sentence(text: string): string {
  // Names of files and images keep their letters.
  const start = /^[a-z]+[ ,:]/.test(text) && !text.startsWith("bigkingxxl") ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…)]$/.test(start) || start === "" ? start : `${start}.`;
}

/** Short sentences for the user: at most a few at once, the newest last. */
import { signal } from "@preact/signals";

export interface Message {
  readonly id: number;
  readonly text: string;
  readonly kind: "hint" | "warning" | "error";
}

const SECONDS = { hint: 4, warning: 10, error: 20 } as const;

export class Messages {
  readonly shown = signal<readonly Message[]>([]);
  private last = 0;

  tell(text: string, kind: Message["kind"] = "hint"): void {
    const id = ++this.last;
    const others = this.shown.value.filter((each) => each.text !== text);
    this.shown.value = [...others, { id, text, kind }].slice(-3);
    setTimeout(() => this.close(id), SECONDS[kind] * 1000);
  }

  close(id: number): void {
    this.shown.value = this.shown.value.filter((each) => each.id !== id);
  }
}

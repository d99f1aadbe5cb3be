/** What can be undone and redone of one image, the newest last. */
import { type Change, undone } from "./change.ts";

export class History {
  private past: Change[] = [];
  private future: Change[] = [];
  private readonly limit: number;

  constructor(limit = 500) {
    this.limit = limit;
  }

  get undoable(): number {
    return this.past.length;
  }

  get redoable(): number {
    return this.future.length;
  }

  /** What the next undo takes back, and the next redo makes again: the name of the tool. */
  get names(): { undo: string; redo: string } {
    return { undo: this.past.at(-1)?.tool ?? "", redo: this.future.at(-1)?.tool ?? "" };
  }

  /**
   * Follow a change as it stands in the journal: undo and redo are changes too, and of a journal
   * read from its middle they may be of one that is not known.
   */
  follow(change: Change): void {
    if (change.tool === "undo") this.future.push(this.past.pop() ?? undone(change));
    else if (change.tool === "redo") this.past.push(this.future.pop() ?? change);
    else {
      this.past.push(change);
      this.future = [];
      if (this.past.length > this.limit) this.past.shift();
    }
  }

  /** The change that takes the newest back; `follow` it once it is made. */
  undo(): Change | undefined {
    const last = this.past.at(-1);
    return last && undone(last, "undo");
  }

  redo(): Change | undefined {
    const last = this.future.at(-1);
    return last && { ...last, tool: "redo" };
  }
}

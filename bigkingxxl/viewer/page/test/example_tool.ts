/** A tool that draws a rectangular cell: the worked example of docs/architecture.md. */
import type { Box, Point } from "../src/model/box.ts";
import type { Cells, Change, Refusal } from "../src/model/change.ts";
import * as masks from "../src/model/masks.ts";
import * as tools from "../src/model/tools.ts";
import type { Gesture, Press, Sketch } from "../src/tools/gesture.ts";

function boxBetween(from: Point, to: Point): Box {
  return {
    row0: Math.floor(Math.min(from.row, to.row)),
    col0: Math.floor(Math.min(from.col, to.col)),
    row1: Math.ceil(Math.max(from.row, to.row)),
    col1: Math.ceil(Math.max(from.col, to.col)),
  };
}

/** The change: a new cell of a type. It does not paint over other cells. */
export function drawBox(cells: Cells, box: Box, type: string): Change | Refusal {
  const mask = masks.rectangle(box);
  const facts = tools.drawnCell(type);
  return tools.paint("box", cells, mask, cells.book.nextCell, { overwrite: false }, facts);
}

/** The gesture: from pressing to letting go. */
export class BoxGesture implements Gesture {
  sketch: Sketch = null;
  private readonly from: Point;
  private readonly finish: (box: Box) => void;

  constructor(press: Press, finish: (box: Box) => void) {
    [this.from, this.finish] = [press.at, finish];
  }

  move({ at }: Press): void {
    this.sketch = { kind: "box", box: boxBetween(this.from, at) };
  }

  end({ at }: Press): void {
    this.finish(boxBetween(this.from, at));
  }

  cancel(): void {
    this.sketch = null;
  }
}

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box } from "../src/model/box.ts";
import { BoxGesture, drawBox } from "./example_tool.ts";
import { make, picture, text } from "./support.ts";

const at = (row: number, col: number) => ({ at: { row, col }, shift: false, alt: false, ctrl: false });

test("the example of the documentation draws a cell from pressing to letting go", () => {
  const cells = picture("aa...", "aa...", ".....");
  const boxes: Box[] = [];
  const gesture = new BoxGesture(at(2.5, 3.2), (box) => boxes.push(box));
  gesture.move(at(1.1, 1.5));
  assert.deepEqual(gesture.sketch, { kind: "box", box: { row0: 1, col0: 1, row1: 3, col1: 4 } });
  gesture.end(at(1.1, 1.5));
  make(cells, drawBox(cells, boxes[0], "b"));
  assert.deepEqual(text(cells), ["aa...", "aabb.", ".bbb."]);
  assert.equal(cells.book.get(2)?.facts.origin, "drawn");
});

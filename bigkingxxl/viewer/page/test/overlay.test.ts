import assert from "node:assert/strict";
import { test } from "node:test";
import { type OverlayStyle, paintFlat, paintZoomed } from "../src/view/overlay.ts";

const COLOUR = 0xff112233;
const LOOK: OverlayStyle = { outlines: true, filled: false, fillAlpha: 90, colour: (id) => (id === 9 ? 0 : COLOUR), selected: () => false };

/** A picture of digits with one pixel of background around, as the painters take it. */
function around(...rows: string[]): Uint32Array {
  const empty = "0".repeat(rows[0].length + 2);
  return Uint32Array.from([empty, ...rows.map((row) => `0${row}0`), empty].join(""), Number);
}

function picture(pixels: Uint32Array, width: number): string[] {
  const letters = Array.from(pixels, (value) => (value === 0 ? "." : value === COLOUR ? "o" : "f")).join("");
  return letters.match(new RegExp(`.{${width}}`, "g")) ?? [];
}

test("an outline is the cell's own border, towards background and towards another cell", () => {
  const labels = around("1111", "1111", "1111", "2222");
  assert.deepEqual(picture(paintFlat(labels, null, 4, 4, LOOK), 4), ["oooo", "o..o", "oooo", "oooo"]);
});

test("a fill lies within the outline; hidden cells are not painted", () => {
  const labels = around("1119", "1119", "1119");
  assert.deepEqual(picture(paintFlat(labels, null, 4, 3, { ...LOOK, filled: true }), 4), ["ooo.", "ofo.", "ooo."]);
});

test("zoomed outlines are one line thin and have no gaps at corners", () => {
  const labels = around("110", "111", "011");
  assert.deepEqual(picture(paintZoomed(labels, null, 3, 3, 4, LOOK), 12), [
    "oooooooo....", "o......o....", "o......o....", "o......o....",
    "o......ooooo", "o..........o", "o..........o", "ooooo......o",
    "....o......o", "....o......o", "....o......o", "....oooooooo",
  ]);
});

test("what is not reviewed is dark where no cell is", () => {
  const labels = around("10", "00");
  const reviewed = around("11", "10");
  const pixels = paintFlat(labels, reviewed, 2, 2, LOOK);
  assert.deepEqual([...pixels].map((value) => value >>> 24), [0xff, 0, 0, 0x60]);
});

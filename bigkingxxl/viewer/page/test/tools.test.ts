import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal, undone } from "../src/model/change.ts";
import * as masks from "../src/model/masks.ts";
import * as tools from "../src/model/tools.ts";
import { make, MODEL, picture, random, recount, text } from "./support.ts";

const NEW = tools.drawnCell("a");

test("a brush paints background and leaves other cells alone unless asked", () => {
  const cells = picture("aa....", "aa....", "......");
  const mask = masks.rectangle({ row0: 0, col0: 1, row1: 2, col1: 4 });
  const change = make(cells, tools.paint("brush", cells, mask, 2, { overwrite: false }, NEW));
  assert.deepEqual(text(cells), ["aabb..", "aabb..", "......"]);
  assert.deepEqual(change.cells, [{ id: 2, before: null, after: NEW }]);
  make(cells, tools.paint("brush", cells, mask, 2, { overwrite: true }));
  assert.deepEqual(text(cells), ["abbb..", "abbb..", "......"]);
  assert.equal(cells.book.get(1)?.facts.origin, "edited");
});

test("painting over the last pixel of a cell removes the cell", () => {
  const cells = picture("a..", "...");
  const change = make(cells, tools.paint("brush", cells, masks.rectangle({ row0: 0, col0: 0, row1: 1, col1: 2 }), 2, { overwrite: true }, NEW));
  assert.equal(cells.book.get(1), undefined);
  assert.deepEqual(change.cells.find(({ id }) => id === 1), { id: 1, before: MODEL, after: null });
});

test("painting on another cell only is refused", () => {
  const cells = picture("aa", "aa");
  assert.ok(tools.paint("brush", cells, masks.rectangle(cells.labels.bounds), 2, { overwrite: false }, NEW) instanceof Refusal);
});

test("erasing takes pixels of the selected cells only", () => {
  const cells = picture("aabb", "aabb");
  make(cells, tools.erase("erase", cells, masks.rectangle({ row0: 0, col0: 1, row1: 1, col1: 3 }), new Set([2])));
  assert.deepEqual(text(cells), ["aa.b", "aabb"]);
});

test("a cut divides a cell, loses no pixel, and the larger part keeps its number", () => {
  const cells = picture("aaaaaa", "aaaaaa", "aaaaaa");
  make(cells, tools.cut(cells, [{ row: -1, col: 2.5 }, { row: 4, col: 2.5 }], new Set()));
  const after = text(cells).join("");
  assert.equal([...after].filter((letter) => letter === ".").length, 0);
  assert.deepEqual([cells.book.get(1)?.area, cells.book.get(2)?.area], [9, 9]);
  assert.equal(cells.book.get(2)?.facts.origin, "edited");
  assert.equal(cells.book.get(2)?.facts.score, MODEL.score);
});

test("a slanted cut leaves no way through by a corner", () => {
  const cells = picture(...Array.from({ length: 12 }, () => "a".repeat(12)));
  make(cells, tools.cut(cells, [{ row: -1, col: -0.5 }, { row: 13, col: 12.7 }], new Set()));
  assert.equal(cells.book.size, 2);
  for (const [id, cell] of cells.book.entries)
    assert.equal(masks.components(tools.cellMask(cells.labels, id, cell.box), true).sizes.length, 2);
});

test("a line that does not cross a cell cuts nothing; a cell not selected stays whole", () => {
  const cells = picture("aaaa", "aaaa", "aaaa", "bbbb");
  const half = [{ row: -1, col: 1.5 }, { row: 1.2, col: 1.5 }];
  assert.ok(tools.cut(cells, half, new Set()) instanceof Refusal);
  make(cells, tools.cut(cells, [{ row: -1, col: 1.5 }, { row: 5, col: 1.5 }], new Set([2])));
  assert.equal(cells.book.get(1)?.area, 12);
  assert.equal(cells.book.size, 3);
});

test("merging keeps the largest cell's number and closes a narrow gap", () => {
  const cells = picture("aaa.bb", "aaa.bb", "aaa.bb");
  make(cells, tools.merge(cells, [2, 1]));
  assert.deepEqual(text(cells), ["aaaaaa", "aaaaaa", "aaaaaa"]);
  assert.equal(cells.book.size, 1);
});

test("merging across another cell does not take its pixels", () => {
  const cells = picture("aacbb", "aacbb");
  make(cells, tools.merge(cells, [1, 2]));
  assert.deepEqual(text(cells), ["aacaa", "aacaa"]);
});

test("holes are filled, other cells in them and bays are not", () => {
  const cells = picture("aaaaa.", "a.b.aa", "aaaaa.", "a....a");
  make(cells, tools.fillHoles(cells, [1]));
  assert.deepEqual(text(cells), ["aaaaa.", "aabaaa", "aaaaa.", "a....a"]);
});

test("growing goes into the background only, shrinking keeps thin cells", () => {
  const cells = picture(".......", "..aa.b.", "..aa...", ".......");
  make(cells, tools.grow(cells, [1]));
  assert.deepEqual(text(cells), ["..aa...", ".aaaab.", ".aaaa..", "..aa..."]);
  assert.ok(tools.shrink(cells, [2]) instanceof Refusal);
  make(cells, tools.shrink(cells, [1]));
  assert.deepEqual(text(cells), [".......", "..aa.b.", "..aa...", "......."]);
});

test("a lasso takes the pixels whose centre it goes around", () => {
  const mask = masks.polygon([{ row: 0, col: 0 }, { row: 0, col: 3 }, { row: 3, col: 3 }, { row: 3, col: 0 }]);
  const inside = [...mask.inside].filter(Boolean).length;
  assert.equal(inside, 9);
});

test("a stroke of width one paints one pixel, and a wide one a disc of its area", () => {
  const one = masks.stroke([{ row: 5.5, col: 5.5 }], 0.5);
  assert.equal([...one.inside].filter(Boolean).length, 1);
  const disc = masks.stroke([{ row: 50.5, col: 50.5 }], 20);
  const area = [...disc.inside].filter(Boolean).length;
  assert.ok(Math.abs(area - Math.PI * 400) < 30, String(area));
});

test("a candidate becomes a cell where nothing is", () => {
  const cells = picture("aa..", "aa..", "....");
  const candidate = { index: 0, score: 0.3, type: "b", box: [0, 1, 2, 4] as const, runs: [1, 3, 5, 3] };
  assert.equal(tools.candidateAt([candidate], 1, 2, 4), candidate);
  assert.equal(tools.candidateAt([candidate], 2, 2, 4), undefined);
  make(cells, tools.addCandidate(cells, candidate));
  assert.deepEqual(text(cells), ["aabb", "aabb", "...."]);
  assert.deepEqual(cells.book.get(2)?.facts, { origin: "model", type: "b", score: 0.3 });
});

test("any sequence of tools is undone to the same pixels, and the book is right all along", () => {
  for (let seed = 0; seed < 20; seed++) {
    const next = random(seed);
    const size = 40;
    const cells = picture(...Array.from({ length: size }, () => ".".repeat(size)));
    const start = text(cells);
    const made = [];
    for (let i = 0; i < 60; i++) {
      const at = () => ({ row: next() * (size + 6) - 3, col: next() * (size + 6) - 3 });
      const ids = [...cells.book.ids].filter(() => next() < 0.4);
      const kind = Math.floor(next() * 9);
      const change =
        kind < 3 ? tools.paint("brush", cells, masks.stroke([at(), at()], next() * 5), cells.book.nextCell, { overwrite: next() < 0.4 }, NEW)
        : kind === 3 ? tools.erase("erase", cells, masks.polygon([at(), at(), at(), at()]), new Set(ids))
        : kind === 4 ? tools.cut(cells, [at(), at(), at()], new Set(ids))
        : kind === 5 ? tools.merge(cells, ids)
        : kind === 6 ? tools.grow(cells, ids)
        : kind === 7 ? tools.shrink(cells, ids)
        : tools.remove(cells, ids.slice(0, 1));
      if (change instanceof Refusal) continue;
      made.push(make(cells, change));
      const truth = recount(cells);
      assert.deepEqual([...cells.book.ids].sort((a, b) => a - b), [...truth.keys()].sort((a, b) => a - b));
      for (const [id, { area, box }] of cells.book.entries)
        assert.deepEqual({ area, box: [box.row0, box.col0, box.row1, box.col1] }, truth.get(id));
    }
    assert.ok(made.length > 20);
    for (const change of made.reverse()) make(cells, undone(change));
    assert.deepEqual(text(cells), start);
    assert.equal(cells.book.size, 0);
  }
});

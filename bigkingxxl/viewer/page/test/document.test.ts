import assert from "node:assert/strict";
import { test } from "node:test";
import { type Change, NO_CHANGE, Refusal, undone } from "../src/model/change.ts";
import { changeOf, Document } from "../src/model/document.ts";
import { History } from "../src/model/history.ts";
import * as masks from "../src/model/masks.ts";
import * as tools from "../src/model/tools.ts";
import { rejoined } from "../src/state/rejoin.ts";
import type { CellTable, ImageInfo, Level } from "../src/wire/contract.ts";

const NOTHING: CellTable = { revision: 0, ids: [], cells: [], boxes: [], areas: [], measurements: [] };

function info(height: number, width: number, levels = 1): ImageInfo {
  const level = (number: number): Level => {
    const [down, across] = [Math.ceil(height / 2 ** number), Math.ceil(width / 2 ** number)];
    return { level: number, width: across, height: down, rows: Math.ceil(down / 8), cols: Math.ceil(across / 8) };
  };
  return {
    entry: {
      key: "0123456789abcdef", name: "a", file: "a", group: "", frame: null, state: "ready", failure: "", warnings: [],
      width, height, cells: 0, confluence: 0, expected_error: null, revision: 0, corrected: false, done: false,
      reviewed: 0, thumbnail: "",
    },
    channels: [], pixel_size_um: null, levels: Array.from({ length: levels }, (_, i) => level(i)), is_rgb: false,
    label_dtype: "uint16", next_cell: 1, has_candidates: false, windows: 0, label_file: "", image_file: "",
  };
}

async function opened(height = 16, width = 16): Promise<Document> {
  const document = new Document(info(height, width), NOTHING, 8, () => Promise.resolve(new Uint16Array(height * width)));
  await document.ensure(document.labels.bounds);
  return document;
}

function painted(document: Document, row: number, col: number, id = document.book.nextCell): Change {
  const mask = masks.rectangle({ row0: row, col0: col, row1: row + 3, col1: col + 3 });
  const change = tools.paint("brush", document, mask, id, { overwrite: false }, tools.drawnCell(""));
  if (change instanceof Refusal) throw new Error(change.reason);
  return change;
}

test("undo and redo of 300 steps come back to the same pixels", async () => {
  const document = await opened();
  const before: string[] = [];
  const look = (): string => document.labels.read(document.labels.bounds).join();
  for (let i = 0; i < 300; i++) {
    before.push(look());
    const id = [...document.book.ids][0];
    const change = id ? tools.remove(document, [id]) : painted(document, i % 12, (i * 5) % 12);
    assert.ok(!(change instanceof Refusal));
    document.make(change);
  }
  const last = look();
  for (let i = 299; i >= 0; i--) {
    document.make(document.history.undo() ?? NO_CHANGE);
    assert.equal(look(), before[i]);
  }
  assert.equal(document.history.undo(), undefined);
  for (let i = 0; i < 300; i++) document.make(document.history.redo() ?? NO_CHANGE);
  assert.equal(look(), last);
  assert.equal(document.revision, 900);
});

test("a history read from the journal is the one that was lived", async () => {
  const document = await opened();
  const edits: { time: string; edit: ReturnType<Document["edit"]> }[] = [];
  const make = (change: Change): void => {
    edits.push({ time: "", edit: document.edit(change, "window-01", edits.length + 1) });
    document.make(change);
  };
  make(painted(document, 0, 0));
  make(painted(document, 5, 5));
  make(document.history.undo() ?? NO_CHANGE);
  make(document.history.redo() ?? NO_CHANGE);
  make(document.history.undo() ?? NO_CHANGE);
  const read = new History();
  for (const { edit } of edits) read.follow(changeOf(edit));
  assert.deepEqual([read.undoable, read.redoable], [1, 1]);
  assert.deepEqual(read.redo()?.runs, document.history.redo()?.runs);
});

test("an edit names the window that makes it, also where the change is another window's", async () => {
  const document = await opened();
  const foreign = document.edit(painted(document, 0, 0), "window-99", 7);
  const own = document.edit(foreign, "window-01", 1);
  assert.deepEqual([own.window, own.seq, own.revision], ["window-01", 1, 0]);
});

test("unsent edits are brought onto a newer state, with numbers of their own", async () => {
  const here = await opened();
  const first = here.edit(painted(here, 0, 0), "window-01", 1);
  here.make(changeOf(first));
  const second = here.edit(changeOf({ ...first, ...tools.remove(here, [1]) } as typeof first), "window-01", 2);
  const there = await opened();
  there.make(painted(there, 8, 8)); // cell 1 of another window
  for (const change of rejoined([first, second], there)) {
    assert.ok(there.fits(change));
    there.make(change);
  }
  assert.deepEqual([...there.book.ids], [1]);
  assert.equal(there.labels.at(9, 9), 1);
});

test("what another window changed does not fit", async () => {
  const document = await opened();
  const change = painted(document, 0, 0);
  document.make(change);
  assert.ok(!document.fits(change));
  assert.ok(document.fits(undone(change)));
});

test("tiles that come late keep what was edited before, at every level", async () => {
  const asked: string[] = [];
  const document = new Document(info(64, 64, 3), NOTHING, 8, (what, level, place) => {
    asked.push(`${what} ${level} ${place?.row} ${place?.col}`);
    return Promise.resolve(new Uint16Array(64));
  });
  const box = { row0: 8, col0: 8, row1: 16, col1: 16 };
  await document.ensure(box);
  document.make(painted(document, 8, 8));
  await document.ensureOverview(1, { row0: 0, col0: 0, row1: 8, col1: 8 });
  assert.equal(document.overviews[0].at(4, 4), 1);
  assert.equal(document.overviews[0].at(3, 3), 0);
  assert.ok(asked.includes("labels 1 0 0"));
  assert.ok(!asked.includes("labels 0 0 0"));
});

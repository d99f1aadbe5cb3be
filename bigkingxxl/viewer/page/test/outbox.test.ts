import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused, ServerAway } from "../src/wire/client.ts";
import type { Edit, EditAccepted } from "../src/wire/contract.ts";
import { Outbox, type OutboxOptions } from "../src/wire/outbox.ts";
import { memoryStore } from "../src/wire/unsent.ts";

const PAUSE = 5;

function edit(seq: number): Edit {
  return { window: "window-01", seq, revision: seq - 1, tool: "brush", runs: [], cells: [], reviewed: [], done: null };
}

function outbox(send: OutboxOptions["send"], store = memoryStore()) {
  const told = { conflicts: [] as string[], problems: [] as string[], accepted: [] as number[] };
  const box = new Outbox({
    store,
    folder: "f",
    send,
    changed: ({ problem }) => told.problems.push(problem),
    accepted: (_, { revision }) => told.accepted.push(revision),
    conflict: (key) => told.conflicts.push(key),
    pauses: [PAUSE],
  });
  return { box, told, store };
}

const yes = (each: Edit): Promise<EditAccepted> => Promise.resolve({ revision: each.seq, next_cell: 1 });

test("edits are sent one after the other, in their order", async () => {
  const sent: number[] = [];
  let under = 0;
  const { box, store } = outbox(async (_, each) => {
    assert.equal(++under, 1);
    await new Promise((resolve) => setTimeout(resolve, 3));
    under--;
    sent.push(each.seq);
    return yes(each);
  });
  for (let seq = 1; seq <= 5; seq++) void box.add("a", edit(seq));
  assert.equal(box.state.unsent, 5);
  await box.settled();
  assert.deepEqual(sent, [1, 2, 3, 4, 5]);
  assert.deepEqual(await store.all("f"), []);
  assert.equal(box.state.unsent, 0);
});

test("a server that is away is asked again, and nothing is lost or sent twice over", async () => {
  let away = 3;
  const sent: number[] = [];
  const { box, told } = outbox((_, each) => {
    if (away-- > 0) return Promise.reject(new ServerAway("The program does not answer."));
    sent.push(each.seq);
    return yes(each);
  });
  await box.add("a", edit(1));
  await box.add("a", edit(2));
  await box.settled();
  assert.deepEqual(sent, [1, 2]);
  assert.ok(told.problems.includes("The program does not answer."));
  assert.equal(box.state.problem, "");
});

test("a full disk keeps the edit, and says why", async () => {
  let full = true;
  const { box, store } = outbox((_, each) => (full ? Promise.reject(new Refused(507, "The disk is full.")) : yes(each)));
  await box.add("a", edit(1));
  await new Promise((resolve) => setTimeout(resolve, 3 * PAUSE));
  assert.equal(box.state.problem, "The disk is full.");
  assert.equal((await store.all("f")).length, 1);
  full = false;
  await box.settled();
  assert.equal((await store.all("f")).length, 0);
});

test("a conflict stops its image and no other", async () => {
  const { box, told } = outbox((key, each) => (key === "a" ? Promise.reject(new Refused(409, "another window")) : yes(each)));
  await box.add("a", edit(1));
  await box.add("a", edit(2));
  await box.add("b", edit(1));
  await box.settled("b");
  assert.deepEqual(told.conflicts, ["a"]);
  assert.deepEqual((await box.take("a")).map(({ edit: { seq } }) => seq), [1, 2]);
  assert.equal(box.state.unsent, 0);
});

test("what an earlier page left is sent first", async () => {
  const store = memoryStore();
  await store.add({ folder: "f", key: "a", edit: edit(1) });
  await store.add({ folder: "other", key: "a", edit: edit(9) });
  const sent: number[] = [];
  const { box } = outbox((_, each) => {
    sent.push(each.seq);
    return yes(each);
  }, store);
  box.adopt(await store.all("f"));
  await box.add("a", edit(2));
  await box.settled();
  assert.deepEqual(sent, [1, 2]);
});

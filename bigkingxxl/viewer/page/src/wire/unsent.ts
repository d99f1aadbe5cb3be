/** Edits that the server has not confirmed: kept in the browser's database until it has. */
import type { Edit } from "./contract.ts";

export interface UnsentEdit {
  /** Rises with time; given by the store. */
  readonly order: number;
  /** The folder that was looked at: another may be served at the same address later. */
  readonly folder: string;
  readonly key: string;
  readonly edit: Edit;
}

export interface UnsentStore {
  add(edit: Omit<UnsentEdit, "order">): Promise<UnsentEdit>;
  replace(edit: UnsentEdit): Promise<void>;
  remove(order: number): Promise<void>;
  all(folder: string): Promise<UnsentEdit[]>;
}

const NAME = "bigkingxxl";
const STORE = "unsent";

/** Throws where the browser keeps nothing (a private window, say): the caller falls back. */
export async function browserStore(): Promise<UnsentStore> {
  const database = await opened();
  const run = <T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("aborted"));
    });
  return {
    async add(edit) {
      const order = Number(await run("readwrite", (store) => store.add(edit)));
      return { ...edit, order };
    },
    async replace(edit) {
      await run("readwrite", (store) => store.put(edit));
    },
    async remove(order) {
      await run("readwrite", (store) => store.delete(order));
    },
    async all(folder) {
      const edits = (await run("readonly", (store) => store.getAll())) as UnsentEdit[];
      return edits.filter((each) => each.folder === folder).sort((a, b) => a.order - b.order);
    },
  };
}

function opened(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore(STORE, { keyPath: "order", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("no database"));
  });
}

/** Keeps them in memory only: for a browser without a database, and for tests. */
export function memoryStore(): UnsentStore {
  const edits = new Map<number, UnsentEdit>();
  let last = 0;
  return {
    add: (edit) => {
      const kept = { ...edit, order: ++last };
      edits.set(kept.order, kept);
      return Promise.resolve(kept);
    },
    replace: (edit) => Promise.resolve(void edits.set(edit.order, edit)),
    remove: (order) => Promise.resolve(void edits.delete(order)),
    all: (folder) => Promise.resolve([...edits.values()].filter((each) => each.folder === folder)),
  };
}

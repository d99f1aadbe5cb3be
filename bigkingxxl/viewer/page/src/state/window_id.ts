/** This window's id, and which windows are open: a window holds a lock of its name while it lives. */

const PREFIX = "bigkingxxl window ";

export function newWindowId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const id = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  // Held until the page goes; a browser without locks takes every other window for closed.
  if ("locks" in navigator)
    void navigator.locks.request(PREFIX + id, () => new Promise<never>(() => undefined)).catch(() => undefined);
  return id;
}

export async function openWindows(): Promise<ReadonlySet<string>> {
  if (!("locks" in navigator)) return new Set();
  const { held = [] } = await navigator.locks.query();
  const names = held.map((lock) => lock.name ?? "").filter((name) => name.startsWith(PREFIX));
  return new Set(names.map((name) => name.slice(PREFIX.length)));
}

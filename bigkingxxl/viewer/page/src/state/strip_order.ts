/** The list of images: which are shown, and in which order. */
import type { ImageEntry } from "../wire/contract.ts";
import type { Order } from "./display.ts";

const byName = new Intl.Collator("en", { numeric: true });

export function arranged(images: readonly ImageEntry[], order: Order, search: string): ImageEntry[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = images.filter((each) => words.every((word) => each.name.toLowerCase().includes(word)));
  return found.sort((a, b) => compare(a, b, order) || byName.compare(a.name, b.name));
}

function compare(a: ImageEntry, b: ImageEntry, order: Order): number {
  if (order === "name") return 0;
  if (order === "count") return (b.cells ?? -1) - (a.cells ?? -1);
  // Finished images come last, after images that failed or are not predicted yet.
  const rank = (each: ImageEntry): number => (each.done ? 2 : each.state === "ready" ? 0 : 1);
  return rank(a) - rank(b) || (b.expected_error ?? -1) - (a.expected_error ?? -1);
}

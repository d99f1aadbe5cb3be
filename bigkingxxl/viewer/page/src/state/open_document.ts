/** Bring an image from the server. */
import { Document } from "../model/document.ts";
import type { Client, Query } from "../wire/client.ts";

const TRIES = 4;

/** The image as it is now; with thresholds, as it would be with these. */
export async function openDocument(
  server: Client,
  key: string,
  tileSide: number,
  thresholds: Query = {},
): Promise<Document> {
  for (let attempt = 0; ; attempt++) {
    const [info, table] = await Promise.all([server.image(key), server.cells(key, thresholds)]);
    let stale = false;
    const document = new Document(info, table, tileSide, async (what, level, place) => {
      const query = place ? { level, ...place } : { level };
      const answer =
        what === "labels" ? await server.labels(key, { ...query, ...thresholds }) : await server.reviewed(key, query);
      stale ||= answer.revision !== document.revision;
      return answer.values;
    });
    if (document.isWhole) await document.ensure(document.labels.bounds);
    // Another window may edit between two requests: then once more.
    if (!(document.isWhole && stale) || attempt === TRIES) return document;
  }
}

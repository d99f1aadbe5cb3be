/** The candidates that no cell was made of, as pale shapes that can be clicked. */
import { overlap, type Box } from "../model/box.ts";
import type { Document } from "../model/document.ts";
import type { Candidate } from "../wire/contract.ts";
import { contextOf } from "./image_tiles.ts";
import { place } from "./overlay_tiles.ts";
import type { Viewport } from "./viewport.ts";

const PALE = 0x66ffffff;
const BORDER = 0xffffffff;

export class CandidateGhosts {
  private readonly pictures = new WeakMap<Candidate, HTMLCanvasElement>();

  /** Draw those in sight whose middle no cell has. */
  draw(
    context: CanvasRenderingContext2D,
    candidates: readonly Candidate[],
    document: Document,
    shown: Box,
    view: Viewport,
    ratio: number,
  ): void {
    context.imageSmoothingEnabled = false;
    for (const candidate of candidates) {
      const [row0, col0, row1, col1] = candidate.box;
      const box = { row0, col0, row1, col1 };
      if (!overlap(box, shown) || isTaken(candidate, document)) continue;
      let picture = this.pictures.get(candidate);
      if (!picture) this.pictures.set(candidate, (picture = painted(candidate, document.labels.width)));
      place(context, picture, box, view, ratio);
    }
  }
}

/** Whether a cell has the candidate's longest run already. */
export function isTaken(candidate: Candidate, document: Document): boolean {
  let [place0, longest] = [0, 0];
  for (let i = 0; i < candidate.runs.length; i += 2)
    if (candidate.runs[i + 1] > longest) [place0, longest] = [candidate.runs[i], candidate.runs[i + 1]];
  const middle = place0 + (longest >> 1);
  const row = Math.floor(middle / document.labels.width);
  return document.labels.at(row, middle - row * document.labels.width) !== 0;
}

function painted(candidate: Candidate, imageWidth: number): HTMLCanvasElement {
  const [row0, col0, row1, col1] = candidate.box;
  const [width, height] = [col1 - col0, row1 - row0];
  const pixels = new Uint32Array(width * height);
  for (let i = 0; i < candidate.runs.length; i += 2) {
    const row = Math.floor(candidate.runs[i] / imageWidth);
    const at = (row - row0) * width + candidate.runs[i] - row * imageWidth - col0;
    pixels.fill(PALE, at, at + candidate.runs[i + 1]);
  }
  const inside = pixels.slice();
  for (let at = 0; at < pixels.length; at++) {
    if (!inside[at]) continue;
    const col = at % width;
    const edge =
      col === 0 || col === width - 1 || at < width || at >= pixels.length - width ||
      !inside[at - 1] || !inside[at + 1] || !inside[at - width] || !inside[at + width];
    if (edge) pixels[at] = BORDER;
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  contextOf(canvas).putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return canvas;
}

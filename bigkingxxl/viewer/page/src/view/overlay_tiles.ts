/**
 * Outlines and fills of cells as tiles of the screen's resolution.
 *
 * A tile at scale k shows 2^k pixels of the image per pixel (k < 0: 2^-k pixels per pixel of the
 * image, for thin outlines on large pixels). Tiles are painted when they are looked at, and again
 * where something changed.
 */
import { type Box, overlap, padded } from "../model/box.ts";
import type { Document } from "../model/document.ts";
import { contextOf } from "./image_tiles.ts";
import { type OverlayStyle, paintFlat, paintZoomed } from "./overlay.ts";
import type { Viewport } from "./viewport.ts";

const SIDE = 512;
const LIMIT = 160;
const FINEST = -4;

interface Tile {
  readonly box: Box;
  readonly canvas: HTMLCanvasElement;
  generation: number;
  stale: boolean;
}

export interface OverlayOptions extends OverlayStyle {
  readonly dimUnreviewed: boolean;
}

export class OverlayTiles {
  private readonly tiles = new Map<string, Tile>();
  private document: Document | null = null;
  /** Rises whenever all tiles are to be painted anew. */
  private generation = 0;

  show(document: Document | null): void {
    if (document !== this.document) this.tiles.clear();
    this.document = document;
  }

  /** The cells of a box of the image look otherwise now. */
  invalidate(box: Box): void {
    for (const tile of this.tiles.values()) if (overlap(tile.box, padded(box, 1))) tile.stale = true;
  }

  invalidateAll(): void {
    this.generation++;
  }

  /**
   * Draw what lies in the box, painting at most `budget` milliseconds; false where more is to do.
   */
  draw(
    context: CanvasRenderingContext2D,
    shown: Box,
    view: Viewport,
    ratio: number,
    optionsNow: () => OverlayOptions,
    budget: number,
  ): boolean {
    const { document } = this;
    if (!document) return true;
    const scale = Math.max(FINEST, Math.ceil(-Math.log2(view.zoom * ratio) - 1e-6));
    const span = SIDE * 2 ** scale;
    const end = performance.now() + budget;
    let complete = true;
    let options: OverlayOptions | undefined;
    context.imageSmoothingEnabled = true;
    for (let row = Math.floor(shown.row0 / span); row * span < shown.row1; row++)
      for (let col = Math.floor(shown.col0 / span); col * span < shown.col1; col++) {
        const name = `${scale} ${row} ${col}`;
        let tile = this.tiles.get(name);
        if (!tile || tile.stale || tile.generation !== this.generation) {
          if (performance.now() < end) tile = this.paint(name, document, scale, row, col, (options ??= optionsNow()), tile);
          else complete = false;
        }
        if (tile) place(context, tile.canvas, tile.box, view, ratio);
      }
    for (const name of this.tiles.keys()) {
      if (this.tiles.size <= LIMIT) break;
      this.tiles.delete(name);
    }
    return complete;
  }

  private paint(
    name: string,
    document: Document,
    scale: number,
    row: number,
    col: number,
    options: OverlayOptions,
    old: Tile | undefined,
  ): Tile {
    const span = SIDE * 2 ** scale;
    const step = Math.max(1, 2 ** scale);
    const level = Math.min(Math.max(0, scale), document.overviews.length);
    const box = {
      row0: row * span,
      col0: col * span,
      row1: Math.min((row + 1) * span, Math.ceil(document.size.height / step) * step),
      col1: Math.min((col + 1) * span, Math.ceil(document.size.width / step) * step),
    };
    const [down, across] = [(box.row1 - box.row0) / step, (box.col1 - box.col0) / step];
    const labels = seen(document, level, box, step);
    const dims = options.dimUnreviewed && document.reviewedPixels > 0 && document.reviewedShare < 1;
    const reviewed = dims ? document.reviewed.sample(padded(box, step), step) : null;
    const zoom = scale < 0 ? 2 ** -scale : 1;
    const pixels =
      zoom > 1
        ? paintZoomed(labels, reviewed, across, down, zoom, options)
        : paintFlat(labels, reviewed, across, down, options);
    const canvas = old?.canvas ?? globalThis.document.createElement("canvas");
    [canvas.width, canvas.height] = [across * zoom, down * zoom];
    const data = new ImageData(new Uint8ClampedArray(pixels.buffer), canvas.width, canvas.height);
    contextOf(canvas).putImageData(data, 0, 0);
    const tile = { box, canvas, generation: this.generation, stale: false };
    this.tiles.delete(name);
    this.tiles.set(name, tile);
    return tile;
  }
}

/** The numbers of a box and one pixel around it, as seen from afar; what is missing is sent for. */
function seen(document: Document, level: number, box: Box, step: number): Uint32Array {
  if (level === 0) {
    void document.ensure(box);
    return document.labels.sample(padded(box, step), step);
  }
  const from = 2 ** level;
  const raster = document.overviews[level - 1];
  const within = {
    row0: box.row0 / from,
    col0: box.col0 / from,
    row1: Math.ceil(box.row1 / from),
    col1: Math.ceil(box.col1 / from),
  };
  void document.ensureOverview(level, within);
  return raster.sample(padded(within, step / from), step / from);
}

/** Draw a picture of a box of the image where the canvas shows it, from one whole pixel to another. */
export function place(
  context: CanvasRenderingContext2D,
  picture: CanvasImageSource,
  box: Box,
  view: Viewport,
  ratio: number,
): void {
  const scale = view.zoom * ratio;
  const left = Math.round((box.col0 - view.col) * scale);
  const top = Math.round((box.row0 - view.row) * scale);
  const right = Math.round((box.col1 - view.col) * scale);
  const bottom = Math.round((box.row1 - view.row) * scale);
  if (right > left && bottom > top) context.drawImage(picture, left, top, right - left, bottom - top);
}

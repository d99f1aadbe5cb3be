/** The image itself, tile by tile: fetched once, and shown again by every contrast. */
import { type Level } from "../wire/contract.ts";
import { urls } from "../wire/client.ts";

/** Which intensities are black and white, and the gamma between. */
export interface Contrast {
  readonly low: number;
  readonly high: number;
  readonly gamma: number;
}

export interface Feed {
  readonly key: string;
  readonly channel: string;
  /** Intensities that the server shows as 0 and 255. */
  readonly low: number;
  readonly high: number;
}

interface Tile {
  readonly rgb: boolean;
  readonly pixels: ImageData;
  readonly canvas: HTMLCanvasElement;
  /** The same at half the size, a quarter ...: made when the image is seen from afar. */
  halves: HTMLCanvasElement[];
  table: string;
}

export interface ShownTile {
  readonly picture: HTMLCanvasElement;
  /** Of the tile at full size. */
  readonly width: number;
  readonly height: number;
}

const LIMIT = 400;
const SMALLEST = 16;

export class ImageTiles {
  private readonly tiles = new Map<string, Tile | "loading" | "failed">();
  private readonly arrived: () => void;
  private readonly failed: (error: unknown) => void;

  constructor(arrived: () => void, failed: (error: unknown) => void) {
    this.arrived = arrived;
    this.failed = failed;
  }

  /** A tile ready to be drawn, halved so often, or undefined while it is under way. */
  get(feed: Feed, level: Level, row: number, col: number, contrast: Contrast, halvings: number): ShownTile | undefined {
    const name = `${feed.key} ${feed.channel} ${feed.low} ${feed.high} ${level.level} ${row} ${col}`;
    const tile = this.tiles.get(name);
    if (tile === undefined) void this.load(name, feed, level, row, col);
    if (tile === undefined || typeof tile === "string") return undefined;
    // The newest is last, so that the one not used for longest is forgotten first.
    this.tiles.delete(name);
    this.tiles.set(name, tile);
    shade(tile, feed, contrast);
    const { width, height } = tile.canvas;
    return { picture: halved(tile, halvings), width, height };
  }

  private async load(name: string, feed: Feed, level: Level, row: number, col: number): Promise<void> {
    this.tiles.set(name, "loading");
    try {
      const { key, channel, low, high } = feed;
      const range = channel === "rgb" ? {} : { low, high };
      const response = await fetch(urls.pixels(key, { level: level.level, row, col, channel, ...range }));
      if (!response.ok) throw new Error(`The image could not be read (${response.status}).`);
      const bitmap = await createImageBitmap(await response.blob());
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      const context = contextOf(canvas);
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      this.tiles.set(name, { rgb: channel === "rgb", pixels, canvas, halves: [], table: "" });
      this.forget();
    } catch (error) {
      this.tiles.set(name, "failed");
      setTimeout(() => this.tiles.delete(name), 3000);
      this.failed(error);
    }
    this.arrived();
  }

  private forget(): void {
    for (const name of this.tiles.keys()) {
      if (this.tiles.size <= LIMIT) return;
      this.tiles.delete(name);
    }
  }
}

export function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  return context;
}

function halved(tile: Tile, halvings: number): HTMLCanvasElement {
  let picture = tile.canvas;
  for (let i = 0; i < halvings && Math.min(picture.width, picture.height) > SMALLEST; i++)
    picture = tile.halves[i] ??= half(picture);
  return picture;
}

function half(picture: HTMLCanvasElement): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.ceil(picture.width / 2), Math.ceil(picture.height / 2)];
  const context = contextOf(canvas);
  context.imageSmoothingEnabled = true;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function shade(tile: Tile, feed: Feed, contrast: Contrast): void {
  const name = `${contrast.low} ${contrast.high} ${contrast.gamma}`;
  if (tile.table === name) return;
  tile.table = name;
  tile.halves = [];
  const table = brightness(feed, contrast);
  const source = new Uint32Array(tile.pixels.data.buffer);
  const shown = new Uint32Array(source.length);
  if (tile.rgb)
    for (let at = 0; at < source.length; at++) {
      const value = source[at];
      shown[at] =
        (0xff000000 | (table[(value >> 16) & 255] << 16) | (table[(value >> 8) & 255] << 8) | table[value & 255]) >>> 0;
    }
  else {
    const grays = Uint32Array.from(table, (value) => (0xff000000 | (value * 0x10101)) >>> 0);
    for (let at = 0; at < source.length; at++) shown[at] = grays[source[at] & 255];
  }
  const data = new ImageData(new Uint8ClampedArray(shown.buffer), tile.canvas.width, tile.canvas.height);
  contextOf(tile.canvas).putImageData(data, 0, 0);
}

/** What each of the server's 256 grays is shown as. */
export function brightness(feed: Pick<Feed, "low" | "high">, contrast: Contrast): Uint8ClampedArray {
  const table = new Uint8ClampedArray(256);
  const range = Math.max(1e-9, contrast.high - contrast.low);
  for (let value = 0; value < 256; value++) {
    const intensity = feed.low + (value / 255) * (feed.high - feed.low);
    const share = Math.min(1, Math.max(0, (intensity - contrast.low) / range));
    table[value] = Math.round(255 * share ** (1 / contrast.gamma));
  }
  return table;
}

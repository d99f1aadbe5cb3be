/**
 * Whole numbers per pixel of an image of any size: the cells' numbers, or what is reviewed.
 *
 * It is kept in tiles. A tile that was never loaded reads as 0 and is listed by `missing`; a tile
 * of zeros takes no memory.
 */
import { type Box, intersection, isEmpty, NOWHERE, union } from "./box.ts";
import { boundsOf, NUMBERS_PER_RUN, type Runs } from "./runs.ts";

export interface TilePlace {
  row: number;
  col: number;
}

export class Raster {
  readonly height: number;
  readonly width: number;
  readonly side: number;
  private readonly tilesAcross: number;
  private readonly tiles: (Uint32Array | undefined)[];
  private readonly loaded: Uint8Array;

  /** `side` pixels a tile; of a raster that is made here and not loaded, say `complete`. */
  constructor(height: number, width: number, side = 512, complete = false) {
    this.height = height;
    this.width = width;
    this.side = side;
    this.tilesAcross = Math.ceil(width / side);
    const count = Math.ceil(height / side) * this.tilesAcross;
    this.tiles = new Array<Uint32Array | undefined>(count);
    this.loaded = new Uint8Array(count).fill(complete ? 1 : 0);
  }

  get bounds(): Box {
    return { row0: 0, col0: 0, row1: this.height, col1: this.width };
  }

  /** The tiles of a window that are not loaded. */
  missing(box: Box): TilePlace[] {
    const places: TilePlace[] = [];
    this.eachPlace(box, (row, col) => {
      if (!this.loaded[row * this.tilesAcross + col]) places.push({ row, col });
    });
    return places;
  }

  tileBox({ row, col }: TilePlace): Box {
    const [row0, col0] = [row * this.side, col * this.side];
    return intersection({ row0, col0, row1: row0 + this.side, col1: col0 + this.side }, this.bounds);
  }

  /** Take the values of a window, row by row; its tiles count as loaded. */
  load(box: Box, values: ArrayLike<number>): void {
    const across = box.col1 - box.col0;
    this.eachPlace(box, (row, col) => {
      const index = row * this.tilesAcross + col;
      const part = this.tileBox({ row, col });
      this.loaded[index] = 1;
      let tile: Uint32Array | undefined;
      for (let r = part.row0; r < part.row1; r++)
        for (let c = part.col0; c < part.col1; c++) {
          const value = values[(r - box.row0) * across + c - box.col0];
          if (value === 0) continue;
          tile ??= new Uint32Array(this.side * this.side);
          tile[(r - part.row0) * this.side + c - part.col0] = value;
        }
      this.tiles[index] = tile;
    });
  }

  at(row: number, col: number): number {
    if (row < 0 || col < 0 || row >= this.height || col >= this.width) return 0;
    const [r, c] = [Math.floor(row / this.side), Math.floor(col / this.side)];
    const tile = this.tiles[r * this.tilesAcross + c];
    return tile === undefined ? 0 : tile[(row - r * this.side) * this.side + col - c * this.side];
  }

  /** A copy of a window, row by row; 0 outside of the image. */
  read(box: Box): Uint32Array {
    const across = box.col1 - box.col0;
    const result = new Uint32Array(Math.max(0, (box.row1 - box.row0) * across));
    this.eachTile(box, (tile, part, origin) => {
      for (let row = part.row0; row < part.row1; row++) {
        const from = (row - origin.row0) * this.side + part.col0 - origin.col0;
        const to = (row - box.row0) * across + part.col0 - box.col0;
        result.set(tile.subarray(from, from + part.col1 - part.col0), to);
      }
    });
    return result;
  }

  /** Every `step`-th pixel of a window, row by row: the raster as seen from afar. */
  sample(box: Box, step: number): Uint32Array {
    if (step === 1) return this.read(box);
    const down = Math.ceil((box.row1 - box.row0) / step);
    const across = Math.ceil((box.col1 - box.col0) / step);
    const result = new Uint32Array(down * across);
    for (let r = 0, at = 0; r < down; r++)
      for (let c = 0; c < across; c++, at++)
        result[at] = this.at(box.row0 + r * step, box.col0 + c * step);
    return result;
  }

  /** Give the pixels of runs their new values; returns the box that changed. */
  apply(runs: Runs): Box {
    for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
      const row = Math.floor(runs[i] / this.width);
      const col = runs[i] - row * this.width;
      this.fill(row, col, col + runs[i + 1], runs[i + 3]);
    }
    return boundsOf(runs, this.width);
  }

  /** Whether all pixels of runs have their old values: whether the runs can be applied. */
  fits(runs: Runs): boolean {
    for (let i = 0; i < runs.length; i += NUMBERS_PER_RUN) {
      const row = Math.floor(runs[i] / this.width);
      const col = runs[i] - row * this.width;
      for (let c = col; c < col + runs[i + 1]; c++)
        if (this.at(row, c) !== runs[i + 2]) return false;
    }
    return true;
  }

  /** The box of all pixels of a value within a window; what is not loaded may hold some. */
  boxOf(value: number, within: Box): Box {
    let box = NOWHERE;
    for (const place of this.missing(within))
      box = union(box, intersection(this.tileBox(place), within));
    this.eachTile(within, (tile, part, origin) => {
      for (let row = part.row0; row < part.row1; row++) {
        const line = (row - origin.row0) * this.side - origin.col0;
        let first = part.col0;
        while (first < part.col1 && tile[line + first] !== value) first++;
        if (first === part.col1) continue;
        let last = part.col1 - 1;
        while (tile[line + last] !== value) last--;
        box = union(box, { row0: row, col0: first, row1: row + 1, col1: last + 1 });
      }
    });
    return box;
  }

  private fill(row: number, start: number, stop: number, value: number): void {
    const tileRow = Math.floor(row / this.side);
    const within = (row - tileRow * this.side) * this.side;
    for (let col = start; col < stop; ) {
      const tileCol = Math.floor(col / this.side);
      const index = tileRow * this.tilesAcross + tileCol;
      const [left, end] = [tileCol * this.side, Math.min(stop, (tileCol + 1) * this.side)];
      let tile = this.tiles[index];
      if (tile === undefined && value !== 0)
        this.tiles[index] = tile = new Uint32Array(this.side * this.side);
      tile?.fill(value, within + col - left, within + end - left);
      col = end;
    }
  }

  private eachPlace(box: Box, visit: (row: number, col: number) => void): void {
    const inside = intersection(box, this.bounds);
    if (isEmpty(inside)) return;
    const last = { row: Math.floor((inside.row1 - 1) / this.side), col: Math.floor((inside.col1 - 1) / this.side) };
    for (let row = Math.floor(inside.row0 / this.side); row <= last.row; row++)
      for (let col = Math.floor(inside.col0 / this.side); col <= last.col; col++) visit(row, col);
  }

  private eachTile(box: Box, visit: (tile: Uint32Array, part: Box, origin: Box) => void): void {
    this.eachPlace(box, (row, col) => {
      const tile = this.tiles[row * this.tilesAcross + col];
      const origin = this.tileBox({ row, col });
      if (tile !== undefined) visit(tile, intersection(box, origin), origin);
    });
  }
}

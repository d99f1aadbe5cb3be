/** Paints outlines and fills of cells into the pixels of one tile of the screen. */

export interface OverlayStyle {
  readonly outlines: boolean;
  readonly filled: boolean;
  /** 0 to 255. */
  readonly fillAlpha: number;
  /** Colour 0xAABBGGRR of a cell, or 0 where it is not shown. */
  readonly colour: (id: number) => number;
  readonly selected: (id: number) => boolean;
}

const DIM = 0x60000000;
const SELECTED = 0xffffffff;

/**
 * Paint a tile of which every pixel shows one number: labels seen at full size or from afar.
 *
 * `labels` has one pixel more on each side than the tile: the outline of a cell ends where its
 * neighbour, perhaps in the next tile, begins.
 */
export function paintFlat(
  labels: Uint32Array,
  reviewed: Uint32Array | null,
  width: number,
  height: number,
  style: OverlayStyle,
): Uint32Array<ArrayBuffer> {
  const result = new Uint32Array(width * height);
  const across = width + 2;
  let [lastId, solid, fill] = [0, 0, 0];
  for (let row = 0; row < height; row++)
    for (let col = 0; col < width; col++) {
      const at = (row + 1) * across + col + 1;
      const id = labels[at];
      if (id === 0) {
        if (reviewed && reviewed[at] === 0) result[row * width + col] = DIM;
        continue;
      }
      if (id !== lastId) [lastId, solid, fill] = [id, ...coloursOf(id, style)];
      if (solid === 0) continue;
      const edge =
        labels[at - 1] !== id || labels[at + 1] !== id || labels[at - across] !== id || labels[at + across] !== id;
      result[row * width + col] = edge ? solid : fill;
    }
  return result;
}

/** As `paintFlat`, but every label pixel takes `zoom` x `zoom` pixels, and outlines are thin lines. */
export function paintZoomed(
  labels: Uint32Array,
  reviewed: Uint32Array | null,
  width: number,
  height: number,
  zoom: number,
  style: OverlayStyle,
): Uint32Array<ArrayBuffer> {
  const [across, wide] = [width + 2, width * zoom];
  const result = new Uint32Array(wide * height * zoom);
  let [lastId, solid, fill] = [0, 0, 0];
  for (let row = 0; row < height; row++)
    for (let col = 0; col < width; col++) {
      const at = (row + 1) * across + col + 1;
      const id = labels[at];
      const corner = row * zoom * wide + col * zoom;
      if (id === 0) {
        if (reviewed && reviewed[at] === 0)
          for (let r = 0; r < zoom; r++) result.fill(DIM, corner + r * wide, corner + r * wide + zoom);
        continue;
      }
      if (id !== lastId) [lastId, solid, fill] = [id, ...coloursOf(id, style)];
      if (solid === 0) continue;
      if (fill !== 0)
        for (let r = 0; r < zoom; r++) result.fill(fill, corner + r * wide, corner + r * wide + zoom);
      // Where a border turns, its corner belongs to it: else slanted borders style dotted.
      const [right, below] = [corner + zoom - 1, corner + (zoom - 1) * wide];
      if (labels[at - across - 1] !== id) result[corner] = solid;
      if (labels[at - across + 1] !== id) result[right] = solid;
      if (labels[at + across - 1] !== id) result[below] = solid;
      if (labels[at + across + 1] !== id) result[below + zoom - 1] = solid;
      const thick = solid === SELECTED ? Math.min(zoom, 2) : 1;
      for (let t = 0; t < thick; t++) {
        const [top, bottom] = [corner + t * wide, corner + (zoom - 1 - t) * wide];
        if (labels[at - across] !== id) result.fill(solid, top, top + zoom);
        if (labels[at + across] !== id) result.fill(solid, bottom, bottom + zoom);
        if (labels[at - 1] !== id) for (let r = 0; r < zoom; r++) result[corner + r * wide + t] = solid;
        if (labels[at + 1] !== id) for (let r = 0; r < zoom; r++) result[corner + r * wide + zoom - 1 - t] = solid;
      }
    }
  return result;
}

function coloursOf(id: number, style: OverlayStyle): [number, number] {
  const colour = style.colour(id);
  if (colour === 0) return [0, 0];
  const plain = colour & 0xffffff;
  const selected = style.selected(id);
  const alpha = style.filled ? style.fillAlpha : 0;
  const fill = selected ? ((Math.max(alpha, 70) << 24) | plain) >>> 0 : ((alpha << 24) | plain) >>> 0;
  const outline = style.outlines || selected;
  return [selected ? SELECTED : outline ? colour : fill, alpha === 0 && !selected ? 0 : fill];
}

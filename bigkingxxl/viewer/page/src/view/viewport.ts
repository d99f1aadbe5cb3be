/** Which part of the image the canvas shows. */
import { type Box, height, type Point, width } from "../model/box.ts";

export interface Viewport {
  /** The place in the image (pixels, fractions) at the top left of the canvas. */
  readonly row: number;
  readonly col: number;
  /** CSS pixels a pixel of the image. */
  readonly zoom: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export const LARGEST_ZOOM = 48;

export function toImage(view: Viewport, x: number, y: number): Point {
  return { row: view.row + y / view.zoom, col: view.col + x / view.zoom };
}

export function toScreen(view: Viewport, point: Point): { x: number; y: number } {
  return { x: (point.col - view.col) * view.zoom, y: (point.row - view.row) * view.zoom };
}

/** The whole box in the middle of the canvas. */
export function fitted(box: Box, canvas: Size, margin = 12, largest = LARGEST_ZOOM): Viewport {
  const zoom = Math.min(
    largest,
    Math.max(1e-3, (canvas.width - 2 * margin) / Math.max(1, width(box))),
    Math.max(1e-3, (canvas.height - 2 * margin) / Math.max(1, height(box))),
  );
  return {
    zoom,
    row: (box.row0 + box.row1) / 2 - canvas.height / zoom / 2,
    col: (box.col0 + box.col1) / 2 - canvas.width / zoom / 2,
  };
}

/** Zoom so that the place under (x, y) stays there. */
export function zoomed(view: Viewport, factor: number, x: number, y: number, smallest: number): Viewport {
  const zoom = Math.min(LARGEST_ZOOM, Math.max(Math.min(smallest, view.zoom), view.zoom * factor));
  const { row, col } = toImage(view, x, y);
  return { zoom, row: row - y / zoom, col: col - x / zoom };
}

export function moved(view: Viewport, x: number, y: number): Viewport {
  return { ...view, row: view.row - y / view.zoom, col: view.col - x / view.zoom };
}

/** Keep at least the middle of the canvas, or of the image, in sight. */
export function held(view: Viewport, image: Size, canvas: Size): Viewport {
  const within = (start: number, shown: number, whole: number): number =>
    Math.min(Math.max(start, -shown / 2), whole - shown / 2);
  return {
    ...view,
    row: within(view.row, canvas.height / view.zoom, image.height),
    col: within(view.col, canvas.width / view.zoom, image.width),
  };
}

export function shownBox(view: Viewport, canvas: Size, image: Size): Box {
  const inside = (value: number, whole: number): number => Math.min(whole, Math.max(0, value));
  return {
    row0: inside(Math.floor(view.row), image.height),
    col0: inside(Math.floor(view.col), image.width),
    row1: inside(Math.ceil(view.row + canvas.height / view.zoom), image.height),
    col1: inside(Math.ceil(view.col + canvas.width / view.zoom), image.width),
  };
}

/** What is drawn over the image while a tool is used, in CSS pixels. */
import type { Point } from "../model/box.ts";
import type { Sketch } from "../tools/gesture.ts";
import { type Size, toScreen, type Viewport } from "./viewport.ts";

/** Seen on black and on white. */
function twice(context: CanvasRenderingContext2D, path: Path2D, dashed = false): void {
  context.lineJoin = "round";
  context.setLineDash([]);
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.lineWidth = 3;
  context.stroke(path);
  context.setLineDash(dashed ? [5, 4] : []);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1.25;
  context.stroke(path);
  context.setLineDash([]);
}

export function sketch(context: CanvasRenderingContext2D, drawn: Sketch, view: Viewport): void {
  if (!drawn) return;
  const path = new Path2D();
  if (drawn.kind === "box") {
    const start = toScreen(view, { row: drawn.box.row0, col: drawn.box.col0 });
    const end = toScreen(view, { row: drawn.box.row1, col: drawn.box.col1 });
    path.rect(start.x, start.y, end.x - start.x, end.y - start.y);
    context.fillStyle = "rgba(255, 255, 255, 0.12)";
    context.fill(path);
    twice(context, path, true);
    return;
  }
  drawn.points.forEach((point, i) => {
    const { x, y } = toScreen(view, point);
    if (i) path.lineTo(x, y);
    else path.moveTo(x, y);
  });
  twice(context, path);
  if (drawn.closed && drawn.points.length > 2) {
    const closing = new Path2D();
    const [first, last] = [toScreen(view, drawn.points[0]), toScreen(view, drawn.points[drawn.points.length - 1])];
    closing.moveTo(last.x, last.y);
    closing.lineTo(first.x, first.y);
    twice(context, closing, true);
  }
}

export function brush(context: CanvasRenderingContext2D, at: Point, radius: number, view: Viewport): void {
  const { x, y } = toScreen(view, at);
  const path = new Path2D();
  path.arc(x, y, Math.max(1.5, radius * view.zoom), 0, 2 * Math.PI);
  twice(context, path);
}

export function crosshair(context: CanvasRenderingContext2D, at: Point, view: Viewport): void {
  const { x, y } = toScreen(view, at);
  const path = new Path2D();
  for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    path.moveTo(x + 4 * right, y + 4 * down);
    path.lineTo(x + 14 * right, y + 14 * down);
  }
  twice(context, path);
}

const ROUND = [1, 2, 5] as const;

/** A bar of a round length in the lower right corner: micrometres, or pixels where the size is unknown. */
export function scaleBar(context: CanvasRenderingContext2D, pixelSize: number | null, view: Viewport, canvas: Size): void {
  const unit = pixelSize ?? 1;
  const longest = (130 / view.zoom) * unit;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [...ROUND].reverse().map((each) => each * power).find((each) => each <= longest) ?? power;
  const width = (length / unit) * view.zoom;
  const [right, bottom] = [canvas.width - 16, canvas.height - 16];
  const name = `${Number(length.toPrecision(2)).toLocaleString("en")} ${pixelSize === null ? "px" : "µm"}`;
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineJoin = "round";
  context.fillStyle = "rgba(0, 0, 0, 0.75)";
  context.fillRect(right - width - 1, bottom - 4, width + 2, 6);
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.lineWidth = 3;
  context.strokeText(name, right - width / 2, bottom - 10);
  context.fillStyle = "#ffffff";
  context.fillRect(right - width, bottom - 3, width, 4);
  context.fillText(name, right - width / 2, bottom - 10);
}

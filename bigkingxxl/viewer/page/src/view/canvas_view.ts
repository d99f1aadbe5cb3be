/** The canvas in the middle: draws image, cells and sketches, and turns pointers into gestures. */
import { effect, signal } from "@preact/signals";
import { type Box, NOWHERE, padded, type Point, union } from "../model/box.ts";
import type { Document } from "../model/document.ts";
import type { App } from "../state/app.ts";
import type { Gesture, Press } from "../tools/gesture.ts";
import { begin, cellAt } from "../tools/gestures.ts";
import { CandidateGhosts } from "./candidate_ghosts.ts";
import { Colouring } from "./colouring.ts";
import { type Feed, ImageTiles } from "./image_tiles.ts";
import { type OverlayOptions, OverlayTiles, place } from "./overlay_tiles.ts";
import * as sketches from "./sketches.ts";
import * as views from "./viewport.ts";
import type { Viewport } from "./viewport.ts";

const PAINTING = 8; // milliseconds of a frame for tiles of cells
const WHEEL = 0.0018;

export class CanvasView {
  /** Where the pointer is in the image, or null; for the line of facts below. */
  readonly pointer = signal<Point | null>(null);
  readonly viewport = signal<Viewport>({ row: 0, col: 0, zoom: 1 });
  /** The place from which the keyboard draws, or null. */
  readonly cursor = signal<Point | null>(null);

  private readonly app: App;
  private readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;
  private readonly images: ImageTiles;
  private readonly overlay = new OverlayTiles();
  private readonly colouring = new Colouring();
  private readonly ghosts = new CandidateGhosts();
  private gesture: Gesture | null = null;
  private panning: { x: number; y: number } | null = null;
  private spaceHeld = false;
  private frame = 0;
  /** Whether image and cells were seen once: how long that takes is measured. */
  private pictured = false;
  private document: Document | null = null;
  private stopListening: () => void = () => undefined;
  private readonly stops: (() => void)[] = [];
  /** Fingers on the canvas: two of them zoom and pan. */
  private readonly touches = new Map<number, { x: number; y: number }>();

  constructor(app: App, canvas: HTMLCanvasElement) {
    [this.app, this.canvas] = [app, canvas];
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("This browser cannot draw on a canvas.");
    this.context = context;
    this.images = new ImageTiles(
      () => this.redraw(),
      (error) => app.messages.tell(error instanceof Error ? error.message : String(error), "error"),
    );
    app.show = (box) => this.show(box);
    this.listen();
    this.watch();
  }

  close(): void {
    for (const stop of this.stops) stop();
    this.stopListening();
    cancelAnimationFrame(this.frame);
  }

  get size(): views.Size {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  get isDrawing(): boolean {
    return this.gesture !== null;
  }

  // ---- looking ----------------------------------------------------------------------------------

  fit(): void {
    if (this.document) this.viewport.value = views.fitted(this.document.labels.bounds, this.size);
  }

  zoomBy(factor: number, x = this.size.width / 2, y = this.size.height / 2): void {
    if (!this.document) return;
    const smallest = views.fitted(this.document.labels.bounds, this.size).zoom / 2;
    this.move(views.zoomed(this.viewport.value, factor, x, y, smallest));
  }

  zoomTo(zoom: number): void {
    this.zoomBy(zoom / this.viewport.value.zoom);
  }

  panBy(x: number, y: number): void {
    this.move(views.moved(this.viewport.value, x, y));
  }

  /** Bring a box into sight, and near enough to be seen well. */
  show(box: Box): void {
    const { size } = this;
    const view = this.viewport.value;
    const shown = { row0: view.row, col0: view.col, row1: view.row + size.height / view.zoom, col1: view.col + size.width / view.zoom };
    const inside = box.row0 >= shown.row0 && box.col0 >= shown.col0 && box.row1 <= shown.row1 && box.col1 <= shown.col1;
    const large = Math.max(box.row1 - box.row0, box.col1 - box.col0) * view.zoom;
    if (inside && large > 24) return;
    const near = views.fitted(padded(box, 2), size, Math.min(size.width, size.height) * 0.35, 4);
    const zoom = large > 24 ? view.zoom : near.zoom;
    this.move({
      zoom,
      row: (box.row0 + box.row1) / 2 - size.height / zoom / 2,
      col: (box.col0 + box.col1) / 2 - size.width / zoom / 2,
    });
  }

  private move(view: Viewport): void {
    if (this.document) this.viewport.value = views.held(view, this.document.size, this.size);
  }

  redraw(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  private watch(): void {
    const { app } = this;
    const { display } = app;
    this.stops.push(
      effect(() => this.follow(app.shown.value)),
      effect(() => {
        // Whatever gives cells another look.
        void [display.outlines.value, display.filled.value, display.opacity.value, display.colourBy.value];
        void [display.minScore.value, display.minArea.value, display.showReviewed.value, app.types.value.join("\n"), app.tool.value === "add"];
        this.overlay.invalidateAll();
        this.redraw();
      }),
      effect(() => {
        void [display.hidden.value, display.channel.value, display.contrast.value, display.brush.value, display.theme.value];
        void [this.viewport.value, app.tool.value, app.candidates.value, app.version.value, this.cursor.value];
        this.redraw();
      }),
      this.watchSelection(),
    );
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(this.canvas);
    this.stops.push(() => observer.disconnect());
  }

  private watchSelection(): () => void {
    let before: ReadonlySet<number> = new Set();
    return effect(() => {
      const now = this.app.selected.value;
      const document = this.document;
      let box = NOWHERE;
      for (const id of new Set([...before, ...now]))
        if (before.has(id) !== now.has(id)) box = union(box, document?.book.get(id)?.box ?? NOWHERE);
      before = now;
      this.overlay.invalidate(box);
      this.redraw();
    });
  }

  private follow(document: Document | null): void {
    const other = document?.key !== this.document?.key;
    this.stopListening();
    this.document = document;
    this.overlay.show(document);
    this.stopListening =
      document?.listen((box) => {
        this.overlay.invalidate(box);
        this.redraw();
      }) ?? (() => undefined);
    if (other) {
      this.gesture = null;
      this.cursor.value = null;
      this.fit();
    }
    this.redraw();
  }

  private resize(): void {
    const ratio = devicePixelRatio;
    const { width, height } = this.size;
    const first = this.canvas.width <= 1 || this.canvas.dataset.fitted === undefined;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.canvas.dataset.fitted = "";
    if (first) this.fit();
    this.draw();
  }

  // ---- drawing ----------------------------------------------------------------------------------

  private draw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { context, canvas, document, app } = this;
    const ratio = canvas.width / Math.max(1, this.size.width);
    context.fillStyle = getComputedStyle(canvas).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!document) return;
    const view = this.viewport.peek();
    const shown = views.shownBox(view, this.size, document.size);
    const seen = this.drawImage(document, shown, view, ratio);
    if (!app.display.hidden.peek()) {
      const complete = this.overlay.draw(context, shown, view, ratio, () => this.overlayOptions(document), PAINTING);
      if (!complete) this.redraw();
      else if (seen && !this.pictured) performance.mark("first picture");
      this.pictured ||= seen && complete;
      if (app.tool.peek() === "add") this.ghosts.draw(context, app.candidates.peek(), document, shown, view, ratio);
    }
    context.save();
    context.scale(ratio, ratio);
    if (this.gesture) sketches.sketch(context, this.gesture.sketch, view);
    const at = this.cursor.peek() ?? this.pointer.peek();
    if (at && (app.tool.peek() === "brush" || app.tool.peek() === "eraser"))
      sketches.brush(context, at, app.display.brush.peek() / 2, view);
    if (this.cursor.peek()) sketches.crosshair(context, this.cursor.peek() as Point, view);
    sketches.scaleBar(context, document.info.pixel_size_um?.[1] ?? null, view, this.size);
    context.restore();
    // Where the image lies on the screen, for programs that drive the page.
    Object.assign(canvas.dataset, { image: document.key, row: view.row, col: view.col, zoom: view.zoom });
  }

  /** False where nothing of the image has come yet. */
  private drawImage(document: Document, shown: Box, view: Viewport, ratio: number): boolean {
    const { levels } = document.info;
    const wanted = Math.max(0, Math.floor(-Math.log2(view.zoom * ratio)));
    const finest = Math.min(wanted, levels.length - 1);
    this.context.imageSmoothingEnabled = view.zoom * ratio < 3;
    // From the coarsest, so that something is there before the finest has come.
    let drawn = false;
    for (const index of new Set([levels.length - 1, finest]))
      drawn = this.drawLevel(document, index, shown, view, ratio) || drawn;
    return drawn;
  }

  private drawLevel(document: Document, index: number, shown: Box, view: Viewport, ratio: number): boolean {
    let drawn = false;
    const level = document.info.levels[index];
    const { channel, contrast } = this.app.display;
    const span = (this.app.folder.peek()?.tile_side ?? 512) * 2 ** index;
    const feed = this.feed(document, channel.peek());
    const halvings = Math.max(0, Math.floor(-Math.log2(view.zoom * ratio * 2 ** index)));
    for (let row = Math.floor(shown.row0 / span); row * span < shown.row1 && row < level.rows; row++)
      for (let col = Math.floor(shown.col0 / span); col * span < shown.col1 && col < level.cols; col++) {
        const tile = this.images.get(feed, level, row, col, contrast.peek(), halvings);
        if (!tile) continue;
        const [row0, col0] = [row * span, col * span];
        const box = { row0, col0, row1: row0 + tile.height * 2 ** index, col1: col0 + tile.width * 2 ** index };
        place(this.context, tile.picture, box, view, ratio);
        drawn = true;
      }
    return drawn;
  }

  /** What the server is asked for: intensities between the channel's own limits, or the user's. */
  private feed(document: Document, channel: string): Feed {
    const { key } = document;
    if (channel === "rgb") return { key, channel, low: 0, high: 255 };
    const { low, high } = this.app.display.fetched.value;
    return { key, channel, low, high };
  }

  private overlayOptions(document: Document): OverlayOptions {
    const { display, selected, types } = this.app;
    const chosen = selected.peek();
    const thresholds = { minScore: display.minScore.peek(), minArea: display.minArea.peek() };
    return {
      outlines: display.outlines.peek(),
      // Candidates are pale shapes: filled cells would hide them.
      filled: display.filled.peek() && this.app.tool.peek() !== "add",
      fillAlpha: Math.round(255 * display.opacity.peek()),
      dimUnreviewed: display.showReviewed.peek(),
      colour: this.colouring.of(document, display.colourBy.peek(), types.peek(), thresholds),
      selected: (id) => chosen.has(id),
    };
  }

  // ---- pointers ---------------------------------------------------------------------------------

  private listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.pointerDown(event));
    canvas.addEventListener("pointermove", (event) => this.pointerMove(event));
    canvas.addEventListener("pointerup", (event) => this.pointerUp(event));
    canvas.addEventListener("pointercancel", (event) => this.pointerLost(event));
    canvas.addEventListener("pointerleave", () => {
      this.pointer.value = null;
      this.app.hovered.value = 0;
      this.redraw();
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  private pressOf(event: PointerEvent | MouseEvent): Press {
    const bounds = this.canvas.getBoundingClientRect();
    const at = views.toImage(this.viewport.peek(), event.clientX - bounds.left, event.clientY - bounds.top);
    return { at, shift: event.shiftKey, alt: event.altKey, ctrl: event.ctrlKey || event.metaKey };
  }

  private pointerDown(event: PointerEvent): void {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.cursor.value = null;
    if (event.pointerType === "touch") this.touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.touches.size === 2) this.cancelGesture();
    else if (event.button === 1 || event.button === 2 || this.spaceHeld) {
      event.preventDefault();
      this.panning = { x: event.clientX, y: event.clientY };
    } else if (event.button === 0 && !this.gesture)
      this.gesture = begin(this.app, this.pressOf(event), this.viewport.peek().zoom);
    this.redraw();
  }

  private pointerMove(event: PointerEvent): void {
    if (this.touches.size === 2) return this.pinch(event);
    if (this.panning) {
      this.panBy(event.clientX - this.panning.x, event.clientY - this.panning.y);
      this.panning = { x: event.clientX, y: event.clientY };
      return;
    }
    const events = this.gesture ? event.getCoalescedEvents() : [];
    for (const each of events.length ? events : [event]) this.gesture?.move(this.pressOf(each));
    this.pointer.value = this.pressOf(event).at;
    this.app.hovered.value = cellAt(this.app, this.pointer.value);
    this.redraw();
  }

  private pointerUp(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    this.panning = null;
    const { gesture } = this;
    this.gesture = null;
    gesture?.end(this.pressOf(event));
    this.redraw();
  }

  private pointerLost(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    this.panning = null;
    this.cancelGesture();
  }

  private pinch(event: PointerEvent): void {
    const before = [...this.touches.values()];
    this.touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const after = [...this.touches.values()];
    const bounds = this.canvas.getBoundingClientRect();
    const middle = (points: readonly { x: number; y: number }[]): { x: number; y: number } => ({
      x: (points[0].x + points[1].x) / 2 - bounds.left,
      y: (points[0].y + points[1].y) / 2 - bounds.top,
    });
    const far = (points: readonly { x: number; y: number }[]): number =>
      Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y);
    const [from, to] = [middle(before), middle(after)];
    this.panBy(to.x - from.x, to.y - from.y);
    this.zoomBy(far(after) / Math.max(1, far(before)), to.x, to.y);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const bounds = this.canvas.getBoundingClientRect();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // Fingers that spread on a touchpad are a wheel with Ctrl held, and turn slowly.
    const speed = WHEEL * lines * (event.ctrlKey ? 5 : 1);
    this.zoomBy(Math.exp(-event.deltaY * speed), event.clientX - bounds.left, event.clientY - bounds.top);
  }

  holdSpace(held: boolean): void {
    this.spaceHeld = held;
    this.canvas.classList.toggle("panning", held);
  }

  /** Escape: true where something was given up. */
  cancelGesture(): boolean {
    const { gesture } = this;
    this.gesture = null;
    gesture?.cancel();
    this.redraw();
    return gesture !== null;
  }

  // ---- the keyboard's pointer -------------------------------------------------------------------

  /** Show or hide the place from which the keyboard draws. */
  toggleCursor(): void {
    const { width, height } = this.size;
    const middle = views.toImage(this.viewport.peek(), width / 2, height / 2);
    if (this.cursor.value) this.cancelGesture();
    this.cursor.value = this.cursor.value
      ? null
      : { row: Math.floor(middle.row) + 0.5, col: Math.floor(middle.col) + 0.5 };
  }

  moveCursor(down: number, right: number, keys: Omit<Press, "at">): void {
    const from = this.cursor.value;
    if (!from || !this.document) return;
    const { height, width } = this.document.size;
    const row = Math.min(height - 0.5, Math.max(0.5, from.row + down));
    const col = Math.min(width - 0.5, Math.max(0.5, from.col + right));
    this.cursor.value = { row, col };
    this.gesture?.move({ at: { row, col }, ...keys });
    this.app.hovered.value = cellAt(this.app, { row, col });
    const screen = views.toScreen(this.viewport.peek(), { row, col });
    const { size } = this;
    const margin = 40;
    const push = (value: number, whole: number): number =>
      value < margin ? margin - value : value > whole - margin ? whole - margin - value : 0;
    if (push(screen.x, size.width) || push(screen.y, size.height))
      this.panBy(push(screen.x, size.width), push(screen.y, size.height));
  }

  /** Press, or let go, at the keyboard's place. */
  pressCursor(keys: Omit<Press, "at">): void {
    const at = this.cursor.value;
    if (!at) return;
    const press = { at, ...keys };
    const { gesture } = this;
    if (gesture) {
      this.gesture = null;
      gesture.end(press);
    } else {
      this.gesture = begin(this.app, press, this.viewport.peek().zoom);
      if (this.app.tool.value === "add") this.pressCursor(keys);
    }
    this.redraw();
  }
}

/** What a tool sees of mouse, pen, finger and keyboard. */
import type { Box, Point } from "../model/box.ts";

export interface Press {
  /** Where in the image, in pixels and fractions of them. */
  readonly at: Point;
  readonly shift: boolean;
  readonly alt: boolean;
  readonly ctrl: boolean;
}

/** What a tool shows while it is used. */
export type Sketch =
  | { readonly kind: "path"; readonly points: readonly Point[]; readonly closed: boolean }
  | { readonly kind: "box"; readonly box: Box }
  | null;

/** From pressing to letting go. */
export interface Gesture {
  move(press: Press): void;
  /** Let go: what was begun is done. */
  end(press: Press): void;
  /** Escape: nothing of it is kept. */
  cancel(): void;
  readonly sketch: Sketch;
}

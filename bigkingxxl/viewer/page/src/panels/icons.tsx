/** Icons of the tools: lines on a square of 20. */
import type { JSX } from "preact";
import type { ToolName } from "../state/app.ts";

const PATHS: Record<ToolName | "undo" | "redo" | "help" | "left" | "right" | "theme" | "close" | "check", string> = {
  select: "M5 3l10 7-4.6.9L13 16l-2.2 1-2.5-5L5 15z",
  brush: "M16.5 3.5c-3 1.5-6 4.6-7.6 7.3l1.9 1.6c2.5-1.9 5.1-5.3 5.7-8.9zM8.2 11.6c-2.6-.2-3 2-3.2 3.3-.1.8-.6 1.3-1.5 1.6 2.3 1 6.2.6 6.4-3.3z",
  eraser: "M11.5 4l5 5-7.5 7.5H6.2L3.5 13.8a1.4 1.4 0 010-2zM7.5 8l5 5M9 16.5h7.5",
  lasso: "M10 4c4 0 7 1.9 7 4.4s-3 4.4-7 4.4-7-1.9-7-4.4S6 4 10 4zM5.8 12c-1.3.8-1 2.6.5 2.6s1.6-1.5.7-2.2M6.5 14.600c.2 1.4-.6 2.2-1.7 2.6",
  cut: "M5.5 13.200a2 2 0 100 4 2 2 0 000-4zM14.5 13.200a2 2 0 100 4 2 2 0 000-4zM6.6 13.600L13.5 3M13.4 13.600L6.5 3",
  add: "M10 6.5v7M6.5 10h7M10 3a7 7 0 100 14 7 7 0 000-14z",
  region: "M3.5 6.5v-3h3M13.5 3.5h3v3M16.5 13.5v3h-3M6.5 16.5h-3v-3M7 10.200l2.2 2.200L13.3 8",
  undo: "M7 4L3.5 7.5 7 11M3.8 7.5h7.700a4.7 4.7 0 010 9.400H8",
  redo: "M13 4l3.5 3.5L13 11M16.2 7.5H8.5a4.7 4.7 0 000 9.400H12",
  help: "M7.3 7.300a2.7 2.7 0 115.4 0c0 1.9-2.7 2.3-2.7 4.200M10 14.800v.3",
  left: "M12.5 4.5L7 10l5.5 5.5",
  right: "M7.5 4.5L13 10l-5.5 5.5",
  theme: "M10 3.5a6.5 6.5 0 100 13zM10 3.5a6.5 6.5 0 010 13",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.5l4 4 8-9",
};

export function Icon({ name }: { name: keyof typeof PATHS }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

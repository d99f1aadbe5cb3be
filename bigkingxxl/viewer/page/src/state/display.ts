/** Display settings: stored in this browser, never in the folder. */
import { batch, effect, type Signal, signal } from "@preact/signals";
import type { ImageInfo } from "../wire/contract.ts";
import type { Contrast } from "../view/image_tiles.ts";
import type { ColourBy } from "../view/palette.ts";

export type Order = "error" | "name" | "count";
export type Theme = "system" | "light" | "dark";
export type Panel = "display" | "cells" | "finetune" | "export";

function remembered<T>(name: string, initial: T): Signal<T> {
  const kept = `bigkingxxl ${name}`;
  let value = initial;
  try {
    const text = localStorage.getItem(kept);
    if (text !== null) value = JSON.parse(text) as T;
  } catch {
    // What cannot be read is as if it had never been chosen.
  }
  const result = signal(value);
  effect(() => {
    const text = JSON.stringify(result.value);
    try {
      localStorage.setItem(kept, text);
    } catch {
      // A browser that keeps nothing shows the same page, with the usual settings.
    }
  });
  return result;
}

export class Display {
  readonly theme = remembered<Theme>("theme", "system");
  readonly order = remembered<Order>("order", "error");
  readonly panel = remembered<Panel>("tab", "display");
  readonly outlines = remembered("outlines", true);
  readonly filled = remembered("filled", false);
  readonly opacity = remembered("opacity", 0.35);
  readonly colourBy = remembered<ColourBy>("colours", "cell");
  readonly brush = remembered("brush", 6);
  readonly overwrite = remembered("overwrite", false);
  readonly showReviewed = remembered("reviewed", true);

  /** While a key is held. */
  readonly hidden = signal(false);
  /** The channel of the open image. */
  readonly channel = signal("0");
  readonly contrast = signal<Contrast>({ low: 0, high: 255, gamma: 1 });
  /** Between which intensities the server was last asked for the image. */
  readonly fetched = signal({ low: 0, high: 255 });
  /** Thresholds of the preview; null: the thresholds of the run. */
  readonly minScore = signal<number | null>(null);
  readonly minArea = signal<number | null>(null);

  /** Show another image: its own black and white, and the same channel where it has it. */
  beginImage(info: ImageInfo): void {
    const before = this.channel.peek();
    const has = before === "rgb" ? info.is_rgb : info.channels.some((each) => String(each.index) === before);
    const usual = info.is_rgb ? "rgb" : String(info.channels[0]?.index ?? 0);
    this.chooseChannel(info, this.chosen && has ? before : usual);
  }

  chooseChannel(info: ImageInfo, channel: string): void {
    const known = info.channels.find((each) => String(each.index) === channel);
    const { low, high } = known ?? { low: 0, high: 255 };
    batch(() => {
      this.fetched.value = { low, high };
      this.contrast.value = { ...this.contrast.peek(), low, high };
      this.channel.value = channel;
    });
  }

  /** Whether the user has chosen a channel, which is then kept from image to image. */
  chosen = false;
}

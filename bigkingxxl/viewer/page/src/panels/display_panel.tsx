/** Display settings of the image and the cells, and the thresholds of the run. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { type App, errorText } from "../state/app.ts";
import { askThresholds, applyThresholds, dropThresholds } from "../state/thresholds.ts";
import { sentence } from "../state/messages.ts";
import { type ColourBy, ORIGIN_COLOURS, rampColour, typeColour } from "../view/palette.ts";
import type { Channel } from "../wire/contract.ts";
import { Bars } from "./bars.tsx";
import { short } from "./numbers.ts";

export function DisplayPanel({ app }: { app: App }): JSX.Element {
  return (
    <>
      <ImageSection app={app} />
      <CellsSection app={app} />
      <ThresholdSection app={app} />
    </>
  );
}

function ImageSection({ app }: { app: App }): JSX.Element | null {
  const document = app.document.value;
  const { display } = app;
  if (!document) return null;
  const { channels, is_rgb: isRgb } = document.info;
  const channel = channels.find((each) => String(each.index) === display.channel.value);
  const frames = app.images.value.filter((each) => each.group !== "" && each.group === document.info.entry.group);
  return (
    <section>
      <h2>Image</h2>
      {(channels.length > 1 || isRgb) && (
        <label class="row">
          <span>Channel</span>
          <select value={display.channel.value} onChange={(event) => {
            display.chosen = true;
            display.chooseChannel(document.info, event.currentTarget.value);
          }}>
            {isRgb && <option value="rgb">RGB</option>}
            {channels.map((each) => (
              <option key={each.index} value={String(each.index)}>{each.name || `channel ${each.index}`}</option>
            ))}
          </select>
        </label>
      )}
      {frames.length > 1 && <FrameSlider app={app} keys={frames.map((each) => each.key)} />}
      <ContrastSliders app={app} channel={channel ?? { low: 0, high: 255, minimum: 0, maximum: 255, histogram: [], index: 0, name: "" }} />
    </section>
  );
}

function FrameSlider({ app, keys }: { app: App; keys: readonly string[] }): JSX.Element {
  const at = keys.indexOf(app.opening.value || (app.document.value?.key ?? ""));
  return (
    <label class="row">
      <span>Frame</span>
      <input type="range" min="0" max={keys.length - 1} value={at} onInput={(event) => void app.open(keys[Number(event.currentTarget.value)])} />
      <output>{at + 1} / {keys.length}</output>
    </label>
  );
}

function ContrastSliders({ app, channel }: { app: App; channel: Channel }): JSX.Element {
  const { contrast, fetched } = app.display;
  const { low, high, gamma } = contrast.value;
  const range = Math.max(1e-9, channel.maximum - channel.minimum);
  const step = range > 1000 ? 1 : range / 1000;
  const set = (news: Partial<typeof contrast.value>): void => {
    const next = { ...contrast.value, ...news };
    if (next.high - next.low >= step) contrast.value = next;
  };
  // 8 bits come over the wire: when the sliders rest, they are asked for between the new limits.
  const rest = (): void => {
    const now = contrast.value;
    const eight = range <= 255 && Number.isInteger(channel.minimum) && Number.isInteger(channel.maximum);
    const inside = now.low >= fetched.value.low && now.high <= fetched.value.high;
    const fine = eight && fetched.value.high - fetched.value.low <= 255;
    if (!inside || (!fine && now.high - now.low < 0.6 * (fetched.value.high - fetched.value.low)))
      fetched.value = { low: now.low, high: now.high };
  };
  const bins = channel.histogram;
  return (
    <>
      {bins.length > 0 && (
        <Bars counts={bins} low={channel.minimum} high={channel.maximum} from={low} to={high} label="Histogram of intensities" logarithmic />
      )}
      <label class="row">
        <span>Black level</span>
        <input type="range" min={channel.minimum} max={channel.maximum} step={step} value={low} onInput={(event) => set({ low: Number(event.currentTarget.value) })} onChange={rest} />
        <output>{short(Math.round(low * 100) / 100)}</output>
      </label>
      <label class="row">
        <span>White level</span>
        <input type="range" min={channel.minimum} max={channel.maximum} step={step} value={high} onInput={(event) => set({ high: Number(event.currentTarget.value) })} onChange={rest} />
        <output>{short(Math.round(high * 100) / 100)}</output>
      </label>
      <label class="row">
        <span>Gamma</span>
        <input type="range" min="-1" max="1" step="0.02" value={Math.log10(gamma) / Math.log10(4)} aria-valuetext={gamma.toFixed(2)} onInput={(event) => set({ gamma: 4 ** Number(event.currentTarget.value) })} />
        <output>{gamma.toFixed(2)}</output>
      </label>
      <div class="row buttons">
        <button type="button" class="small" onClick={() => {
          contrast.value = { low: channel.low, high: channel.high, gamma: 1 };
          fetched.value = { low: channel.low, high: channel.high };
        }}>
          Set automatically
        </button>
        <button type="button" class="small" onClick={() => {
          contrast.value = { low: channel.minimum, high: channel.maximum, gamma };
          fetched.value = { low: channel.minimum, high: channel.maximum };
        }}>
          Use full range
        </button>
      </div>
    </>
  );
}

function CellsSection({ app }: { app: App }): JSX.Element {
  const { display } = app;
  return (
    <section>
      <h2>Cells</h2>
      <div class="row checks">
        <label class="inline"><input type="checkbox" checked={display.outlines.value} onInput={() => (display.outlines.value = !display.outlines.value)} />Show outlines <kbd>Z</kbd></label>
        <label class="inline"><input type="checkbox" checked={display.filled.value} onInput={() => (display.filled.value = !display.filled.value)} />Fill cells <kbd>X</kbd></label>
        <span class="quiet">Hold <kbd>H</kbd> to hide all cells.</span>
      </div>
      {display.filled.value && (
        <label class="row">
          <span>Opacity</span>
          <input type="range" min="0.05" max="1" step="0.05" value={display.opacity.value} onInput={(event) => (display.opacity.value = Number(event.currentTarget.value))} />
          <output>{Math.round(100 * display.opacity.value)} %</output>
        </label>
      )}
      <label class="row">
        <span>Colour by</span>
        <select value={display.colourBy.value} onChange={(event) => {
          display.colourBy.value = event.currentTarget.value as ColourBy;
          event.currentTarget.blur();
        }}>
          <option value="cell">cell</option>
          <option value="type">cell type</option>
          <option value="score">score</option>
          <option value="area">area</option>
          <option value="origin">origin</option>
        </select>
      </label>
      <Legend app={app} />
      <label class="inline">
        <input type="checkbox" checked={display.showReviewed.value} onInput={() => (display.showReviewed.value = !display.showReviewed.value)} />
        Darken parts that are not reviewed
      </label>
    </section>
  );
}

function Legend({ app }: { app: App }): JSX.Element | null {
  const by = app.display.colourBy.value;
  const swatches: readonly [string, string][] =
    by === "type"
      ? [...app.types.value.map((type): [string, string] => [type, typeColour(type, app.types.value)]), ["no type", typeColour("", app.types.value)]]
      : by === "origin"
        ? [["predicted", ORIGIN_COLOURS.model], ["edited", ORIGIN_COLOURS.edited], ["drawn", ORIGIN_COLOURS.drawn]]
        : [];
  if (by === "score" || by === "area")
    return (
      <div class="ramp">
        <span>{by === "score" ? "0" : "small"}</span>
        <span class="ramp-bar">{Array.from({ length: 24 }, (_, i) => <i key={i} style={{ background: rampColour(i / 23) }} />)}</span>
        <span>{by === "score" ? "1" : "large"}</span>
      </div>
    );
  if (!swatches.length) return null;
  return (
    <div class="legend">
      {swatches.map(([name, colour]) => (
        <span key={name} class="inline"><i class="swatch" style={{ background: colour }} />{name}</span>
      ))}
    </div>
  );
}

function ThresholdSection({ app }: { app: App }): JSX.Element | null {
  const { display } = app;
  const folder = app.folder.value;
  const timer = useRef(0);
  if (!folder || folder.kind === "annotate" || !app.document.value) return null;
  const cells = [...(app.document.value.book.entries ?? [])].map(([, cell]) => cell);
  const largest = Math.max(100, ...cells.slice(0, 5000).map((cell) => cell.area));
  const score = display.minScore.value ?? folder.settings.min_score;
  const area = display.minArea.value ?? folder.settings.min_area;
  const ask = (): void => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void askThresholds(app).catch((error: unknown) => app.messages.tell(errorText(error), "error")), 150);
  };
  const tried = display.minScore.value !== null || display.minArea.value !== null;
  return (
    <section>
      <h2>Thresholds</h2>
      <label class="row">
        <span>Minimum score</span>
        <input type="range" min="0" max="1" step="0.01" value={score ?? 0} aria-valuetext={score === null ? "the value of the model" : String(score)}
          onInput={(event) => {
            display.minScore.value = Number(event.currentTarget.value);
            ask();
          }} />
        <output>{score === null ? "model" : score.toFixed(2)}</output>
      </label>
      <label class="row">
        <span>Minimum area</span>
        <input type="range" min="0" max="1" step="0.005" value={Math.sqrt((area ?? 0) / largest)} aria-valuetext={area === null ? "the value of the model" : `${Math.round(area)} pixels`}
          onInput={(event) => {
            display.minArea.value = Math.round(Number(event.currentTarget.value) ** 2 * largest);
            ask();
          }} />
        <output>{area === null ? "model" : `${short(Math.round(area))} px`}</output>
      </label>
      {app.document.value.info.entry.corrected || app.entry?.corrected ? (
        <p class="quiet">You have corrected this image, so other thresholds do not change it.</p>
      ) : (
        <p class="quiet">Changes are only a preview until you apply them. Corrected images never change.</p>
      )}
      {tried && (
        <div class="row buttons">
          <button type="button" class="small primary" disabled={folder.can_apply !== "" || app.readOnly.value !== ""} title={sentence(folder.can_apply)} onClick={() => void applyThresholds(app)}>
            Apply to all images
          </button>
          <button type="button" class="small" onClick={() => dropThresholds(app)}>Discard</button>
        </div>
      )}
      {tried && folder.can_apply && <p class="quiet">{sentence(folder.can_apply)}</p>}
    </section>
  );
}

/** How image and cells are shown, and the thresholds of the run. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { type App, errorText } from "../state/app.ts";
import { askThresholds, applyThresholds, dropThresholds } from "../state/thresholds.ts";
import { type ColourBy, ORIGIN_COLOURS, rampColour, typeColour } from "../view/palette.ts";
import type { Channel } from "../wire/contract.ts";
import { Bars } from "./bars.tsx";
import { short } from "./numbers.ts";

export function LookPanel({ app }: { app: App }): JSX.Element {
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
  const { look } = app;
  if (!document) return null;
  const { channels, is_rgb: isRgb } = document.info;
  const channel = channels.find((each) => String(each.index) === look.channel.value);
  const frames = app.images.value.filter((each) => each.group !== "" && each.group === document.info.entry.group);
  return (
    <section>
      <h2>Image</h2>
      {(channels.length > 1 || isRgb) && (
        <label class="row">
          <span>Channel</span>
          <select value={look.channel.value} onChange={(event) => {
            look.chosen = true;
            look.chooseChannel(document.info, event.currentTarget.value);
          }}>
            {isRgb && <option value="rgb">colours</option>}
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
  const { contrast, fetched } = app.look;
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
        <span>Black</span>
        <input type="range" min={channel.minimum} max={channel.maximum} step={step} value={low} onInput={(event) => set({ low: Number(event.currentTarget.value) })} onChange={rest} />
        <output>{short(Math.round(low * 100) / 100)}</output>
      </label>
      <label class="row">
        <span>White</span>
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
          Automatic
        </button>
        <button type="button" class="small" onClick={() => {
          contrast.value = { low: channel.minimum, high: channel.maximum, gamma };
          fetched.value = { low: channel.minimum, high: channel.maximum };
        }}>
          Full range
        </button>
      </div>
    </>
  );
}

function CellsSection({ app }: { app: App }): JSX.Element {
  const { look } = app;
  return (
    <section>
      <h2>Cells</h2>
      <div class="row checks">
        <label class="inline"><input type="checkbox" checked={look.outlines.value} onInput={() => (look.outlines.value = !look.outlines.value)} />Outlines <kbd>Z</kbd></label>
        <label class="inline"><input type="checkbox" checked={look.filled.value} onInput={() => (look.filled.value = !look.filled.value)} />Filled <kbd>X</kbd></label>
        <span class="quiet">hold <kbd>H</kbd> to hide</span>
      </div>
      {look.filled.value && (
        <label class="row">
          <span>Fill</span>
          <input type="range" min="0.05" max="1" step="0.05" value={look.opacity.value} onInput={(event) => (look.opacity.value = Number(event.currentTarget.value))} />
          <output>{Math.round(100 * look.opacity.value)} %</output>
        </label>
      )}
      <label class="row">
        <span>Colour by</span>
        <select value={look.colourBy.value} onChange={(event) => {
          look.colourBy.value = event.currentTarget.value as ColourBy;
          event.currentTarget.blur();
        }}>
          <option value="cell">cell</option>
          <option value="type">cell type</option>
          <option value="score">score</option>
          <option value="area">area</option>
          <option value="origin">who made it</option>
        </select>
      </label>
      <Legend app={app} />
      <label class="inline">
        <input type="checkbox" checked={look.showReviewed.value} onInput={() => (look.showReviewed.value = !look.showReviewed.value)} />
        Darken what is not reviewed
      </label>
    </section>
  );
}

function Legend({ app }: { app: App }): JSX.Element | null {
  const by = app.look.colourBy.value;
  const swatches: readonly [string, string][] =
    by === "type"
      ? [...app.types.value.map((type): [string, string] => [type, typeColour(type, app.types.value)]), ["none", typeColour("", app.types.value)]]
      : by === "origin"
        ? [["model", ORIGIN_COLOURS.model], ["edited", ORIGIN_COLOURS.edited], ["drawn", ORIGIN_COLOURS.drawn]]
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
  const { look } = app;
  const folder = app.folder.value;
  const timer = useRef(0);
  if (!folder || folder.kind === "annotate" || !app.document.value) return null;
  const cells = [...(app.document.value.book.entries ?? [])].map(([, cell]) => cell);
  const largest = Math.max(100, ...cells.slice(0, 5000).map((cell) => cell.area));
  const score = look.minScore.value ?? folder.settings.min_score;
  const area = look.minArea.value ?? folder.settings.min_area;
  const ask = (): void => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void askThresholds(app).catch((error: unknown) => app.messages.tell(errorText(error), "error")), 150);
  };
  const tried = look.minScore.value !== null || look.minArea.value !== null;
  return (
    <section>
      <h2>Which cells count</h2>
      <label class="row">
        <span>Score from</span>
        <input type="range" min="0" max="1" step="0.01" value={score ?? 0} aria-valuetext={score === null ? "as the model has it" : String(score)}
          onInput={(event) => {
            look.minScore.value = Number(event.currentTarget.value);
            ask();
          }} />
        <output>{score === null ? "model's" : score.toFixed(2)}</output>
      </label>
      <label class="row">
        <span>Area from</span>
        <input type="range" min="0" max="1" step="0.005" value={Math.sqrt((area ?? 0) / largest)} aria-valuetext={area === null ? "as the model has it" : `${Math.round(area)} pixels`}
          onInput={(event) => {
            look.minArea.value = Math.round(Number(event.currentTarget.value) ** 2 * largest);
            ask();
          }} />
        <output>{area === null ? "model's" : `${short(Math.round(area))} px`}</output>
      </label>
      {app.document.value.info.entry.corrected || app.entry?.corrected ? (
        <p class="quiet">You corrected this image: thresholds no longer change it.</p>
      ) : (
        <p class="quiet">Nothing changes on disk until you apply them; corrected images never change.</p>
      )}
      {tried && (
        <div class="row buttons">
          <button type="button" class="small primary" disabled={folder.can_apply !== "" || app.readOnly.value !== ""} title={folder.can_apply} onClick={() => void applyThresholds(app)}>
            Apply to all images
          </button>
          <button type="button" class="small" onClick={() => dropThresholds(app)}>Back</button>
        </div>
      )}
      {tried && folder.can_apply && <p class="quiet">{folder.can_apply}</p>}
    </section>
  );
}

/** A histogram. */
import type { JSX } from "preact";
import { short } from "./numbers.ts";

interface BarsProps {
  readonly counts: readonly number[];
  readonly low: number;
  readonly high: number;
  /** What lies outside of these is pale. */
  readonly from?: number;
  readonly to?: number;
  readonly label: string;
  readonly unit?: string;
  readonly logarithmic?: boolean;
}

const [WIDTH, HEIGHT] = [280, 64];

export function Bars({ counts, low, high, from = low, to = high, label, unit = "", logarithmic = false }: BarsProps): JSX.Element {
  const heights = counts.map((count) => (logarithmic ? Math.log1p(count) : count));
  const tallest = Math.max(1e-9, ...heights);
  const step = WIDTH / counts.length;
  const range = high - low || 1;
  const total = counts.reduce((sum, each) => sum + each, 0);
  return (
    <figure class="bars">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${label}: ${total} from ${short(low)} to ${short(high)} ${unit}`}>
        {heights.map((each, i) => {
          const middle = low + ((i + 0.5) / counts.length) * range;
          const size = (each / tallest) * (HEIGHT - 2);
          return (
            <rect key={i} class={middle < from || middle > to ? "pale" : ""} x={i * step} y={HEIGHT - size} width={Math.max(0.5, step - (step > 4 ? 1 : 0))} height={size}>
              {step > 4 && <title>{`${short(low + (i / counts.length) * range)} to ${short(low + ((i + 1) / counts.length) * range)} ${unit}: ${counts[i]}`}</title>}
            </rect>
          );
        })}
      </svg>
      <figcaption><span>{short(low)}</span><span>{unit}</span><span>{short(high)}</span></figcaption>
    </figure>
  );
}

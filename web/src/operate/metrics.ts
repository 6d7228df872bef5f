/** The text format of Prometheus, as far as the server writes it, and what can be told from two looks at it. */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Upper bounds in seconds, rising, and how many requests took so long at most. */
export interface Histogram {
  bounds: number[];
  counts: number[];
}

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

export function samplesOf(text: string): Sample[] {
  return text.split("\n").flatMap((line): Sample[] => {
    const found = LINE.exec(line);
    if (!found) return [];
    const labels: Record<string, string> = {};
    for (const [, name = "", value = ""] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
    return [{ name: found[1] ?? "", labels, value: Number(found[3] === "+Inf" ? Infinity : found[3]) }];
  });
}

/** The sum of a counter for each value of a label. */
export function countsBy(samples: Sample[], name: string, label: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const sample of samples) {
    if (sample.name !== name) continue;
    const key = sample.labels[label] ?? "";
    counts.set(key, (counts.get(key) ?? 0) + sample.value);
  }
  return counts;
}

export function totalOf(samples: Sample[], name: string): number {
  return samples.reduce((sum, sample) => (sample.name === name ? sum + sample.value : sum), 0);
}

/** A histogram for each value of a label. */
export function histogramsBy(samples: Sample[], name: string, label: string): Map<string, Histogram> {
  const found = new Map<string, Map<number, number>>();
  for (const sample of samples) {
    if (sample.name !== `${name}_bucket`) continue;
    const key = sample.labels[label] ?? "";
    const bound = sample.labels["le"] === "+Inf" ? Infinity : Number(sample.labels["le"]);
    const buckets = found.get(key) ?? new Map<number, number>();
    buckets.set(bound, (buckets.get(bound) ?? 0) + sample.value);
    found.set(key, buckets);
  }
  return new Map([...found].map(([key, buckets]) => [key, histogramOf(buckets)]));
}

function histogramOf(buckets: Map<number, number>): Histogram {
  const rows = [...buckets].sort(([a], [b]) => a - b);
  return { bounds: rows.map(([bound]) => bound), counts: rows.map(([, count]) => count) };
}

/** What came between two looks; all, where the server has started anew since the first. */
export function since(now: Histogram, before: Histogram | undefined): Histogram {
  if (!before || (before.counts.at(-1) ?? 0) > (now.counts.at(-1) ?? 0)) return now;
  return { bounds: now.bounds, counts: now.counts.map((count, at) => count - (before.counts[at] ?? 0)) };
}

export function added(histograms: Histogram[]): Histogram {
  const [first, ...rest] = histograms;
  if (!first) return { bounds: [], counts: [] };
  return {
    bounds: first.bounds,
    counts: first.counts.map((count, at) => rest.reduce((sum, one) => sum + (one.counts[at] ?? 0), count)),
  };
}

export function sizeOf(histogram: Histogram): number {
  return histogram.counts.at(-1) ?? 0;
}

/** A quantile in seconds, by linear interpolation within its bucket as Prometheus does it; null of nothing. */
export function quantile({ bounds, counts }: Histogram, share: number): number | null {
  const all = counts.at(-1) ?? 0;
  if (!all) return null;
  const rank = share * all;
  const at = counts.findIndex((count) => count >= rank);
  const [low, high] = [at ? bounds[at - 1]! : 0, bounds[at]!];
  if (!Number.isFinite(high)) return low;
  const below = at ? counts[at - 1]! : 0;
  return low + (high - low) * ((rank - below) / (counts[at]! - below || 1));
}

/** The server's API, as far as the page uses it; the types mirror `twofold.serve.wire`. */

export type Id = string | number;
export type Plain = string | number | boolean;
export interface Range {
  min?: number;
  max?: number;
}
export type Filters = Record<string, Plain[] | Range>;

export interface Pick {
  item: Id;
  title: string;
  score: number;
  sources: Record<string, number>;
  reason: string;
  snippet: string | null;
}

export interface Slate {
  id: string;
  picks: Pick[];
  shortfall: string | null;
  rung: string | null;
  milliseconds: Record<string, number>;
  /** For each experiment that the slate is part of, its arm. */
  arms: Record<string, string>;
  attributes: Attributes[];
}

export type Attributes = Record<string, unknown>;

export interface Served {
  slate: Slate;
  artifact: string;
}

export interface Column {
  name: string;
  kind: "text" | "number" | "flag" | "list" | "other";
}

export interface Catalogue {
  items: number;
  columns: Column[];
}

export interface Facet {
  column: string;
  values: { value: Plain; count: number }[];
  low: number | null;
  high: number | null;
}

export interface Facets {
  matches: number;
  facets: Facet[];
}

export interface Item {
  item: Id;
  available: boolean;
  attributes: Attributes;
}

export interface Voice {
  retriever: string;
  item: Id;
  title: string;
  amount: number;
}

export interface Explanation {
  item: Id;
  title: string;
  scores: Record<string, number>;
  because: Voice[];
}

export interface Health {
  status: "ok" | "waiting";
  process: number;
  artifact: string;
  items: number;
  users: number;
  offset: number;
  behind: number;
  trouble: string | null;
}

export interface Rung {
  name: string;
  quality: number;
  milliseconds: number;
  question_milliseconds: number;
}

export interface Ladder {
  rungs: Rung[];
  current: string | null;
  floor: number;
  arriving: number;
  waiting: number;
}

export interface Estimate {
  system: string;
  metric: string;
  value: number | null;
  low: number | null;
  high: number | null;
}

export interface About {
  artifact: string;
  created: string;
  data: string;
  recipe: Record<string, unknown>;
  packages: Record<string, string>;
  cleaning: Record<string, unknown>;
  quality: { protocol: Record<string, unknown>; rows: Estimate[] } | null;
}

export interface Candidate {
  folder: string;
  artifact: string;
  created: string;
  recipe: string;
}

export interface Candidates {
  artifacts: Candidate[];
  current: string;
  previous: string | null;
  linked: boolean;
}

export interface Arm {
  name: string;
  share: number;
  diversity: number | null;
  artifact: string | null;
}

export interface Interval {
  value: number;
  low: number;
  high: number;
}

export interface ArmFigures {
  arm: Arm;
  users: number;
  slates: number;
  positive: number;
  rate: Interval | null;
  difference: Interval | null;
  p_value: number | null;
}

export interface Experiment {
  name: string;
  started: number;
  stopped: number | null;
  arms: ArmFigures[];
  split_p_value: number | null;
  trouble: string | null;
}

export type Feeling = "like" | "dislike" | "dismiss";

export interface Feedback {
  kind: Feeling | "click";
  item: Id;
  user: string;
  slate: string;
}

/** Everything that a list of items may depend on. */
export interface Question {
  path: "/recommend" | "/search" | "/similar" | "/trending";
  text?: string;
  items?: Id[];
  user?: string;
  filters: Filters;
  exclude: Id[];
  diversity: number;
  show: string[];
  k: number;
}

/** Why there is no answer, in the server's own words where it gave any (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

const KEY = "twofold.key";
/** Who looks at a page waits longer than a program would. */
const DEADLINE_MS = 5_000;
const LONGEST_PAUSE_S = 3;

export function keyInUse(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepKey(key: string): void {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  const key = keyInUse();
  if (key) headers["Authorization"] = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  for (let tries = 0; ; tries += 1) {
    let response: Response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem(0, "");
    }
    if (response.ok) return response;
    const pause = Number(response.headers.get("Retry-After") ?? Number.NaN);
    if (response.status === 429 && tries === 0 && pause <= LONGEST_PAUSE_S) {
      await new Promise((done) => setTimeout(done, pause * 1000));
      signal?.throwIfAborted();
      continue;
    }
    throw new Problem(response.status, await detailOf(response));
  }
}

async function detailOf(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { detail?: string };
    return problem.detail ?? "";
  } catch {
    return "";
  }
}

async function read<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return (await (await request(method, path, body, signal)).json()) as T;
}

export const api = {
  ask: ({ path, ...question }: Question, signal?: AbortSignal) =>
    read<Served>("POST", path, { ...question, priority: "interactive", deadline_ms: DEADLINE_MS }, signal),
  suggest: (text: string, signal: AbortSignal) =>
    read<{ titles: string[] }>("GET", `/suggest?${new URLSearchParams({ text: text.slice(0, 200) })}`, undefined, signal),
  facets: (text: string | undefined, filters: Filters, signal?: AbortSignal) =>
    read<Facets>("POST", "/facets", text === undefined ? { filters } : { text, filters }, signal),
  catalogue: () => read<Catalogue>("GET", "/catalogue"),
  item: (item: Id) => read<Item>("GET", `/items/${encodeURIComponent(item)}`),
  explain: (body: { item: Id; text?: string; user?: string; items?: Id[] }) =>
    read<Explanation>("POST", "/explain", body),
  record: (event: Feedback) => read<{ ids: string[] }>("POST", "/events", event),
  users: (text: string, signal: AbortSignal) =>
    read<{ users: Id[] }>("GET", `/users?${new URLSearchParams({ text })}`, undefined, signal),
  health: () => read<Health>("GET", "/health"),
  ladder: () => read<Ladder>("GET", "/ladder"),
  experiments: () => read<{ experiments: Experiment[] }>("GET", "/experiments"),
  start: (name: string, arms: Arm[]) => read<Experiment>("POST", "/experiments", { name, arms }),
  stop: (name: string) => read<Experiment>("POST", `/experiments/${encodeURIComponent(name)}/stop`, {}),
  metrics: async () => (await request("GET", "/metrics")).text(),
  about: () => read<About>("GET", "/artifact"),
  artifacts: () => read<Candidates>("GET", "/artifacts"),
  promote: (folder: string) => read<{ folder: string }>("POST", "/promote", { folder }),
  rollback: (artifact: string) => read<{ folder: string }>("POST", "/rollback", { artifact }),
};

import { useWords } from "../language";
import { millisecondsIn, numberIn } from "../words";
import { added, countsBy, histogramsBy, quantile, since, sizeOf, type Histogram } from "./metrics";
import type { Look } from "./operate";

const QUESTIONS = ["/recommend", "/search", "/similar", "/trending"];
const CHIEF = [...QUESTIONS, "/suggest", "/facets", "/events"];
const WINDOW_MS = 30_000;
const [WIDTH, HEIGHT, FOOT] = [600, 130, 18];
const SECONDS = "twofold_request_seconds";

/** How long requests take now: a chart of all questions, and a row for each kind of request. */
export function Latency({ looks }: { looks: Look[] }) {
  const { words } = useWords();
  const last = looks.at(-1)!;
  const first = looks.find((look) => last.time - look.time <= WINDOW_MS) ?? last;
  const now = histogramsBy(last.samples, SECONDS, "route");
  const before = histogramsBy(first.samples, SECONDS, "route");
  const failed = failures(last);
  const rows = [...now]
    .map(([route, all]) => {
      const recent = since(all, before.get(route));
      const told = sizeOf(recent) ? recent : all;
      const rate = first === last ? 0 : (sizeOf(recent) * 1000) / (last.time - first.time);
      const [median, slow] = [quantile(told, 0.5), quantile(told, 0.99)];
      return { route, rate, all: sizeOf(all), median, slow, failed: failed.get(route) ?? 0 };
    })
    .sort((a, b) => b.all - a.all);
  const chief = rows.filter(({ route }) => CHIEF.includes(route));
  const rest = rows.filter(({ route }) => !CHIEF.includes(route));
  return (
    <section className="panel">
      <h2>{words.latency}</h2>
      <p className="hint">{words.latencyHint}</p>
      <Chart looks={looks} />
      {chief.length ? <Rows rows={chief} /> : <p>{words.noRequests}</p>}
      {rest.length > 0 && (
        <details>
          <summary>{words.otherRequests}</summary>
          <Rows rows={rest} />
        </details>
      )}
    </section>
  );
}

interface Row {
  route: string;
  rate: number;
  all: number;
  median: number | null;
  slow: number | null;
  failed: number;
}

function Rows({ rows }: { rows: Row[] }) {
  const { words, language } = useWords();
  const told = (seconds: number | null) => (seconds === null ? "–" : millisecondsIn(language, seconds * 1000));
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={words.route}>
      <table>
        <thead>
          <tr>
            <th scope="col">{words.route}</th>
            <th scope="col">{words.median}</th>
            <th scope="col">{words.p99}</th>
            <th scope="col">{words.perSecond}</th>
            <th scope="col">{words.all}</th>
            <th scope="col">{words.errors}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ route, rate, all, median, slow, failed }) => (
            <tr key={route}>
              <th scope="row">{route}</th>
              <td>{told(median)}</td>
              <td>{told(slow)}</td>
              <td>{numberIn(language, rate, 1)}</td>
              <td>{numberIn(language, all)}</td>
              <td>{numberIn(language, failed)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function failures(look: Look): Map<string, number> {
  const failed = look.samples.filter(
    ({ name, labels }) => name === "twofold_requests_total" && (labels["status"] ?? "") >= "400",
  );
  return countsBy(failed, "twofold_requests_total", "route");
}

function questionsIn(look: Look): Histogram {
  const found = histogramsBy(look.samples, SECONDS, "route");
  return added(QUESTIONS.flatMap((route) => found.get(route) ?? []));
}

function Chart({ looks }: { looks: Look[] }) {
  const { words, language } = useWords();
  const points = looks.slice(1).map((look, at) => {
    const recent = since(questionsIn(look), questionsIn(looks[at]!));
    return { time: look.time, median: quantile(recent, 0.5), slow: quantile(recent, 0.99) };
  });
  const asked = points.filter((point) => point.slow !== null);
  const most = Math.max(...asked.map((point) => point.slow! * 1000), 1);
  const top = niceAbove(most);
  const end = looks.at(-1)!.time;
  const x = (time: number) => WIDTH - ((end - time) / 120_000) * (WIDTH - 44);
  const y = (seconds: number) => 6 + (HEIGHT - FOOT - 6) * (1 - (seconds * 1000) / top);
  const line = (which: "median" | "slow") =>
    asked.map((point, at) => `${at ? "L" : "M"}${x(point.time).toFixed(1)} ${y(point[which]!).toFixed(1)}`).join("");
  return (
    <figure className="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={words.latencyChart}>
        {[0, top / 2, top].map((tick) => (
          <g key={tick}>
            <line className="grid" x1={44} x2={WIDTH} y1={y(tick / 1000)} y2={y(tick / 1000)} />
            <text x={38} y={y(tick / 1000) + 4} textAnchor="end">
              {numberIn(language, tick, 1)}
            </text>
          </g>
        ))}
        <path className="slow" d={line("slow")} />
        <path className="median" d={line("median")} />
        {asked.map((point) => (
          <g key={point.time}>
            <circle className="slow" cx={x(point.time)} cy={y(point.slow!)} r={2.5} />
            <circle className="median" cx={x(point.time)} cy={y(point.median!)} r={2.5} />
          </g>
        ))}
      </svg>
      <figcaption>
        <span className="key median">{words.median}</span>
        <span className="key slow">{words.p99}</span>
        <span>ms</span>
      </figcaption>
    </figure>
  );
}

/** A round number at or above a value, so that the axis does not jump with each look. */
export function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

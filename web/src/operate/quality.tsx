import type { About, Estimate } from "../api";
import { useWords } from "../language";
import { nameIn, valueIn } from "../values";
import { numberIn } from "../words";
import { Text } from "./text";

const MAIN = "ndcg@10";
const COLUMNS = [MAIN, "hr@10", "coverage@10", "novelty@10", "ms a query"];

/** How good the recipe of the artifact was on held-out data, beside plain systems. */
export function Quality({ about }: { about: About }) {
  const { words } = useWords();
  return (
    <section className="panel wide">
      <h2>{words.qualityReport}</h2>
      {about.quality ? (
        <>
          <Figures rows={about.quality.rows} />
          <details>
            <summary>{words.protocol}</summary>
            <Known values={about.quality.protocol} />
          </details>
        </>
      ) : (
        <p>
          <Text text={words.qualityNone} />
        </p>
      )}
    </section>
  );
}

function Figures({ rows }: { rows: Estimate[] }) {
  const { words, language } = useWords();
  const find = (system: string, metric: string) => rows.find((row) => row.system === system && row.metric === metric);
  const systems = [...new Set(rows.map((row) => row.system))].sort(
    (a, b) => (find(b, MAIN)?.value ?? 0) - (find(a, MAIN)?.value ?? 0),
  );
  const columns = COLUMNS.filter((metric) => rows.some((row) => row.metric === metric));
  const most = Math.max(...systems.map((system) => find(system, MAIN)?.high ?? 0), 1e-9);
  const told = (row: Estimate | undefined) =>
    row?.value === undefined || row.value === null ? "–" : numberIn(language, row.value, row.value < 1 ? 4 : 2);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={words.qualityReport}>
      <table>
        <thead>
          <tr>
            <th scope="col">{words.system}</th>
            {columns.map((metric) => (
              <th key={metric} scope="col">
                {metric}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {systems.map((system) => (
            <tr key={system}>
              <th scope="row">{system}</th>
              {columns.map((metric) => {
                const row = find(system, metric);
                return (
                  <td key={metric}>
                    {told(row)}
                    {metric === MAIN && row && <Interval row={row} most={most} />}
                    {row && row.low !== null && row.high !== null && (
                      <small>
                        {numberIn(language, row.low, 4)} – {numberIn(language, row.high, 4)}
                      </small>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Interval({ row, most }: { row: Estimate; most: number }) {
  if (row.value === null || row.low === null || row.high === null) return null;
  const x = (value: number) => 4 + (value / most) * 112;
  return (
    <svg className="interval" viewBox="0 0 120 10" aria-hidden="true">
      <line className="grid" x1={4} x2={116} y1={5} y2={5} />
      <line x1={x(row.low)} x2={x(row.high)} y1={5} y2={5} />
      <circle cx={x(row.value)} cy={5} r={3.5} />
    </svg>
  );
}

export function Known({ values }: { values: Record<string, unknown> }) {
  const { words, language } = useWords();
  const rows = Object.entries(values)
    .map(([name, value]) => ({ name, text: valueIn(language, words, name, value) }))
    .filter(({ text }) => text);
  return (
    <dl className="known">
      {rows.map(({ name, text }) => (
        <div key={name}>
          <dt>{nameIn(name)}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

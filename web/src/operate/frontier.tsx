import type { Ladder, Rung } from "../api";
import { useWords } from "../language";
import { millisecondsIn, numberIn, percentIn } from "../words";
import { Text } from "./text";

const [WIDTH, HEIGHT, LEFT, FOOT, PAD] = [600, 270, 68, 48, 44];

/** The rungs of the ladder: how much quality each keeps and what a question costs with it, and which one answers. */
export function Frontier({ ladder }: { ladder: Ladder }) {
  const { words, language } = useWords();
  return (
    <section className="panel">
      <h2>{words.frontier}</h2>
      {ladder.rungs.length ? (
        <>
          <p className="hint">{words.frontierHint}</p>
          <Plot ladder={ladder} />
          <div className="scroll" tabIndex={0} role="region" aria-label={words.frontier}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{words.rung}</th>
                  <th scope="col">{words.quality}</th>
                  <th scope="col">{words.perText}</th>
                  <th scope="col">{words.perQuestion}</th>
                </tr>
              </thead>
              <tbody>
                {ladder.rungs.map((rung) => (
                  <tr key={rung.name} className={rung.name === ladder.current ? "current" : ""}>
                    <th scope="row">
                      {rung.name}
                      {rung.name === ladder.current && <span className="tag">{words.inUse}</span>}
                    </th>
                    <td>{percentIn(language, rung.quality)}</td>
                    <td>{millisecondsIn(language, rung.milliseconds)}</td>
                    <td>{millisecondsIn(language, rung.question_milliseconds)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      ) : (
        <p>
          <Text text={words.frontierNone} />
        </p>
      )}
    </section>
  );
}

function Plot({ ladder }: { ladder: Ladder }) {
  const { words, language } = useWords();
  const { rungs, current, floor } = ladder;
  const costs = rungs.map((rung) => rung.milliseconds);
  // Costs differ by powers; a logarithm gives each rung its room.
  const [low, high] = [Math.log(Math.min(...costs) * 0.8), Math.log(Math.max(...costs) * 1.25)];
  const least = Math.min(floor, ...rungs.map((rung) => rung.quality)) - 0.01;
  const x = (milliseconds: number) =>
    LEFT + ((Math.log(milliseconds) - low) / (high - low || 1)) * (WIDTH - LEFT - PAD);
  const y = (quality: number) => PAD + (1 - (quality - least) / (1.01 - least)) * (HEIGHT - FOOT - PAD);
  const place = (rung: Rung) => ({ cx: x(rung.milliseconds), cy: y(rung.quality) });
  const line = [...rungs].sort((a, b) => a.milliseconds - b.milliseconds);
  const path = line.map((rung, at) => `${at ? "L" : "M"}${place(rung).cx} ${place(rung).cy}`).join("");
  const ticks = [floor, (1 + floor) / 2, 1];
  return (
    <figure className="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={words.frontier}>
        {ticks.map((tick) => (
          <g key={tick}>
            <line className={tick === floor ? "floor" : "grid"} x1={LEFT} x2={WIDTH} y1={y(tick)} y2={y(tick)} />
            <text x={LEFT - 8} y={y(tick) + 4} textAnchor="end">
              {percentIn(language, tick)}
            </text>
          </g>
        ))}
        <text className="note" x={WIDTH - 4} y={y(floor) - 6} textAnchor="end">
          {words.floor}
        </text>
        <path className="frontier" d={path} />
        {rungs.map((rung) => {
          const { cx, cy } = place(rung);
          const used = rung.name === current;
          const right = cx > WIDTH - 150;
          return (
            <g key={rung.name} className={used ? "rung current" : "rung"}>
              {used && <circle className="halo" cx={cx} cy={cy} r={15} />}
              <circle cx={cx} cy={cy} r={7}>
                <title>{rung.name}</title>
              </circle>
              <text x={cx + (right ? 8 : 14)} y={cy + (right ? -18 : 24)} textAnchor={right ? "end" : "start"}>
                {used ? `${rung.name} – ${words.inUse}` : rung.name}
              </text>
            </g>
          );
        })}
        {line.map((rung) => (
          <text key={rung.name} x={x(rung.milliseconds)} y={HEIGHT - FOOT + 18} textAnchor="middle">
            {numberIn(language, rung.milliseconds, rung.milliseconds < 10 ? 2 : 0)}
          </text>
        ))}
        <text className="note" x={LEFT} y={HEIGHT - 4}>
          {words.frontierX}
        </text>
        <text className="note" x={LEFT} y={16}>
          {words.frontierY}
        </text>
      </svg>
    </figure>
  );
}

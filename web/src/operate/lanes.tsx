import { useWords } from "../language";
import { millisecondsIn, numberIn } from "../words";
import { countsBy, histogramsBy, quantile, sizeOf } from "./metrics";
import type { Look } from "./operate";

const LANES = ["interactive", "standard", "batch"] as const;

/** How questions of each priority fare. */
export function Lanes({ look }: { look: Look }) {
  const { words, language } = useWords();
  const waited = histogramsBy(look.samples, "twofold_question_wait_seconds", "priority");
  const refused = countsBy(look.samples, "twofold_questions_refused_total", "priority");
  const told = (seconds: number | null) => (seconds === null ? "–" : millisecondsIn(language, seconds * 1000));
  return (
    <section className="panel">
      <h2>{words.load}</h2>
      <p className="hint">{words.loadHint}</p>
      <dl className="figures">
        <div>
          <dt>{words.arriving}</dt>
          <dd>{words.arrivingUnit(numberIn(language, look.ladder.arriving, 1))}</dd>
        </div>
        <div>
          <dt>{words.waitingNow}</dt>
          <dd>{numberIn(language, look.ladder.waiting)}</dd>
        </div>
      </dl>
      <div className="scroll" tabIndex={0} role="region" aria-label={words.load}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.lane}</th>
              <th scope="col">{words.answered}</th>
              <th scope="col">{words.wait}</th>
              <th scope="col">{words.wait99}</th>
              <th scope="col">{words.refused}</th>
            </tr>
          </thead>
          <tbody>
            {LANES.map((lane) => {
              const waits = waited.get(lane) ?? { bounds: [], counts: [] };
              return (
                <tr key={lane}>
                  <th scope="row">{words[lane]}</th>
                  <td>{numberIn(language, sizeOf(waits))}</td>
                  <td>{told(quantile(waits, 0.5))}</td>
                  <td>{told(quantile(waits, 0.99))}</td>
                  <td>{numberIn(language, refused.get(lane) ?? 0)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

import { useState } from "react";
import { api, type ArmFigures, type Experiment, type Interval } from "../api";
import { useLoaded } from "../hooks";
import { useWords } from "../language";
import { Trouble, useDetail, useTell } from "../notices";
import { numberIn, percentIn, timeIn, type Language, type Words } from "../words";
import { Confirm } from "./confirm";
import type { Look } from "./operate";
import { Start } from "./start";

const EVERY_MS = 10_000;
const LEAST_P = 0.0001;

/** Which experiments there are, what they show, and how to start and stop them. */
export function Experiments({ look }: { look: Look }) {
  const { words } = useWords();
  const tell = useTell();
  const detail = useDetail();
  const found = useLoaded(String(Math.floor(look.time / EVERY_MS)), api.experiments);
  const [asked, setAsked] = useState<string | null>(null);
  const [problem, setProblem] = useState("");
  const make = async (change: () => Promise<Experiment>, said: string): Promise<boolean> => {
    setAsked(null);
    setProblem("");
    try {
      await change();
    } catch (error) {
      setProblem(detail(error));
      return false;
    }
    tell(said);
    found.again();
    return true;
  };
  return (
    <section className="panel wide experiments">
      <h2>{words.experiments}</h2>
      {found.error !== null && <Trouble error={found.error} again={found.again} />}
      {found.value && (
        <p className="hint">{found.value.experiments.length ? words.experimentsHint : words.experimentsNone}</p>
      )}
      {found.value?.experiments.map((experiment) => (
        <Shown key={experiment.name} experiment={experiment} stop={() => setAsked(experiment.name)} />
      ))}
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <Start start={(name, arms) => make(() => api.start(name, arms), words.experimentStarted(name))} />
      {asked !== null && (
        <Confirm
          question={words.confirmStop(asked)}
          hint={words.confirmStopHint}
          yes={() => void make(() => api.stop(asked), words.experimentStopped(asked))}
          no={() => setAsked(null)}
        />
      )}
    </section>
  );
}

function Shown({ experiment, stop }: { experiment: Experiment; stop: () => void }) {
  const { words, language } = useWords();
  const { name, started, stopped, arms, trouble, split_p_value: split } = experiment;
  const time = (milliseconds: number) => timeIn(language, new Date(milliseconds));
  return (
    <article aria-label={name}>
      <div className="row">
        <h3>{name}</h3>
        {stopped === null && <span className="tag">{words.running}</span>}
        <small>
          {words.startedAt(time(started))}
          {stopped !== null && ` · ${words.stoppedAt(time(stopped))}`}
        </small>
        {stopped === null && (
          <button type="button" className="plain" aria-label={`${words.stop}: ${name}`} onClick={stop}>
            {words.stop}
          </button>
        )}
      </div>
      {trouble !== null && split !== null && <p className="problem">{words.splitOff(split.toExponential(0))}</p>}
      <div className="scroll" tabIndex={0} role="region" aria-label={`${words.experiments}: ${name}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.arm}</th>
              <th scope="col">{words.change}</th>
              <th scope="col">{words.share}</th>
              <th scope="col">{words.users}</th>
              <th scope="col">{words.slates}</th>
              <th scope="col">{words.rate}</th>
              <th scope="col">{words.difference}</th>
              <th scope="col">{words.pValue}</th>
              <th scope="col">{words.verdict}</th>
            </tr>
          </thead>
          <tbody>
            {arms.map((row, at) => (
              <tr key={row.arm.name}>
                <th scope="row">
                  {row.arm.name}
                  {at === 0 && <span className="tag">{words.control}</span>}
                </th>
                <td>{changeIn(language, words, row)}</td>
                <td>{percentIn(language, row.arm.share)}</td>
                <td>{numberIn(language, row.users)}</td>
                <td>{numberIn(language, row.slates)}</td>
                <Estimate interval={row.rate} write={(value) => percentIn(language, value)} />
                <Estimate interval={row.difference} write={(value) => pointsIn(language, value)} />
                <td>{pIn(language, row.p_value)}</td>
                <td>{verdictIn(words, row.difference)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </article>
  );
}

function Estimate({ interval, write }: { interval: Interval | null; write: (value: number) => string }) {
  if (!interval) return <td>–</td>;
  return (
    <td>
      {write(interval.value)}
      <small>
        {write(interval.low)} – {write(interval.high)}
      </small>
    </td>
  );
}

/** A difference of two shares, in percentage points, so that nobody takes it for a share of the control's. */
function pointsIn(language: Language, difference: number): string {
  return `${difference > 0 ? "+" : ""}${numberIn(language, 100 * difference, 1)}`;
}

function pIn(language: Language, value: number | null): string {
  if (value === null) return "–";
  return value < LEAST_P ? `< ${numberIn(language, LEAST_P, 4)}` : numberIn(language, value, 4);
}

function changeIn(language: Language, words: Words, { arm }: ArmFigures): string {
  const changes = [
    arm.diversity !== null && `${words.diversity} ${percentIn(language, arm.diversity)}`,
    arm.artifact !== null && `${words.artifact} ${arm.artifact}`,
  ];
  return changes.filter(Boolean).join(", ") || words.asAsked;
}

function verdictIn(words: Words, difference: Interval | null): string {
  if (!difference) return "–";
  if (difference.low > 0) return words.better;
  return difference.high < 0 ? words.worse : words.unclear;
}

import { useCallback, useEffect, useState } from "react";
import { api, Problem, type Health, type Ladder } from "../api";
import { useLoaded } from "../hooks";
import { useWords } from "../language";
import { Trouble } from "../notices";
import { numberIn, timeIn } from "../words";
import { DataQuality } from "./data";
import { Events } from "./events";
import { Experiments } from "./experiments";
import { Frontier } from "./frontier";
import { Latency } from "./latency";
import { Lanes } from "./lanes";
import { samplesOf, type Sample } from "./metrics";
import { Quality } from "./quality";
import { Versions } from "./versions";

const EVERY_MS = 2_000;
/** Two minutes. */
const LOOKS = 60;

/** What the server said of itself at one time. */
export interface Look {
  time: number;
  samples: Sample[];
  health: Health;
  ladder: Ladder;
}

/** For those who run the server. */
export function Operate() {
  const { words, language } = useWords();
  const { looks, error, again } = useLooks();
  const last = looks.at(-1);
  return (
    <div className="operate" id="list" tabIndex={-1}>
      <h1>{words.operate}</h1>
      {error !== null && <Trouble error={error} again={again} />}
      {last ? (
        <>
          <p className="hint">{words.updatedAt(timeIn(language, new Date(last.time)))}</p>
          <Status health={last.health} down={error !== null} />
          <div className="panels">
            <Latency looks={looks} />
            <Frontier ladder={last.ladder} />
            <Lanes look={last} />
            <Events look={last} />
            <Artifact artifact={last.health.artifact} />
            <Experiments look={last} />
          </div>
        </>
      ) : (
        error === null && <p role="status">{words.loading}…</p>
      )}
    </div>
  );
}

/** What the artifact says of itself, asked anew when another one answers. */
function Artifact({ artifact }: { artifact: string }) {
  const { words } = useWords();
  const about = useLoaded(artifact, api.about);
  return (
    <>
      <Versions artifact={artifact} />
      {about.error !== null && <Trouble error={about.error} again={about.again} />}
      {about.value ? (
        <>
          <Quality about={about.value} />
          <DataQuality about={about.value} />
        </>
      ) : (
        about.loading && <p role="status">{words.loading}…</p>
      )}
    </>
  );
}

function Status({ health, down }: { health: Health; down: boolean }) {
  const { words, language } = useWords();
  const state = down ? "down" : health.status;
  const figures: [string, string][] = [
    [words.artifact, health.artifact],
    [words.items, numberIn(language, health.items)],
    [words.users, numberIn(language, health.users)],
    [words.eventsStored, numberIn(language, health.offset)],
    [words.behind, numberIn(language, health.behind)],
  ];
  return (
    <section className="status" aria-label={words.status}>
      <p className={`state ${state}`}>{words[state]}</p>
      <dl>
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {health.trouble && (
        <p className="problem" role="alert">
          <b>{words.trouble}:</b> {health.trouble}
        </p>
      )}
    </section>
  );
}

/** Asks the server every other second while the page is seen. */
function useLooks(): { looks: Look[]; error: unknown; again: () => void } {
  const [looks, setLooks] = useState<Look[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((count) => count + 1), []);
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout>;
    const look = async () => {
      try {
        if (!document.hidden) {
          const [text, health, ladder] = await Promise.all([api.metrics(), api.health(), api.ladder()]);
          if (stopped) return;
          const seen = { time: Date.now(), samples: samplesOf(text), health, ladder };
          setLooks((before) => [...before.slice(1 - LOOKS), seen]);
          setError(null);
        }
      } catch (reason) {
        if (stopped) return;
        setError(reason);
        // With the wrong key nothing changes until somebody gives another one.
        if (reason instanceof Problem && (reason.status === 401 || reason.status === 403)) return;
      }
      timer = setTimeout(() => void look(), EVERY_MS);
    };
    void look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [round]);
  return { looks, error, again };
}

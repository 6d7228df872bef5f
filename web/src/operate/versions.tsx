import { useEffect, useRef, useState } from "react";
import { api, type Candidates } from "../api";
import { useLoaded } from "../hooks";
import { useWords } from "../language";
import { Trouble, useDetail, useTell } from "../notices";
import { timeIn } from "../words";
import { Confirm } from "./confirm";
import { Text } from "./text";

interface Change {
  folder: string;
  question: string;
  make: () => Promise<{ folder: string }>;
}

/** Which artifacts there are, which one answers, and how to change that. */
export function Versions({ artifact }: { artifact: string }) {
  const { words } = useWords();
  const tell = useTell();
  const detail = useDetail();
  const found = useLoaded(artifact, api.artifacts);
  const [asked, setAsked] = useState<Change | null>(null);
  const [problem, setProblem] = useState("");
  const changing = useRef("");
  useEffect(() => {
    if (changing.current) tell(words.changed(changing.current));
    changing.current = "";
  }, [artifact, tell, words]);
  const make = async (change: Change) => {
    setAsked(null);
    setProblem("");
    try {
      const { folder } = await change.make();
      changing.current = folder;
      tell(words.changing(folder));
      found.again();
    } catch (error) {
      setProblem(detail(error));
    }
  };
  return (
    <section className="panel">
      <h2>{words.artifacts}</h2>
      {found.error !== null && <Trouble error={found.error} again={found.again} />}
      {problem && (
        <p className="problem" role="alert">
          {words.refusedArtifact} {problem}
        </p>
      )}
      {found.value && <Choices candidates={found.value} artifact={artifact} ask={setAsked} />}
      {asked && (
        <Confirm
          question={asked.question}
          hint={words.confirmHint}
          yes={() => void make(asked)}
          no={() => setAsked(null)}
        />
      )}
    </section>
  );
}

interface ChoicesProps {
  candidates: Candidates;
  artifact: string;
  ask: (change: Change) => void;
}

function Choices({ candidates, artifact, ask }: ChoicesProps) {
  const { words, language } = useWords();
  const { artifacts, current, previous, linked } = candidates;
  return (
    <>
      <p className="hint">
        <Text text={linked ? words.artifactsHint : words.notLinked} />
      </p>
      <ul className="versions">
        {artifacts.map((one) => (
          <li key={one.folder}>
            <div>
              <b>{one.folder}</b> <code>{one.artifact}</code>
              <small>
                {one.recipe} · {words.madeOn(timeIn(language, one.created))}
              </small>
            </div>
            {one.folder === current ? (
              <span className="tag">{words.current}</span>
            ) : (
              linked && (
                <button
                  type="button"
                  className="plain"
                  aria-label={`${words.promote}: ${one.folder}`}
                  onClick={() =>
                    ask({
                      folder: one.folder,
                      question: words.confirmPromote(one.folder),
                      make: () => api.promote(one.folder),
                    })
                  }
                >
                  {words.promote}
                </button>
              )
            )}
          </li>
        ))}
      </ul>
      {linked && previous && (
        <button
          type="button"
          className="plain"
          onClick={() =>
            ask({
              folder: previous,
              question: words.confirmRollback(previous),
              make: () => api.rollback(artifact),
            })
          }
        >
          {words.rollbackTo(previous)}
        </button>
      )}
    </>
  );
}

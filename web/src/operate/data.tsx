import type { About } from "../api";
import { useWords } from "../language";
import { nameIn } from "../values";
import { numberIn } from "../words";
import { Known } from "./quality";

const CHIEF = ["rows_read", "rows_kept", "users", "items", "likes", "dislikes", "malformed", "duplicates", "rare"];

/** What reading and cleaning found, as it was written into the artifact. */
export function DataQuality({ about }: { about: About }) {
  const { words, language } = useWords();
  const { cleaning } = about;
  const rest = Object.fromEntries(Object.entries(cleaning).filter(([name]) => !CHIEF.includes(name)));
  return (
    <section className="panel wide">
      <h2>{words.dataQuality}</h2>
      {Object.keys(cleaning).length ? (
        <>
          <dl className="figures">
            {CHIEF.filter((name) => typeof cleaning[name] === "number").map((name) => (
              <div key={name}>
                <dt>{nameIn(name)}</dt>
                <dd>{numberIn(language, Number(cleaning[name]))}</dd>
              </div>
            ))}
          </dl>
          <Known values={rest} />
        </>
      ) : (
        <p>{words.dataNone}</p>
      )}
    </section>
  );
}

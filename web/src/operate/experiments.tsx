import { api } from "../api";
import { useLoaded } from "../hooks";
import { useWords } from "../language";
import { nameIn, valueIn } from "../values";

export function Experiments() {
  const { words, language } = useWords();
  const found = useLoaded("experiments", api.experiments);
  const running = found.value?.experiments ?? [];
  return (
    <section className="panel wide">
      <h2>{words.experiments}</h2>
      {running.length ? (
        running.map((experiment, at) => (
          <dl key={at} className="known">
            {Object.entries(experiment).map(([name, value]) => (
              <div key={name}>
                <dt>{nameIn(name)}</dt>
                <dd>{valueIn(language, words, name, value)}</dd>
              </div>
            ))}
          </dl>
        ))
      ) : (
        <p>{words.experimentsNone}</p>
      )}
    </section>
  );
}

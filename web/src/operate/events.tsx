import { api } from "../api";
import { useLoaded } from "../hooks";
import { useWords } from "../language";
import { hashOf } from "../route";
import { numberIn } from "../words";
import { countsBy, totalOf } from "./metrics";
import type { Look } from "./operate";

const FEW = 8;

/** What people do, and what is trending because of it. */
export function Events({ look }: { look: Look }) {
  const { words, language } = useWords();
  const counts = [...countsBy(look.samples, "twofold_events_total", "kind")].sort(([, a], [, b]) => b - a);
  const most = Math.max(...counts.map(([, count]) => count), 1);
  const trending = useLoaded(String(look.health.offset), (signal) =>
    api.ask({ path: "/trending", filters: {}, exclude: [], diversity: 0, show: [], k: FEW }, signal),
  );
  return (
    <>
      <section className="panel">
        <h2>{words.events}</h2>
        <p className="hint">{words.eventsHint}</p>
        {counts.length ? (
          <>
            <dl className="bars">
              {counts.map(([kind, count]) => (
                <div key={kind}>
                  <dt>{kind}</dt>
                  <dd>
                    <meter min={0} max={most} value={count} aria-hidden="true" />
                    {numberIn(language, count)}
                  </dd>
                </div>
              ))}
            </dl>
            <p>{words.attributed(numberIn(language, totalOf(look.samples, "twofold_attributed_events_total")))}</p>
          </>
        ) : (
          <p>{words.eventsNone}</p>
        )}
      </section>
      <section className="panel">
        <h2>{words.trendingNow}</h2>
        <ol className="ranking">
          {trending.value?.slate.picks.map((pick) => (
            <li key={String(pick.item)}>
              <a href={hashOf({ view: "similar", item: String(pick.item), text: pick.title })}>{pick.title}</a>
            </li>
          ))}
        </ol>
      </section>
    </>
  );
}

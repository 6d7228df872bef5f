import { useEffect, useRef } from "react";
import { api, type Explanation, type Feeling, type Id, type Item, type Pick } from "../api";
import { Cover } from "../cover";
import { useLoaded } from "../hooks";
import { Icon } from "../icons";
import { useWords } from "../language";
import { Trouble } from "../notices";
import { hashOf } from "../route";
import { categoriesOf, columnIn, valueIn } from "../values";
import { numberIn, reasonIn } from "../words";
import { FEELINGS } from "./card";

const FEW = 6;

interface Props {
  pick: Pick;
  categories: string[];
  question: { text?: string; user?: string; items?: Id[] };
  feel: (feeling: Feeling) => void;
  close: () => void;
}

/** All about one item: what is known of it, why it came, and what is like it. */
export function Details({ pick, categories, question, feel, close }: Props) {
  const { words, language } = useWords();
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  const found = useLoaded(String(pick.item), async () => {
    const [item, why, similar] = await Promise.all([
      api.item(pick.item),
      api.explain({ item: pick.item, ...question }),
      api.ask({ path: "/similar", items: [pick.item], filters: {}, exclude: [], diversity: 0, show: categories.length ? ["categories"] : [], k: FEW }),
    ]);
    return { item, why, similar: similar.slate.picks, similarAttributes: similar.slate.attributes };
  });
  const about = found.value;
  return (
    <dialog ref={box} aria-labelledby="details" onClose={close} onClick={(event) => event.target === box.current && box.current.close()}>
      <div className="details">
        <button type="button" className="bare close" aria-label={words.close} onClick={() => box.current?.close()}>
          <Icon name="close" />
        </button>
        <Cover
          id={String(pick.item)}
          title={pick.title}
          categories={categories}
        />
        <h2 id="details">{pick.title}</h2>
        <div className="actions wide">
          {FEELINGS.map((kind) => (
            <button
              key={kind}
              type="button"
              className={kind}
              onClick={() => {
                feel(kind);
                box.current?.close();
              }}
            >
              <Icon name={kind} /> {words[kind]}
            </button>
          ))}
        </div>
        {found.error !== null && <Trouble error={found.error} again={found.again} />}
        {about ? (
          <>
            <Why why={about.why} reason={reasonIn(language, pick.reason).text} />
            <Known item={about.item} />
            {about.similar.length > 0 && (
              <section>
                <h3>{words.similarItems}</h3>
                <ul className="similar">
                  {about.similar.map((one, at) => (
                    <li key={String(one.item)}>
                      <a href={hashOf({ view: "similar", item: String(one.item), text: one.title })} onClick={() => box.current?.close()}>
                        <Cover id={String(one.item)} title={one.title} categories={categoriesOf(about.similarAttributes[at])} />
                        <span>{one.title}</span>
                      </a>
                    </li>
                  ))}
                </ul>
              </section>
            )}
          </>
        ) : (
          found.loading && <p role="status">{words.loading}…</p>
        )}
      </div>
    </dialog>
  );
}

function Why({ why, reason }: { why: Explanation; reason: string }) {
  const { words, language } = useWords();
  const loudest = Math.max(...why.because.map((voice) => Math.abs(voice.amount)), 0);
  const best = new Map<string, { title: string; amount: number; share: number }>();
  for (const voice of why.because) {
    const most = Math.max(...why.because.filter((one) => one.retriever === voice.retriever).map((one) => Math.abs(one.amount)));
    const share = Math.abs(voice.amount) / (most || 1);
    const key = String(voice.item);
    // Retrievers speak in units of their own; an event shows where it counts most.
    if ((best.get(key)?.share ?? 0) < share) best.set(key, { title: voice.title, amount: voice.amount, share });
  }
  const voices = [...best.values()].sort((a, b) => b.share - a.share).slice(0, FEW);
  const scores = Object.entries(why.scores);
  return (
    <section>
      <h3>{words.why}</h3>
      <p className="reason">{reason}</p>
      {loudest > 0 && (
        <>
          <p className="hint">{words.whyVoices}</p>
          <ul className="voices">
            {voices.map(({ title, amount, share }) => (
              <li key={title} className={amount < 0 ? "against" : ""}>
                <span>
                  {title}
                  {amount < 0 && <small> ({words.against})</small>}
                </span>
                <meter min={0} max={1} value={share} aria-hidden="true" />
              </li>
            ))}
          </ul>
        </>
      )}
      {!scores.length && <p className="hint">{words.whyNothing}</p>}
      {scores.length > 0 && (
        <details>
          <summary>{words.whyWords}</summary>
          <dl className="known">
            {scores.map(([name, score]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{numberIn(language, score, 3)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </section>
  );
}

function Known({ item }: { item: Item }) {
  const { words, language } = useWords();
  const rows = Object.entries(item.attributes)
    .filter(([name]) => name !== "title")
    .map(([name, value]) => ({ name, text: valueIn(language, words, name, value) }))
    .filter(({ text }) => text);
  return (
    <section>
      <h3>{words.about}</h3>
      <dl className="known">
        {rows.map(({ name, text }) => (
          <div key={name}>
            <dt>{columnIn(language, name)}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

import type { Attributes, Feeling, Pick } from "../api";
import { Cover } from "../cover";
import { Icon } from "../icons";
import { useWords } from "../language";
import { sameText, Snippet, Title } from "../marked";
import { hashOf } from "../route";
import { categoriesOf, valueIn } from "../values";
import { reasonIn } from "../words";

export const FEELINGS: Feeling[] = ["like", "dislike", "dismiss"];

interface Props {
  pick: Pick;
  attributes: Attributes | undefined;
  feeling: Feeling | undefined;
  fresh: boolean;
  hits: Set<string>;
  open: () => void;
  feel: (feeling: Feeling) => void;
}

export function Card({ pick, attributes, feeling, fresh, hits, open, feel }: Props) {
  const { words, language } = useWords();
  const categories = categoriesOf(attributes);
  const reason = reasonIn(language, pick.reason);
  const more = Object.entries(attributes ?? {})
    .filter(([name]) => name !== "categories")
    .map(([name, value]) => valueIn(language, words, name, value))
    .filter(Boolean);
  const facts = [...more, ...categories.slice(0, 3)];
  return (
    <article className={`card ${feeling ?? ""}`}>
      <div className="picture">
        <Cover id={String(pick.item)} title={pick.title} categories={categories} />
        {fresh && <span className="badge">{words.fresh}</span>}
      </div>
      <div className="text">
        <h3>
          <button type="button" className="title" aria-haspopup="dialog" onClick={open}>
            <Title title={pick.title} hits={hits} />
          </button>
        </h3>
        {facts.length > 0 && <p className="facts">{facts.join(" · ")}</p>}
        {pick.snippet && !sameText(pick.snippet, pick.title) && (
          <p className="snippet">
            <Snippet snippet={pick.snippet} />
          </p>
        )}
        <p className="reason">
          <Icon name={reason.cause} />
          <span>{reason.text}</span>
        </p>
      </div>
      <div className="actions">
        {FEELINGS.map((kind) => (
          <button
            key={kind}
            type="button"
            className={kind}
            aria-label={`${words[kind]}: ${pick.title}`}
            aria-pressed={feeling === kind}
            title={words[kind]}
            onClick={() => feel(kind)}
          >
            <Icon name={kind} />
          </button>
        ))}
        <a
          href={hashOf({ view: "similar", item: String(pick.item), text: pick.title })}
          aria-label={`${words.more}: ${pick.title}`}
          title={words.more}
        >
          <Icon name="more" />
          <span aria-hidden="true">{words.more}</span>
        </a>
      </div>
    </article>
  );
}

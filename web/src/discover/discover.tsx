import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, type Feeling, type Filters, type Pick, type Question, type Served } from "../api";
import { useKept, useLoaded, useSettled } from "../hooks";
import { useWords } from "../language";
import { Trouble, useDetail, useTell } from "../notices";
import { go, hashOf, type Route } from "../route";
import { categoriesOf, shownColumns } from "../values";
import { shortfallIn, type Words } from "../words";
import { Details } from "./details";
import { Dial } from "./dial";
import { Chips, Facets } from "./facets";
import { List, Waiting } from "./list";
import { newVisitor, Person } from "./person";
import { Search } from "./search";

const PAGE = 24;
const MOST = 96;
const DIAL_PAUSE_MS = 200;

const PATHS: Record<string, Question["path"]> = {
  search: "/search",
  similar: "/similar",
  trending: "/trending",
};

interface Felt {
  feelings: ReadonlyMap<string, Feeling>;
  /** What is not to come again in lists that may repeat what somebody knows. */
  hidden: string[];
  version: number;
}

const NOTHING: Felt = { feelings: new Map(), hidden: [], version: 0 };

export function Discover({ route }: { route: Route }) {
  const { words, language } = useWords();
  const tell = useTell();
  const detail = useDetail();
  const [user, setUser] = useKept("twofold.user", newVisitor);
  const [diversity, setDiversity] = useState(0);
  const [felt, setFelt] = useState(NOTHING);
  const [opened, setOpened] = useState<{ pick: Pick; categories: string[] } | null>(null);
  const catalogue = useLoaded("catalogue", api.catalogue);
  const wanted = useMemo(() => shownColumns(catalogue.value), [catalogue.value]);

  const context = JSON.stringify([route.view, route.text, route.item, user]);
  const [size, setSize] = useState({ context, k: PAGE });
  const k = size.context === context ? size.k : PAGE;
  const question: Question = {
    path: PATHS[route.view] ?? "/recommend",
    ...(route.view === "search" ? { text: route.text } : {}),
    ...(route.view === "similar" ? { items: [route.item] } : {}),
    ...(route.view === "trending" ? {} : { user }),
    filters: route.filters,
    exclude: felt.hidden,
    diversity: useSettled(diversity, DIAL_PAUSE_MS),
    show: wanted,
    k,
  };
  const settled = catalogue.value !== null || catalogue.error !== null;
  const found = useLoaded(JSON.stringify([context, question, felt.version, settled]), async (signal) =>
    settled ? { context, served: await api.ask(question, signal) } : null,
  );
  const current = found.value?.context === context ? found.value.served : null;
  const heading = headingOf(words, route, current);
  const fresh = useFresh(current, context, heading);

  const changePerson = useCallback(
    (chosen: string) => {
      setUser(chosen);
      setFelt(NOTHING);
      if (route.view !== "for-you") go({ view: "for-you" });
    },
    [route.view, setUser],
  );
  const changeFilters = useCallback((filters: Filters) => go({ ...route, filters }), [route]);
  const search = useCallback(
    (text: string) => go(text ? { view: "search", text, filters: route.filters } : { view: "for-you" }),
    [route.filters],
  );

  const feel = async (pick: Pick, feeling: Feeling) => {
    const id = String(pick.item);
    const before = felt.feelings.get(id);
    if (!current || before === feeling) return;
    const said = { like: words.liked, dislike: words.disliked, dismiss: words.dismissed }[feeling];
    const mark = (kind: Feeling | undefined) => (old: Felt) => {
      const feelings = new Map(old.feelings);
      if (kind) feelings.set(id, kind);
      else feelings.delete(id);
      return { ...old, feelings };
    };
    // Seen at once; the list follows when the server has stored it.
    setFelt(mark(feeling));
    tell(said(pick.title));
    try {
      await api.record({ kind: feeling, item: pick.item, user, slate: current.slate.id });
      setFelt((old) => ({
        ...old,
        hidden: feeling === "like" ? old.hidden.filter((one) => one !== id) : [...new Set([...old.hidden, id])],
        version: old.version + 1,
      }));
    } catch (error) {
      setFelt(mark(before));
      tell(detail(error));
    }
  };
  const open = (pick: Pick) => {
    if (!current) return;
    setOpened({ pick, categories: categoriesOf(current.slate.attributes[current.slate.picks.indexOf(pick)]) });
    // That somebody looked is worth telling, and no reason to disturb them where it cannot be told.
    api.record({ kind: "click", item: pick.item, user, slate: current.slate.id }).catch(() => undefined);
  };
  const close = () => {
    setOpened(null);
    setFelt((old) => ({ ...old, version: old.version + 1 }));
  };

  return (
    <div className="discover">
      <div className="ask">
        <Search text={route.view === "search" ? route.text : ""} search={search} />
        <Person user={user} change={changePerson} />
      </div>
      <div className="columns">
        <aside aria-label={words.filters}>
          <Dial value={diversity} change={setDiversity} />
          <Facets
            text={route.view === "search" ? route.text : undefined}
            filters={route.filters}
            change={changeFilters}
            version={felt.version}
          />
        </aside>
        <section className="results" id="list" tabIndex={-1} aria-labelledby="heading">
          <nav className="tabs" aria-label={words.lists}>
            {(["for-you", "trending"] as const).map((view) => (
              <a
                key={view}
                href={hashOf({ view, filters: route.filters })}
                {...(route.view === view ? { "aria-current": "page" } : {})}
              >
                {view === "for-you" ? words.forYou : words.trending}
              </a>
            ))}
          </nav>
          <h1 id="heading">{heading}</h1>
          {route.view === "for-you" && current && isPopular(current) && <p className="hint">{words.startHint}</p>}
          <Chips filters={route.filters} change={changeFilters} />
          {found.error !== null ? (
            <Trouble error={found.error} again={() => [catalogue.again(), found.again()]} />
          ) : current ? (
            <Results
              served={current}
              felt={felt}
              fresh={fresh}
              busy={found.loading}
              more={current.slate.picks.length === k && k < MOST ? () => setSize({ context, k: k + PAGE }) : null}
              shortfall={current.slate.shortfall && shortfallIn(language, current.slate.shortfall)}
              open={open}
              feel={feel}
            />
          ) : (
            <Waiting />
          )}
        </section>
      </div>
      {opened && (
        <Details
          {...opened}
          question={{
            ...(question.text === undefined ? {} : { text: question.text }),
            ...(question.user === undefined ? {} : { user: question.user }),
            ...(question.items === undefined ? {} : { items: question.items }),
          }}
          feel={(feeling) => void feel(opened.pick, feeling)}
          close={close}
        />
      )}
    </div>
  );
}

interface ResultsProps {
  served: Served;
  felt: Felt;
  fresh: ReadonlySet<string>;
  busy: boolean;
  more: (() => void) | null;
  shortfall: string | null;
  open: (pick: Pick) => void;
  feel: (pick: Pick, feeling: Feeling) => void;
}

function Results({ served, felt, fresh, busy, more, shortfall, open, feel }: ResultsProps) {
  const { words } = useWords();
  if (!served.slate.picks.length) {
    return (
      <div className="notice">
        <h2>{words.nothing}</h2>
        {shortfall && <p>{shortfall}</p>}
        <p className="hint">{words.nothingHint}</p>
      </div>
    );
  }
  return (
    <>
      <List served={served} feelings={felt.feelings} fresh={fresh} busy={busy} open={open} feel={feel} />
      {more && (
        <button type="button" className="plain more" onClick={more}>
          {words.showMore}
        </button>
      )}
      {shortfall && <p className="hint">{shortfall}</p>}
    </>
  );
}

function isPopular(served: Served): boolean {
  return served.slate.picks.length > 0 && served.slate.picks.every((pick) => pick.reason === "popular now");
}

function headingOf(words: Words, route: Route, served: Served | null): string {
  if (route.view === "search") return words.resultsFor(route.text);
  if (route.view === "similar") return words.similarTo(route.text || route.item);
  if (route.view === "trending") return words.trending;
  return served && isPopular(served) ? words.popularNow : words.forYou;
}

/** Which items a list has that the one before it, of the same kind, had not; tells of it, and keeps the focus there. */
function useFresh(served: Served | null, context: string, heading: string): ReadonlySet<string> {
  const { words } = useWords();
  const tell = useTell();
  const before = useRef<{ context: string; slate: string; items: string[] } | null>(null);
  const focused = useRef(-1);
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    const note = (event: FocusEvent) => {
      const card = (event.target as HTMLElement).closest?.("[data-item]");
      focused.current = card?.parentElement ? [...card.parentElement.children].indexOf(card) : -1;
    };
    addEventListener("focusin", note);
    return () => removeEventListener("focusin", note);
  }, []);
  useEffect(() => {
    if (!served || served.slate.id === before.current?.slate) return;
    const items = served.slate.picks.map((pick) => String(pick.item));
    const last = before.current;
    before.current = { context, slate: served.slate.id, items };
    if (last?.context !== context) {
      setFresh(new Set());
      tell(words.shownNow(heading, items.length), true);
      return;
    }
    const come = items.filter((item) => !last.items.includes(item));
    // With more of the same list, nothing has changed.
    const longer = last.items.every((item, at) => items[at] === item);
    setFresh(new Set(longer ? [] : come));
    if (!longer) tell(words.updated(come.length, items.length));
    const lost = document.activeElement === document.body && focused.current >= 0;
    const cards = document.querySelectorAll<HTMLElement>("[data-item] .title");
    if (lost) cards[Math.min(focused.current, cards.length - 1)]?.focus({ preventScroll: true });
  }, [served, context, heading, words, tell]);
  return fresh;
}

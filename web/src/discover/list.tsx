import { useLayoutEffect, useMemo, useRef } from "react";
import type { Feeling, Pick, Served } from "../api";
import { useWords } from "../language";
import { hitsOf } from "../marked";
import { Card } from "./card";

const MOVE_MS = 420;

interface Props {
  served: Served;
  feelings: ReadonlyMap<string, Feeling>;
  fresh: ReadonlySet<string>;
  busy: boolean;
  open: (pick: Pick) => void;
  feel: (pick: Pick, feeling: Feeling) => void;
}

export function List({ served, feelings, fresh, busy, open, feel }: Props) {
  const { picks, attributes } = served.slate;
  const list = useMoving(served.slate.id);
  const hits = useMemo(() => hitsOf(picks.map((pick) => pick.snippet)), [picks]);
  return (
    <ol className="list" ref={list} aria-busy={busy}>
      {picks.map((pick, at) => {
        const id = String(pick.item);
        return (
          <li key={id} data-item={id}>
            <Card
              pick={pick}
              attributes={attributes[at]}
              feeling={feelings.get(id)}
              fresh={fresh.has(id)}
              hits={hits}
              open={() => open(pick)}
              feel={(feeling) => feel(pick, feeling)}
            />
          </li>
        );
      })}
    </ol>
  );
}

/** Lets cards glide to their new places, and new ones fade in, so that a change of the list is seen. */
function useMoving(slate: string) {
  const list = useRef<HTMLOListElement>(null);
  const places = useRef(new Map<string, DOMRect>());
  useLayoutEffect(() => {
    const before = places.current;
    const now = new Map<string, DOMRect>();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (const card of list.current?.children ?? []) {
      const id = (card as HTMLElement).dataset["item"] ?? "";
      const place = card.getBoundingClientRect();
      now.set(id, place);
      if (still || !before.size) continue;
      const was = before.get(id);
      const from = was
        ? { transform: `translate(${was.left - place.left}px, ${was.top - place.top}px)` }
        : { opacity: 0, transform: "scale(0.92)" };
      card.animate([from, { opacity: 1, transform: "none" }], { duration: MOVE_MS, easing: "cubic-bezier(.2,.8,.2,1)" });
    }
    places.current = now;
  }, [slate]);
  return list;
}

export function Waiting() {
  const { words } = useWords();
  return (
    <div className="list" role="status" aria-label={words.loading}>
      {Array.from({ length: 8 }, (_, at) => (
        <div key={at} className="card waiting" />
      ))}
    </div>
  );
}

import { useEffect, useId, useState } from "react";
import { api, type Facet, type Filters, type Plain, type Range } from "../api";
import { useLoaded } from "../hooks";
import { Icon } from "../icons";
import { useWords } from "../language";
import { columnIn, isLabel, valueIn } from "../values";
import { numberIn } from "../words";

const FEW = 6;

interface Props {
  text: string | undefined;
  filters: Filters;
  change: (filters: Filters) => void;
  version: number;
}

/** Filters that say beforehand how many items each would leave. */
export function Facets({ text, filters, change, version }: Props) {
  const { words, language } = useWords();
  const found = useLoaded(JSON.stringify([text, filters, version]), (signal) => api.facets(text, filters, signal));
  const set = (column: string, wanted: Plain[] | Range) => {
    const { [column]: _, ...rest } = filters;
    const empty = Array.isArray(wanted) ? !wanted.length : wanted.min === undefined && wanted.max === undefined;
    change(empty ? rest : { ...rest, [column]: wanted });
  };
  const facets = found.value?.facets ?? [];
  if (found.error || (found.value && !facets.length)) return null;
  const count = Object.keys(filters).length;
  const matches = found.value ? numberIn(language, found.value.matches) : "…";
  return (
    <details className="facets" open={matchMedia("(min-width: 60rem)").matches}>
      <summary>
        <Icon name="filter" />
        <span>{words.filtersOf(count)}</span>
        <small>{text === undefined ? words.matches(matches) : words.hits(matches)}</small>
      </summary>
      {facets.map((facet) =>
        facet.low !== null && facet.high !== null ? (
          <Between
            key={facet.column}
            facet={facet}
            chosen={asRange(filters[facet.column])}
            set={(range) => set(facet.column, range)}
          />
        ) : (
          <AnyOf
            key={facet.column}
            facet={facet}
            chosen={asList(filters[facet.column])}
            set={(values) => set(facet.column, values)}
          />
        ),
      )}
    </details>
  );
}

function AnyOf({ facet, chosen, set }: { facet: Facet; chosen: Plain[]; set: (values: Plain[]) => void }) {
  const { words, language } = useWords();
  const [all, setAll] = useState(false);
  const lost = chosen.filter((value) => !facet.values.some((one) => one.value === value));
  const values = [...lost.map((value) => ({ value, count: 0 })), ...facet.values];
  return (
    <fieldset>
      <legend>{columnIn(language, facet.column)}</legend>
      {(all ? values : values.slice(0, Math.max(FEW, lost.length))).map(({ value, count }) => (
        <label key={String(value)} className="choice">
          <input
            type="checkbox"
            checked={chosen.includes(value)}
            onChange={(event) =>
              set(event.target.checked ? [...chosen, value] : chosen.filter((one) => one !== value))
            }
          />
          <span>{valueIn(language, words, facet.column, value)}</span>
          <small>{numberIn(language, count)}</small>
        </label>
      ))}
      {values.length > FEW && (
        <button type="button" className="link" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? words.showLess : words.showMore}
        </button>
      )}
    </fieldset>
  );
}

function Between({ facet, chosen, set }: { facet: Facet; chosen: Range; set: (range: Range) => void }) {
  const { words, language } = useWords();
  const told = (value: number | null) =>
    value === null ? "" : isLabel(facet.column) ? String(value) : numberIn(language, value, 2);
  return (
    <fieldset>
      <legend>{columnIn(language, facet.column)}</legend>
      <div className="range">
        <End label={words.from} hint={told(facet.low)} value={chosen.min} set={(min) => set(ends(min, chosen.max))} />
        <End label={words.to} hint={told(facet.high)} value={chosen.max} set={(max) => set(ends(chosen.min, max))} />
      </div>
    </fieldset>
  );
}

interface EndProps {
  label: string;
  hint: string;
  value: number | undefined;
  set: (value: number | undefined) => void;
}

/** One end of a range; it counts when the field is left or Enter is pressed, not at each digit. */
function End({ label, hint, value, set }: EndProps) {
  const id = useId();
  const [typed, setTyped] = useState("");
  useEffect(() => setTyped(value === undefined ? "" : String(value)), [value]);
  const use = () => {
    const number = Number(typed.replace(",", "."));
    const wanted = typed.trim() === "" || !Number.isFinite(number) ? undefined : number;
    if (wanted !== value) set(wanted);
    else setTyped(value === undefined ? "" : String(value));
  };
  return (
    <label htmlFor={id}>
      {label}
      <input
        id={id}
        type="text"
        inputMode="decimal"
        placeholder={hint}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={use}
        onKeyDown={(event) => event.key === "Enter" && use()}
      />
    </label>
  );
}

/** The filters in use, each to be taken off. */
export function Chips({ filters, change }: { filters: Filters; change: (filters: Filters) => void }) {
  const { words, language } = useWords();
  const names = Object.keys(filters);
  if (!names.length) return null;
  const told = (name: string) => {
    const wanted = filters[name];
    if (!wanted || Array.isArray(wanted)) return `${columnIn(language, name)}: ${valueIn(language, words, name, wanted)}`;
    return `${columnIn(language, name)}: ${wanted.min ?? ""} – ${wanted.max ?? ""}`;
  };
  return (
    <ul className="chips">
      {names.map((name) => (
        <li key={name}>
          <button
            type="button"
            aria-label={words.removeFilter(told(name))}
            onClick={() => {
              const { [name]: _, ...rest } = filters;
              change(rest);
            }}
          >
            {told(name)} <Icon name="close" />
          </button>
        </li>
      ))}
      {names.length > 1 && (
        <li>
          <button type="button" className="link" onClick={() => change({})}>
            {words.clearFilters}
          </button>
        </li>
      )}
    </ul>
  );
}

function ends(min: number | undefined, max: number | undefined): Range {
  return { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}

function asList(wanted: Plain[] | Range | undefined): Plain[] {
  return Array.isArray(wanted) ? wanted : [];
}

function asRange(wanted: Plain[] | Range | undefined): Range {
  return wanted && !Array.isArray(wanted) ? wanted : {};
}

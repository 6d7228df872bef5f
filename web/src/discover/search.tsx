import { useEffect, useId, useRef, useState, type FormEvent, type KeyboardEvent } from "react";
import { api } from "../api";
import { Icon } from "../icons";
import { useWords } from "../language";

/** As fast as people see, and slow enough that a word typed at once is one question. */
const PAUSE_MS = 120;

interface Props {
  text: string;
  search: (text: string) => void;
}

/** A search box with suggestions: the combobox pattern of the ARIA authoring practices. */
export function Search({ text, search }: Props) {
  const { words } = useWords();
  const [typed, setTyped] = useState(text);
  const [titles, setTitles] = useState<string[]>([]);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const asking = useRef<{ timer?: ReturnType<typeof setTimeout>; stopper?: AbortController }>({});
  const list = useId();

  const stop = () => {
    clearTimeout(asking.current.timer);
    asking.current.stopper?.abort();
  };
  const close = () => {
    stop();
    setOpen(false);
    setActive(-1);
  };
  useEffect(() => setTyped(text), [text]);
  useEffect(() => stop, []);
  useEffect(() => {
    const focus = (event: globalThis.KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);

  const type = (value: string) => {
    setTyped(value);
    setActive(-1);
    // The question before is given up, so that its answer cannot come after that of this one.
    stop();
    if (!value.trim()) {
      setOpen(false);
      return;
    }
    asking.current.timer = setTimeout(() => {
      const stopper = new AbortController();
      asking.current.stopper = stopper;
      api.suggest(value, stopper.signal).then(
        (found) => {
          if (stopper.signal.aborted) return;
          setTitles(found.titles);
          setOpen(true);
        },
        // The search itself says what is wrong; suggestions only stay away.
        () => undefined,
      );
    }, PAUSE_MS);
  };
  const choose = (value: string) => {
    setTyped(value);
    close();
    search(value.trim());
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    choose(active >= 0 ? (titles[active] ?? typed) : typed);
  };
  const press = (event: KeyboardEvent) => {
    const count = titles.length;
    if (event.key === "Escape") {
      if (open) close();
      else if (typed) setTyped("");
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count) {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      // One place more than there are titles: what was typed.
      setActive(((active + 1 + step + count + 1) % (count + 1)) - 1);
    } else if (event.key === "Tab") close();
  };
  const shown = open && titles.length > 0;
  return (
    <form className="search" role="search" onSubmit={submit}>
      <input
        ref={input}
        type="text"
        role="combobox"
        inputMode="search"
        enterKeyHint="search"
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        maxLength={1000}
        aria-label={words.searchPlaceholder}
        aria-description={words.searchHint}
        aria-autocomplete="list"
        aria-expanded={shown}
        aria-controls={list}
        {...(shown && active >= 0 ? { "aria-activedescendant": `${list}-${active}` } : {})}
        placeholder={words.searchPlaceholder}
        value={typed}
        onChange={(event) => type(event.target.value)}
        onKeyDown={press}
        onBlur={close}
      />
      {typed && (
        <button
          type="button"
          className="bare"
          aria-label={words.clear}
          onClick={() => {
            choose("");
            input.current?.focus();
          }}
        >
          <Icon name="close" />
        </button>
      )}
      <button type="submit" className="strong">
        <Icon name="search" />
        <span>{words.search}</span>
      </button>
      <ul id={list} role="listbox" aria-label={words.suggestions} hidden={!shown}>
        {titles.map((title, at) => (
          <li
            key={title}
            id={`${list}-${at}`}
            role="option"
            aria-selected={at === active}
            // The box keeps the focus, or its blur would take the list away before the click arrives.
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => choose(title)}
          >
            <Completed title={title} typed={typed} />
          </li>
        ))}
      </ul>
      <span className="unseen" role="status">
        {open ? words.suggested(titles.length) : ""}
      </span>
    </form>
  );
}

/** A suggestion; what was typed of it is light, so that the rest catches the eye. */
function Completed({ title, typed }: { title: string; typed: string }) {
  const at = title.toLowerCase().indexOf(typed.trim().toLowerCase());
  if (at < 0) return <b>{title}</b>;
  const end = at + typed.trim().length;
  return (
    <>
      <b>{title.slice(0, at)}</b>
      {title.slice(at, end)}
      <b>{title.slice(end)}</b>
    </>
  );
}

import { createContext, useCallback, useContext, useEffect, useMemo, useState, type FormEvent, type ReactNode } from "react";
import { keepKey, keyInUse, Problem } from "./api";
import { Icon } from "./icons";
import { useWords } from "./language";

/** Long enough to read a sentence; what was said stays in the live region for screen readers meanwhile. */
const SHOWN_MS = 6_000;

/** Quiet words are for screen readers alone: what they say is seen anyway. */
type Tell = (text: string, quiet?: boolean) => void;

const Context = createContext<Tell>(() => undefined);

/** What has changed is told in one live region, which is also seen for a while. */
export function Telling({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState({ text: "", quiet: true });
  const tell = useCallback((text: string, quiet = false) => setSaid({ text, quiet }), []);
  useEffect(() => {
    const timer = setTimeout(() => setSaid({ text: "", quiet: true }), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <Context value={tell}>
      {children}
      <div className={said.quiet ? "told" : "told shown"} role="status" aria-live="polite">
        {said.text}
      </div>
    </Context>
  );
}

export function useTell(): Tell {
  return useContext(Context);
}

/** An error in words: what the server says of it, else what is known here. */
export function useDetail(): (error: unknown) => string {
  const { words } = useWords();
  return useCallback(
    (error: unknown) => {
      if (!(error instanceof Problem)) return String(error);
      if (error.message) return error.message.charAt(0).toUpperCase() + error.message.slice(1);
      return error.status === 0 ? words.unreachable : words.noDetail(error.status);
    },
    [words],
  );
}

export function Trouble({ error, again }: { error: unknown; again: () => void }) {
  const { words } = useWords();
  const detail = useDetail();
  const [changing, setChanging] = useState(false);
  const status = error instanceof Problem ? error.status : -1;
  const done = useMemo(
    () => () => {
      setChanging(false);
      again();
    },
    [again],
  );
  if (status === 401 || changing) return <AskKey detail={keyInUse() ? detail(error) : ""} done={done} />;
  return (
    <div className="notice" role="alert">
      <h2>{words.failed}</h2>
      <p>{detail(error)}</p>
      <div className="row">
        <button type="button" className="plain" onClick={again}>
          {words.again}
        </button>
        {status === 403 && keyInUse() && (
          <button type="button" className="plain" onClick={() => setChanging(true)}>
            {words.keyChange}
          </button>
        )}
      </div>
    </div>
  );
}

function AskKey({ detail, done }: { detail: string; done: () => void }) {
  const { words } = useWords();
  const [key, setKey] = useState("");
  const use = (event: FormEvent) => {
    event.preventDefault();
    keepKey(key.trim());
    done();
  };
  return (
    <form className="notice" onSubmit={use}>
      <h2>
        <Icon name="key" /> {words.keyTitle}
      </h2>
      {detail && <p role="alert">{detail}</p>}
      <label htmlFor="key">{words.keyLabel}</label>
      <div className="row">
        <input
          id="key"
          type="password"
          autoComplete="off"
          required
          value={key}
          aria-describedby="key-hint"
          onChange={(event) => setKey(event.target.value)}
        />
        <button type="submit" className="strong">
          {words.keyUse}
        </button>
      </div>
      <p id="key-hint" className="hint">
        {words.keyHint}
      </p>
    </form>
  );
}

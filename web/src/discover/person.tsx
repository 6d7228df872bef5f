import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { api } from "../api";
import { useLoaded, useSettled } from "../hooks";
import { Icon } from "../icons";
import { useWords } from "../language";

const PAUSE_MS = 150;
const VISITOR = "visitor-";

export function newVisitor(): string {
  return VISITOR + Math.random().toString(36).slice(2, 8).padEnd(6, "0");
}

/** Who asks: anybody, known or new. */
export function Person({ user, change }: { user: string; change: (user: string) => void }) {
  const { words } = useWords();
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return undefined;
    const leave = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key === "Escape" : !box.current?.contains(event.target as Node)) {
        setOpen(false);
        if (event instanceof KeyboardEvent) button.current?.focus();
      }
    };
    addEventListener("keydown", leave);
    addEventListener("pointerdown", leave);
    return () => {
      removeEventListener("keydown", leave);
      removeEventListener("pointerdown", leave);
    };
  }, [open]);
  const use = (chosen: string) => {
    change(chosen);
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div className="person" ref={box}>
      <button ref={button} type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="person" />
        <span>{words.personNow(user.startsWith(VISITOR) ? words.visitor : user)}</span>
      </button>
      {open && <Choose use={use} />}
    </div>
  );
}

function Choose({ use }: { use: (user: string) => void }) {
  const { words } = useWords();
  const id = useId();
  const [typed, setTyped] = useState("");
  const text = useSettled(typed, PAUSE_MS);
  const known = useLoaded(text, (signal) => api.users(text, signal));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (typed.trim()) use(typed.trim());
  };
  // Only an administrator's key may list users; everybody may type an id.
  const users = known.error ? [] : (known.value?.users ?? []);
  return (
    <form className="choose" onSubmit={submit} aria-label={words.person}>
      <label htmlFor={id}>{words.personId}</label>
      <div className="row">
        <input
          id={id}
          autoFocus
          autoComplete="off"
          maxLength={200}
          value={typed}
          aria-describedby={`${id}-hint`}
          onChange={(event) => setTyped(event.target.value)}
        />
        <button type="submit" className="strong">
          {words.usePerson}
        </button>
      </div>
      <p id={`${id}-hint`} className="hint">
        {words.personHint}
      </p>
      {users.length > 0 && (
        <div className="known-users" role="group" aria-label={words.knownUsers}>
          {users.map((user) => (
            <button key={String(user)} type="button" className="chip" onClick={() => use(String(user))}>
              {user}
            </button>
          ))}
        </div>
      )}
      <button type="button" className="plain" onClick={() => use(newVisitor())}>
        {words.newVisitor}
      </button>
    </form>
  );
}

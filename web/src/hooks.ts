import { useCallback, useEffect, useRef, useState } from "react";

export interface Loaded<T> {
  value: T | null;
  error: unknown;
  loading: boolean;
  again: () => void;
}

/**
 * What an asynchronous call gives; asked anew when `key` changes. The value before stays until the next one is there,
 * and an answer that comes after a later question is dropped.
 */
export function useLoaded<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ value: T | null; error: unknown; loading: boolean }>({
    value: null,
    error: null,
    loading: true,
  });
  const [tries, setTries] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const stopper = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    latest.current(stopper.signal).then(
      (value) => {
        if (!stopper.signal.aborted) setState({ value, error: null, loading: false });
      },
      (error: unknown) => {
        if (!stopper.signal.aborted) setState((before) => ({ ...before, error, loading: false }));
      },
    );
    return () => stopper.abort();
  }, [key, tries]);
  const again = useCallback(() => setTries((count) => count + 1), []);
  return { ...state, again };
}

/** Like `useState`, and kept in this browser. */
export function useKept(name: string, first: () => string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => localStorage.getItem(name) ?? first());
  useEffect(() => localStorage.setItem(name, value), [name, value]);
  return [value, setValue];
}

/** A value as it was once it has not changed for a while. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

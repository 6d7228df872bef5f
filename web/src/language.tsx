import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { words, type Language, type Words } from "./words";

interface Spoken {
  language: Language;
  words: Words;
  speak: (language: Language) => void;
}

const KEY = "twofold.language";
const Context = createContext<Spoken | null>(null);

function first(): Language {
  const kept = localStorage.getItem(KEY);
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function Speaking({ children }: { children: ReactNode }) {
  const [language, speak] = useState<Language>(first);
  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    localStorage.setItem(KEY, language);
  }, [language]);
  const spoken = useMemo(() => ({ language, words: words[language], speak }), [language]);
  return <Context value={spoken}>{children}</Context>;
}

export function useWords(): Spoken {
  const spoken = useContext(Context);
  if (!spoken) throw new Error("useWords is called outside of Speaking");
  return spoken;
}

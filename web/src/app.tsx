import { useEffect } from "react";
import { Discover } from "./discover/discover";
import { useWords } from "./language";
import { Operate } from "./operate/operate";
import { hashOf, useRoute } from "./route";
import type { Language } from "./words";

const NAMES: Record<Language, string> = { en: "EN", zh: "中文" };

export function App() {
  const { words, language, speak } = useWords();
  const route = useRoute();
  const operating = route.view === "operate";
  useEffect(() => {
    document.title = `Twofold – ${operating ? words.operate : words.discover}`;
  }, [operating, words]);
  return (
    <>
      <a
        className="skip"
        href="#list"
        onClick={(event) => {
          // The address behind # says which view is shown, so it must stay.
          event.preventDefault();
          document.getElementById("list")?.focus();
        }}
      >
        {words.skip}
      </a>
      <header>
        <a className="brand" href={hashOf({ view: "for-you" })}>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path className="left" d="M4 9 16 3v20L4 29z" />
            <path className="right" d="m28 9-12-6v20l12 6z" />
          </svg>
          Twofold
        </a>
        <nav aria-label={words.sections}>
          <a href={hashOf({ view: "for-you" })} {...(operating ? {} : { "aria-current": "page" })}>
            {words.discover}
          </a>
          <a href={hashOf({ view: "operate" })} {...(operating ? { "aria-current": "page" } : {})}>
            {words.operate}
          </a>
        </nav>
        <div className="languages" role="group" aria-label={words.language}>
          {(Object.keys(NAMES) as Language[]).map((one) => (
            <button
              key={one}
              type="button"
              lang={one === "zh" ? "zh-Hans" : "en"}
              aria-pressed={one === language}
              onClick={() => speak(one)}
            >
              {NAMES[one]}
            </button>
          ))}
        </div>
      </header>
      <main>{operating ? <Operate /> : <Discover route={route} />}</main>
    </>
  );
}

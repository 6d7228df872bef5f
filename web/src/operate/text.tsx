import type { ReactNode } from "react";

/** A sentence whose `commands` are set as code. */
export function Text({ text }: { text: string }) {
  return text.split("`").map((part, at): ReactNode => (at % 2 ? <code key={at}>{part}</code> : part));
}

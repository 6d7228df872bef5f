/** Highlights: what the server says matched, as marks. Nothing that it sends becomes HTML. */

import type { ReactNode } from "react";

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'", "#39": "'" };

function plain(html: string): string {
  return html.replace(/&(amp|lt|gt|quot|#x27|#39);/g, (_, name: string) => ENTITIES[name] ?? "");
}

function parts(snippet: string): { text: string; hit: boolean }[] {
  return snippet.split(/<b>(.*?)<\/b>/s).map((part, at) => ({ text: plain(part), hit: at % 2 === 1 }));
}

/** The words of snippets that matched, in lower case. */
export function hitsOf(snippets: (string | null)[]): Set<string> {
  const hits = snippets.flatMap((snippet) => (snippet ? parts(snippet).filter((part) => part.hit) : []));
  return new Set(hits.map((hit) => hit.text.toLowerCase()));
}

export function Snippet({ snippet }: { snippet: string }) {
  return parts(snippet).map(({ text, hit }, at): ReactNode => (hit ? <mark key={at}>{text}</mark> : text));
}

/** A title with the words marked that matched in this list. */
export function Title({ title, hits }: { title: string; hits: Set<string> }) {
  if (!hits.size) return title;
  const longest = [...hits].sort((a, b) => b.length - a.length).map((hit) => hit.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\p{Script=Latin}\\p{N}])(${longest.join("|")})(?![\\p{Script=Latin}\\p{N}])`, "giu");
  return title.split(pattern).map((part, at): ReactNode => (at % 2 ? <mark key={at}>{part}</mark> : part));
}

export function sameText(snippet: string, title: string): boolean {
  return parts(snippet).map((part) => part.text).join("") === title;
}

/** Where somebody is on the page, kept in the address behind its #, so that back, forward and links work. */

import { useMemo, useSyncExternalStore } from "react";
import type { Filters, Plain, Range } from "./api";

export type View = "for-you" | "search" | "similar" | "trending" | "operate";

export interface Route {
  view: View;
  text: string;
  item: string;
  filters: Filters;
}

const VIEWS: View[] = ["for-you", "search", "similar", "trending", "operate"];

export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const asked = new URLSearchParams(query);
  const view = VIEWS.find((one) => one === path) ?? "for-you";
  return { view, text: asked.get("text") ?? "", item: asked.get("item") ?? "", filters: filtersOf(asked.get("filters")) };
}

export function hashOf({ view, text, item, filters }: Partial<Route> & { view: View }): string {
  const asked = new URLSearchParams();
  if (text) asked.set("text", text);
  if (item) asked.set("item", item);
  if (filters && Object.keys(filters).length) asked.set("filters", JSON.stringify(filters));
  const query = asked.toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function go(route: Partial<Route> & { view: View }): void {
  location.hash = hashOf(route);
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(watch, () => location.hash);
  return useMemo(() => routeOf(hash), [hash]);
}

function watch(told: () => void): () => void {
  addEventListener("hashchange", told);
  return () => removeEventListener("hashchange", told);
}

/** An address may come from anywhere: what is no filter is left out. */
function filtersOf(text: string | null): Filters {
  const filters: Filters = {};
  let read: unknown;
  try {
    read = JSON.parse(text ?? "{}");
  } catch {
    return filters;
  }
  if (typeof read !== "object" || read === null) return filters;
  for (const [name, wanted] of Object.entries(read)) {
    if (Array.isArray(wanted) && wanted.length && wanted.every(isPlain)) filters[name] = wanted;
    else if (isRange(wanted)) filters[name] = wanted;
  }
  return filters;
}

function isPlain(value: unknown): value is Plain {
  return ["string", "number", "boolean"].includes(typeof value);
}

function isRange(value: unknown): value is Range {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const ends = Object.entries(value);
  return ends.length > 0 && ends.every(([end, at]) => (end === "min" || end === "max") && typeof at === "number");
}

/** What is said of an item, written for people. */

import type { Attributes, Catalogue } from "./api";
import { numberIn, timeIn, type Language, type Words } from "./words";

const TOLD = new Set(["item", "title", "text", "categories"]);
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;
const MOST_SHOWN = 2;

/** The columns that a card shows beside its title: the categories, and the first ones that are short. */
export function shownColumns(catalogue: Catalogue | null): string[] {
  const columns = catalogue?.columns ?? [];
  const short = columns.filter(({ name, kind }) => !TOLD.has(name) && (kind === "number" || kind === "flag"));
  const categories = columns.some(({ name }) => name === "categories") ? ["categories"] : [];
  return [...categories, ...short.slice(0, MOST_SHOWN).map(({ name }) => name)];
}

export function categoriesOf(attributes: Attributes | undefined): string[] {
  const found = attributes?.["categories"];
  return Array.isArray(found) ? found.map(String) : [];
}

/** Columns that every catalogue has, or most; the others are called what their owner calls them. */
const CHINESE: Record<string, string> = {
  categories: "类别",
  text: "说明",
  title: "标题",
  year: "年份",
  price: "价格",
};

export function columnIn(language: Language, column: string): string {
  return (language === "zh" && CHINESE[column]) || nameIn(column);
}

export function nameIn(column: string): string {
  const plain = column.replaceAll("_", " ");
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

export function valueIn(language: Language, words: Words, column: string, value: unknown): string {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "boolean") return value ? words.yes : words.no;
  if (typeof value === "number") return isLabel(column) ? String(value) : numberIn(language, value, 2);
  if (Array.isArray(value)) {
    const parts = value.map((one: unknown) => valueIn(language, words, column, one)).filter(Boolean);
    return parts.join(language === "zh" ? "、" : ", ");
  }
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, inner]) => `${nameIn(name)}: ${valueIn(language, words, name, inner)}`)
      .join(language === "zh" ? "；" : "; ");
  }
  const text = String(value);
  return TIME.test(text) ? timeIn(language, text) : text;
}

/** Numbers that name something are not grouped: 1999 is a year, 1,999 an amount. */
export function isLabel(column: string): boolean {
  return /year|id$|code|seed/i.test(column);
}

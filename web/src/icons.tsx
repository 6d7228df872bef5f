import type { ReactNode } from "react";

const PATHS = {
  like: <path d="M7 10v10H4V10zm3 10h7.2a2 2 0 0 0 2-1.6l1.3-6.4a2 2 0 0 0-2-2.4H14l.8-3.7A2.2 2.2 0 0 0 12.6 3L8.8 10V18a2 2 0 0 0 1.2 2z" />,
  dislike: <path d="M17 14V4h3v10zm-3-10H6.800a2 2 0 0 0-2 1.600L3.5 12a2 2 0 0 0 2 2.400H10l-.8 3.700A2.2 2.2 0 0 0 11.4 21l3.8-7V6A2 2 0 0 0 14 4z" />,
  dismiss: <path d="M3 3l18 18M10.6 5.100A10 10 0 0 1 12 5c5.5 0 9 7 9 7a17 17 0 0 1-2.6 3.500M6.5 6.600C4.2 8.1 3 12 3 12s3.5 7 9 7a9 9 0 0 0 4.3-1.100M9.9 9.900a3 3 0 0 0 4.2 4.2" />,
  more: <path d="M4 8h11v11H4zM9 8V4h11v11h-5" />,
  search: <path d="M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21" />,
  close: <path d="M6 6l12 12M18 6 6 18" />,
  text: <path d="M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21" />,
  items: <path d="M4 8h11v11H4zM9 8V4h11v11h-5" />,
  history: <path d="M12 20s-7.5-4.6-7.5-10.200A4.3 4.3 0 0 1 12 7.200a4.3 4.3 0 0 1 7.5 2.600C19.5 15.4 12 20 12 20z" />,
  popular: <path d="M12 3c.5 3.5 5 5.5 5 10.500a5 5 0 0 1-10 0c0-1.8.8-3 1.8-4 .4 1.4 1 2 1.8 2.200C10 8.5 10.5 5.5 12 3z" />,
  other: <path d="M12 3l2.5 6.500L21 12l-6.5 2.500L12 21l-2.5-6.500L3 12l6.5-2.500z" />,
  person: <path d="M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0" />,
  key: <path d="M14.5 3a6.5 6.5 0 0 0-6.2 8.500L3 16.800V21h4.200v-2.500h2.500V16h2.200l.6-.600A6.5 6.5 0 1 0 14.5 3zM16.5 7.500h.01" />,
  filter: <path d="M4 6h16M7 12h10M10 18h4" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {PATHS[name]}
    </svg>
  );
}

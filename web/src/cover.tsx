/** A picture for an item that has none, made of its id, title and categories alone: the same item always looks the same. */

import { memo, type ReactNode } from "react";

const WIDTH = 300;
const HEIGHT = 200;

type Random = () => number;

/** FNV-1a, of 32 bits, stirred so that its last bits differ too. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Mulberry32. */
function randomOf(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Palette {
  from: string;
  to: string;
  light: string;
  deep: string;
  other: string;
}

interface Paint extends Palette {
  random: Random;
}

const PALETTES: Palette[] = [
  ["#4338ca", "#7c3aed", "#a78bfa", "#1e1b4b", "#fbbf24"],
  ["#f2705d", "#d0426c", "#ffc2a8", "#7a1f3d", "#ffe3a3"],
  ["#0f766e", "#14917f", "#7fd8c4", "#083f3c", "#ffd08a"],
  ["#1d4ed8", "#0e93b7", "#93dbf5", "#0b2a6b", "#ffb38a"],
  ["#9d2a8c", "#5b21b6", "#e3a6e8", "#331049", "#7ef0d4"],
  ["#c2552d", "#8f3b2a", "#f3b58b", "#4d1c14", "#9fe0d8"],
  ["#2f6b4a", "#1f4d3f", "#a6d3a0", "#10291f", "#f6c667"],
  ["#475b8c", "#2e3a63", "#a9bbe6", "#151c38", "#ff9f8a"],
  ["#d69a1e", "#b3631b", "#ffe19a", "#5c2d0c", "#5ad1c9"],
  ["#e0568f", "#a03fb0", "#ffc0dd", "#4a1455", "#ffe08a"],
  ["#159fae", "#2b66c4", "#b0f0ea", "#0d3055", "#ffd6e0"],
  ["#4b4f5c", "#23252f", "#aab0c0", "#101117", "#ff8f66"],
  ["#6b7f2a", "#3f5a2b", "#d8e39a", "#1e2c14", "#ff9d6e"],
  ["#8d2145", "#4c1130", "#e58aa5", "#26071a", "#ffcf8f"],
].map(([from = "", to = "", light = "", deep = "", other = ""]) => ({ from, to, light, deep, other }));

const range = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

const PATTERNS: ((paint: Paint) => ReactNode)[] = [
  function hills({ random, light, deep, other }) {
    const sun = 60 + random() * 180;
    const wave = (top: number) => {
      const [a, b] = [random() * 50 - 25, random() * 50 - 25];
      return `M0 ${top} C75 ${top + a} 110 ${top - a} 150 ${top} S240 ${top + b} 300 ${top} V200 H0Z`;
    };
    return (
      <>
        <circle cx={sun} cy={70 + random() * 20} r={34 + random() * 14} fill={other} />
        <path d={wave(110)} fill={light} opacity={0.55} />
        <path d={wave(138)} fill={deep} opacity={0.6} />
        <path d={wave(168)} fill={deep} />
      </>
    );
  },
  function rings({ random, light, other }) {
    const [x, y] = [60 + random() * 180, 40 + random() * 120];
    return range(7).map((at) => (
      <circle
        key={at}
        cx={x}
        cy={y}
        r={18 + at * 26}
        fill="none"
        stroke={at % 3 === 1 ? other : light}
        strokeWidth={at % 3 === 1 ? 9 : 5}
        opacity={0.85 - at * 0.09}
      />
    ));
  },
  function tiles({ random, light, deep, other }) {
    const side = 50;
    return range(24).map((at) => {
      const [x, y] = [(at % 6) * side, Math.floor(at / 6) * side];
      const turn = Math.floor(random() * 4) * 90;
      const fill = random() < 0.22 ? other : random() < 0.5 ? light : deep;
      return (
        <path
          key={at}
          d={`M0 0 H${side} A${side} ${side} 0 0 1 0 ${side}Z`}
          transform={`translate(${x} ${y}) rotate(${turn} ${side / 2} ${side / 2})`}
          fill={fill}
          opacity={0.8}
        />
      );
    });
  },
  function stripes({ random, light, deep, other }) {
    const tilt = 20 + random() * 40;
    return (
      <g transform={`rotate(${random() < 0.5 ? tilt : -tilt} 150 100)`}>
        {range(9).map((at) => {
          const wide = 10 + random() * 26;
          return (
            <rect
              key={at}
              x={-120}
              y={-110 + at * 48}
              width={540}
              height={wide}
              rx={wide / 2}
              fill={[light, deep, other][Math.floor(random() * 3)]}
              opacity={0.75}
            />
          );
        })}
      </g>
    );
  },
  function bubbles({ random, light, deep, other }) {
    return range(13).map((at) => (
      <circle
        key={at}
        cx={random() * WIDTH}
        cy={random() * HEIGHT}
        r={10 + random() * random() * 68}
        fill={[light, deep, other, light][at % 4]}
        opacity={0.35 + random() * 0.4}
      />
    ));
  },
  function skyline({ random, light, deep, other }) {
    return (
      <>
        <circle cx={40 + random() * 220} cy={58} r={26} fill={other} />
        {[light, deep].map((fill, row) =>
          range(9).map((at) => {
            const tall = 40 + random() * 80 - row * 18;
            return (
              <rect
                key={`${row} ${at}`}
                x={at * 36 - 12 + row * 14}
                y={HEIGHT - tall}
                width={26}
                height={tall}
                rx={4}
                fill={fill}
                opacity={row ? 0.95 : 0.5}
              />
            );
          }),
        )}
      </>
    );
  },
  function rays({ random, light, deep, other }) {
    const [x, y] = [random() * WIDTH, HEIGHT + 10];
    return (
      <>
        {range(14).map((at) => {
          const angle = (at / 14) * Math.PI;
          const end = (turn: number) => `${x + 420 * Math.cos(turn)} ${y - 420 * Math.sin(turn)}`;
          return (
            <path
              key={at}
              d={`M${x} ${y} L${end(angle)} L${end(angle + Math.PI / 28)}Z`}
              fill={at % 2 ? light : deep}
              opacity={0.6}
            />
          );
        })}
        <circle cx={x} cy={y} r={64} fill={other} />
      </>
    );
  },
];

interface Shown {
  id: string;
  title: string;
  categories: string[];
}

export const Cover = memo(function Cover({ id, title, categories }: Shown) {
  const seed = hashOf(`${id}\n${title}`);
  // Items of one category have like colours, so that a list shows what it is made of.
  const told = categories.length ? categories[seed % categories.length]! : title;
  const palette = PALETTES[(hashOf(told) + (seed & 1) * 5) % PALETTES.length]!;
  const pattern = PATTERNS[(seed >>> 8) % PATTERNS.length]!;
  const gradient = `cover-${seed.toString(36)}`;
  return (
    <svg className="cover" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      <defs>
        <linearGradient id={gradient} x1="0" y1="0" x2={(seed >>> 4) & 1} y2="1">
          <stop offset="0" stopColor={palette.from} />
          <stop offset="1" stopColor={palette.to} />
        </linearGradient>
      </defs>
      <rect width={WIDTH} height={HEIGHT} fill={`url(#${gradient})`} />
      {pattern({ ...palette, random: randomOf(seed) })}
    </svg>
  );
});

import { useId } from "react";
import { useWords } from "../language";

/** How much the items of a list shall differ. */
export function Dial({ value, change }: { value: number; change: (value: number) => void }) {
  const { words } = useWords();
  const id = useId();
  const percent = Math.round(value * 100);
  return (
    <div className="dial">
      <label htmlFor={id}>{words.diversity}</label>
      <output htmlFor={id}>{percent} %</output>
      <input
        id={id}
        type="range"
        min={0}
        max={100}
        step={10}
        value={percent}
        aria-valuetext={words.diversityNow(percent)}
        onChange={(event) => change(Number(event.target.value) / 100)}
      />
      <span aria-hidden="true">{words.diversityLow}</span>
      <span aria-hidden="true">{words.diversityHigh}</span>
    </div>
  );
}

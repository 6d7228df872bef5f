import { useEffect, useRef } from "react";
import { useWords } from "../language";

interface Props {
  question: string;
  hint: string;
  yes: () => void;
  no: () => void;
}

/** Asks before something is done that many would notice. */
export function Confirm({ question, hint, yes, no }: Props) {
  const { words } = useWords();
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} className="confirm" aria-labelledby="confirm" onClose={no}>
      <h2 id="confirm">{question}</h2>
      <p className="hint">{hint}</p>
      <div className="row">
        <button type="button" className="plain" autoFocus onClick={() => box.current?.close()}>
          {words.cancel}
        </button>
        <button type="button" className="strong" onClick={yes}>
          {words.confirm}
        </button>
      </div>
    </dialog>
  );
}

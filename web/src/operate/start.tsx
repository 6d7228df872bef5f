import { useId, useState, type FormEvent } from "react";
import { api, type Arm } from "../api";
import { Icon } from "../icons";
import { useLoaded } from "../hooks";
import { useWords } from "../language";

/** An arm as it is being typed. */
interface Draft {
  name: string;
  percent: string;
  diversity: string;
  artifact: string;
}

const DRAFTS: Draft[] = [
  { name: "control", percent: "50", diversity: "", artifact: "" },
  { name: "new", percent: "50", diversity: "", artifact: "" },
];
const MOST_ARMS = 10;

function armOf({ name, percent, diversity, artifact }: Draft): Arm {
  return {
    name: name.trim(),
    share: Number(percent) / 100,
    diversity: diversity === "" ? null : Number(diversity) / 100,
    artifact: artifact || null,
  };
}

/** The form that starts an experiment; what is wrong with it, the server says. */
export function Start({ start }: { start: (name: string, arms: Arm[]) => Promise<boolean> }) {
  const { words } = useWords();
  const id = useId();
  const found = useLoaded("artifacts", api.artifacts);
  const [name, setName] = useState("");
  const [drafts, setDrafts] = useState(DRAFTS);
  const [open, setOpen] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!(await start(name.trim(), drafts.map(armOf)))) return;
    setName("");
    setDrafts(DRAFTS);
    setOpen(false);
  };
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.startExperiment}</summary>
      <form className="start" onSubmit={(event) => void submit(event)}>
        <p className="hint">{words.armsHint}</p>
        <label htmlFor={id}>{words.experimentName}</label>
        <input
          id={id}
          required
          maxLength={64}
          autoComplete="off"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        {drafts.map((draft, at) => (
          <ArmFields
            key={at}
            number={at + 1}
            draft={draft}
            folders={found.value?.artifacts.map(({ folder }) => folder) ?? []}
            change={(changed) => setDrafts(drafts.map((one, place) => (place === at ? changed : one)))}
            remove={drafts.length > 2 ? () => setDrafts(drafts.filter((_, place) => place !== at)) : null}
          />
        ))}
        <div className="row">
          <button
            type="button"
            className="plain"
            disabled={drafts.length >= MOST_ARMS}
            onClick={() => setDrafts([...drafts, { name: "", percent: "", diversity: "", artifact: "" }])}
          >
            {words.addArm}
          </button>
          <button type="submit" className="strong">
            {words.start}
          </button>
        </div>
      </form>
    </details>
  );
}

interface FieldsProps {
  number: number;
  draft: Draft;
  /** Of the artifacts that can answer. */
  folders: string[];
  change: (draft: Draft) => void;
  remove: (() => void) | null;
}

function ArmFields({ number, draft, folders, change, remove }: FieldsProps) {
  const { words } = useWords();
  const id = useId();
  return (
    <div className="arm">
      <div>
        <label htmlFor={`${id}-name`}>{words.armName(number)}</label>
        <input
          id={`${id}-name`}
          required
          maxLength={64}
          autoComplete="off"
          value={draft.name}
          onChange={(event) => change({ ...draft, name: event.target.value })}
        />
      </div>
      <div>
        <label htmlFor={`${id}-share`}>{words.armShare(number)}</label>
        <input
          id={`${id}-share`}
          type="number"
          required
          min={0}
          max={100}
          step="any"
          value={draft.percent}
          onChange={(event) => change({ ...draft, percent: event.target.value })}
        />
      </div>
      <div>
        <label htmlFor={`${id}-diversity`}>{words.armDiversity(number)}</label>
        <input
          id={`${id}-diversity`}
          type="number"
          min={0}
          max={100}
          step="any"
          placeholder={words.asAsked}
          value={draft.diversity}
          onChange={(event) => change({ ...draft, diversity: event.target.value })}
        />
      </div>
      <div>
        <label htmlFor={`${id}-artifact`}>{words.armArtifact(number)}</label>
        <select
          id={`${id}-artifact`}
          value={draft.artifact}
          onChange={(event) => change({ ...draft, artifact: event.target.value })}
        >
          <option value="">{words.asAsked}</option>
          {folders.map((folder) => (
            <option key={folder}>{folder}</option>
          ))}
        </select>
      </div>
      {remove && (
        <button type="button" className="plain" aria-label={words.removeArm(number)} onClick={remove}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}

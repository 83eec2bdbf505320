/** The palette of commands: a job by its name or id, a page, or something to do. */

import { useEffect, useRef, useState } from "preact/hooks";

import { listJobs } from "../api/jobs";
import type { Job } from "../api/types";
import { type Command, commandsNow } from "../commands";
import { words } from "../model/format";
import { around, hasWords } from "../model/matching";
import { navigate } from "../router";
import { useModal } from "./modal";

const KNOWN_JOBS = 200; // the newest
const MOST = 12; // that are shown
const JOB_ID = /^job_[a-z0-9]{26}$/;

export function Palette({ onClose }: { onClose: () => void }) {
  const dialog = useModal();
  const [typed, setTyped] = useState("");
  const [place, setPlace] = useState(0);
  const jobs = useNewestJobs();
  const found = [...commandsNow(), ...jobs.map(commandOf), ...unknownJob(typed, jobs)]
    .filter(({ title, hint = "" }) => hasWords(typed, title, hint))
    .slice(0, MOST);
  const chosen = found[Math.min(place, found.length - 1)];

  function run(command: Command | undefined): void {
    if (!command) return;
    onClose();
    // After the focus is back, so that what is opened can take it.
    queueMicrotask(command.run);
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key === "ArrowDown") setPlace(around(place, 1, found.length));
    else if (event.key === "ArrowUp") setPlace(around(place, -1, found.length));
    else if (event.key === "Enter") run(chosen);
    else return;
    event.preventDefault();
  }

  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Commands"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <input
        type="search"
        role="combobox"
        list={undefined}
        aria-label="A job, a page or a command"
        aria-expanded={true}
        aria-controls="palette-found"
        aria-activedescendant={chosen && `palette-${found.indexOf(chosen)}`}
        aria-autocomplete="list"
        placeholder="A job, a page or a command"
        autofocus
        value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setPlace(0);
        }}
        onKeyDown={onKey}
      />
      <ul id="palette-found" role="listbox" aria-label="Found">
        {found.map((command, index) => (
          <Option
            key={`${command.title} ${command.hint}`}
            id={`palette-${index}`}
            command={command}
            chosen={command === chosen}
            onRun={() => run(command)}
          />
        ))}
      </ul>
      {found.length === 0 && <p class="note">Nothing here has this name.</p>}
    </dialog>
  );
}

interface OptionProps {
  id: string;
  command: Command;
  chosen: boolean;
  onRun: () => void;
}

function Option({ id, command, chosen, onRun }: OptionProps) {
  const element = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (chosen) element.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <li ref={element} id={id} role="option" aria-selected={chosen} onClick={onRun}>
      <span class="cut">{command.title}</span>
      {command.hint && <span class="small cut">{command.hint}</span>}
      <span class="space" />
      {command.key && <kbd>{command.key}</kbd>}
    </li>
  );
}

function useNewestJobs(): Job[] {
  const [jobs, setJobs] = useState<Job[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    // Without the jobs, the palette still has the pages.
    void listJobs({}, KNOWN_JOBS, stop.signal).then(
      (listed) => setJobs(listed.jobs),
      () => {},
    );
    return () => stop.abort();
  }, []);
  return jobs;
}

function commandOf(job: Job): Command {
  return {
    title: job.name || job.id,
    hint: `${words(job.status)} · ${job.id}`,
    run: () => navigate(`jobs/${job.id}`),
  };
}

/** A whole id opens its job, also one that is older than those that are known. */
function unknownJob(typed: string, jobs: Job[]): Command[] {
  const id = typed.trim();
  if (!JOB_ID.test(id) || jobs.some((job) => job.id === id)) return [];
  return [{ title: id, hint: "job", run: () => navigate(`jobs/${id}`) }];
}

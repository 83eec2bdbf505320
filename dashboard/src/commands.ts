/** What can be done on the page that is shown, for the palette of commands. */

import { useEffect, useRef } from "preact/hooks";

export interface Command {
  title: string;
  /** What tells it apart, beside the title. */
  hint?: string;
  /** The key that does the same. */
  key?: string;
  run: () => void;
}

const offered = new Set<{ readonly current: Command[] }>();

/** Offer commands while this component is shown. */
export function useCommands(commands: Command[]): void {
  const latest = useRef(commands);
  latest.current = commands;
  useEffect(() => {
    offered.add(latest);
    return () => {
      offered.delete(latest);
    };
  }, []);
}

/** The commands of all that is shown, those of the innermost part first. */
export function commandsNow(): Command[] {
  return [...offered].flatMap(({ current }) => current);
}

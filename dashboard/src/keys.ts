/** Keys of the page. Letters do nothing while a field has the focus. */

import { useEffect, useRef } from "preact/hooks";

/** Functions by the key or, for two keys in turn, by both with a space between. */
export type Keys = Record<string, (event: KeyboardEvent) => void>;

const PREFIX = "g";
const TOGETHER_MILLISECONDS = 1000;

let prefixAt = Number.NEGATIVE_INFINITY;
const names = new WeakMap<KeyboardEvent, string>();

/** The name of the key, with the prefix that was pressed just before it. */
function nameOf(event: KeyboardEvent): string {
  const known = names.get(event);
  if (known) return known;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isSecond = event.timeStamp - prefixAt < TOGETHER_MILLISECONDS;
  prefixAt = key === PREFIX ? event.timeStamp : Number.NEGATIVE_INFINITY;
  const name = isSecond ? `${PREFIX} ${key}` : key;
  names.set(event, name);
  return name;
}

/** Whether a key typed into this element belongs to it. */
export function takesText(element: Element | null): boolean {
  return !!element?.closest("input:not([type=checkbox]):not([type=range]), textarea, select");
}

/** Call the function of a key while this component is shown. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element;
      if (takesText(target) || document.querySelector("dialog[open]")) return;
      if (event.key.startsWith("Arrow") && target.closest("input")) return; // a slider's own
      const run = latest.current[nameOf(event)];
      if (!run) return;
      if (event.key === "Enter" && target.closest("a, button")) return;
      event.preventDefault();
      run(event);
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

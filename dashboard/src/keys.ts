/** Keys of the page. Letters do nothing while a field has the focus. */

import { useEffect, useRef } from "preact/hooks";

export type Keys = Record<string, () => void>;

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
      if (takesText(event.target as Element) || document.querySelector("dialog[open]")) return;
      const run = latest.current[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!run) return;
      if (event.key === "Enter" && (event.target as Element).closest("a, button")) return;
      event.preventDefault();
      run();
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

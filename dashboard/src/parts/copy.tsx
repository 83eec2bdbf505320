import { useState } from "preact/hooks";

import { Icon } from "./icon";

/** A button that copies a text, and says so. */
export function Copy({ text, label, word }: { text: () => string; label: string; word?: string }) {
  const [copied, setCopied] = useState(false);

  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(text());
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  }

  return (
    <button class={word ? "button" : "button bare square"} onClick={copy} aria-label={label}>
      <Icon name={copied ? "check" : "copy"} />
      {word && (copied ? "Copied" : word)}
    </button>
  );
}

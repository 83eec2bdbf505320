/** A question before something that cannot be undone. The safe button has the focus. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { useModal } from "./modal";

interface DialogProps {
  title: string;
  /** The verb of the button that does it. */
  verb: string;
  danger?: boolean;
  onClose: () => void;
  onConfirm: () => Promise<void>;
  children: ComponentChildren;
}

export function Dialog({ title, verb, danger = false, onClose, onConfirm, children }: DialogProps) {
  const dialog = useModal();
  const [refusal, setRefusal] = useState("");
  const [asking, setAsking] = useState(false);

  async function confirm(): Promise<void> {
    setAsking(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setRefusal((error as Error).message);
      setAsking(false);
    }
  }

  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      {children}
      <p class="refusal" role="alert">
        {refusal}
      </p>
      <div class="acts">
        <button class="button" onClick={onClose} autofocus>
          Keep as it is
        </button>
        <button
          class={danger ? "button danger" : "button primary"}
          onClick={confirm}
          disabled={asking}
        >
          {verb}
        </button>
      </div>
    </dialog>
  );
}

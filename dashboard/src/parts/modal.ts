/** A dialog above the page. When it closes, the focus is again where it was. */

import { useLayoutEffect, useRef } from "preact/hooks";

export function useModal() {
  const dialog = useRef<HTMLDialogElement>(null);
  // At once, so that the next key is already the dialog's.
  useLayoutEffect(() => {
    const focused = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => focused?.focus();
  }, []);
  return dialog;
}

/** The list of keys. */

import { useModal } from "./modal";

const KEYS: { where: string; keys: [string[], string][] }[] = [
  {
    where: "Everywhere",
    keys: [
      [["Ctrl K", "⌘K"], "find a job, a page or a command"],
      [["G J", "G W", "G C", "G P"], "jobs, workers, compare, project"],
      [["N"], "new job"],
      [["T"], "light or dark"],
      [["?"], "this list"],
      [["Esc"], "close what floats"],
    ],
  },
  {
    where: "Jobs",
    keys: [
      [["J", "K"], "down, up"],
      [["↵"], "open"],
      [["X"], "select"],
      [["C"], "compare those that are selected"],
      [["/"], "filter"],
    ],
  },
  {
    where: "A job",
    keys: [
      [["1", "…", "9"], "its parts"],
      [["P"], "pause or resume, which asks first"],
      [["[", "]"], "restart before, after"],
      [["←", "→"], "cursor by a report, with Shift by a cycle"],
      [["+", "-", "0"], "zoom in, out, all"],
      [["S", "L"], "smoothing, log loss"],
    ],
  },
];

export function KeyList({ onClose }: { onClose: () => void }) {
  const dialog = useModal();
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys-title" onClose={onClose}>
      <h2 id="keys-title">Keys</h2>
      <p class="small">Letters do nothing while a field has the focus.</p>
      {KEYS.map(({ where, keys }) => (
        <section key={where}>
          <h3>{where}</h3>
          <dl>
            {keys.map(([names, does]) => (
              <div key={does}>
                <dt>
                  {names.map((name) => (
                    <kbd key={name}>{name}</kbd>
                  ))}
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      <div class="acts">
        <button class="button" onClick={onClose} autofocus>
          Close
        </button>
      </div>
    </dialog>
  );
}

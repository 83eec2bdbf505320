/** A list of the project that people add to and delete from. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { send } from "../api/client";
import { allPages } from "../api/job";
import { useLive } from "../live";
import { Dialog } from "../parts/dialog";
import { Failed, Loading } from "../parts/notice";

export interface Column<T> {
  title: string;
  width?: string;
  cell: (item: T) => ComponentChildren;
}

interface ListProps<T> {
  title: string;
  /** Where the API has it. */
  path: string;
  columns: Column<T>[];
  idOf: (item: T) => string;
  empty: string;
  /** How to take one away, if the caller may. */
  remove?: { verb: string; nameOf: (item: T) => string; says: string };
  /** Other buttons of a row. */
  acts?: (item: T) => ComponentChildren;
  /** What is shown below the list. */
  below?: ComponentChildren;
  /** The form that adds one; it calls `added`. */
  form?: (added: () => void) => ComponentChildren;
}

export function List<T>({ title, path, columns, idOf, empty, remove, acts, below, form }: ListProps<T>) {
  const [leaving, setLeaving] = useState<T | null>(null);
  const live = useLive((signal) => allPages<T>(path, signal), { key: path });
  const hasActs = remove !== undefined || acts !== undefined;
  return (
    <section aria-label={title}>
      <h2 class="section">{title}</h2>
      {live.value === null ? (
        live.error ? (
          <Failed what={title} error={live.error} retry={live.refresh} />
        ) : (
          <Loading widths={[320, 280]} />
        )
      ) : live.value.length === 0 ? (
        <p class="note">{empty}</p>
      ) : (
        <table>
          <thead>
            <tr>
              {columns.map(({ title: head, width }) => (
                <th key={head} class={width}>
                  {head}
                </th>
              ))}
              {hasActs && <th class="w-change" aria-label="Change" />}
            </tr>
          </thead>
          <tbody>
            {live.value.map((item) => (
              <tr key={idOf(item)}>
                {columns.map(({ title: head, cell }) => (
                  <td key={head} class="cut">
                    {cell(item)}
                  </td>
                ))}
                {hasActs && (
                  <td class="number">
                    {acts?.(item)}
                    {remove && (
                      <button
                        class="button bare danger"
                        aria-label={`${remove.verb} ${remove.nameOf(item)}`}
                        onClick={() => setLeaving(item)}
                      >
                        {remove.verb}
                      </button>
                    )}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {below}
      {form?.(live.refresh)}
      {leaving && remove && (
        <Dialog
          title={`${remove.verb} ${remove.nameOf(leaving)}?`}
          verb={remove.verb}
          danger
          onClose={() => setLeaving(null)}
          onConfirm={async () => {
            await send(`${path}/${encodeURIComponent(idOf(leaving))}`, { method: "DELETE" });
            live.refresh();
          }}
        >
          <p>{remove.says}</p>
        </Dialog>
      )}
    </section>
  );
}

interface AddProps {
  verb: string;
  /** Send what the form has. An error is shown in the service's words. */
  add: (form: FormData) => Promise<void>;
  children: ComponentChildren;
}

export function Add({ verb, add, children }: AddProps) {
  const [refusal, setRefusal] = useState("");

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    try {
      await add(new FormData(form));
      setRefusal("");
      form.reset();
    } catch (error) {
      setRefusal((error as Error).message);
    }
  }

  return (
    <form class="add" onSubmit={submit}>
      {children}
      <button class="button">{verb}</button>
      <span class="bad small" role="alert">
        {refusal}
      </span>
    </form>
  );
}

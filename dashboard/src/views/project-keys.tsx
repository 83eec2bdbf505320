/** The API keys of the project. A new one is shown once. */

import { useState } from "preact/hooks";

import { post } from "../api/client";
import type { ApiKey, CreatedKey, Session } from "../api/types";
import { useNow } from "../live";
import { age, fullDate } from "../model/format";
import { grantable } from "../model/project";
import { Copy } from "../parts/copy";
import { Add, List } from "./project-list";

export function Keys({ caller }: { caller: Session }) {
  const now = useNow();
  const [made, setMade] = useState<CreatedKey | null>(null);

  async function create(form: FormData): Promise<void> {
    const days = String(form.get("days"));
    setMade(
      await post<CreatedKey>("v1/keys", {
        name: form.get("name"),
        scope: form.get("scope"),
        expires_in_days: days ? Number(days) : null,
      }),
    );
  }

  const told = (moment: string | null, without: string) =>
    moment ? <span title={fullDate(moment)}>{age(moment, now)} ago</span> : without;
  return (
    <List<ApiKey>
      title="API keys"
      path="v1/keys"
      idOf={(key) => key.id}
      empty="There is no key."
      columns={[
        { title: "Name", cell: (key) => key.name },
        { title: "Begins", width: "w-hash", cell: (key) => <code>{key.prefix}…</code> },
        { title: "Scope", width: "w-method", cell: (key) => key.scope },
        {
          title: "Expires",
          width: "w-worker",
          cell: (key) => (key.expires_at ? new Date(key.expires_at).toLocaleDateString() : "never"),
        },
        { title: "Used", width: "w-eta", cell: (key) => told(key.last_used_at, "never") },
      ]}
      remove={{
        verb: "Revoke",
        nameOf: (key) => key.name,
        says: "Whoever has this key is refused from now on. It cannot be used again.",
      }}
      form={(added) => (
        <>
          {made && (
            <p class="note" role="status">
              <code>{made.key}</code> <Copy label="Copy the key" text={() => made.key} /> Copy the key
              now: it is not shown again.
            </p>
          )}
          <Add
            verb="Make a key"
            add={async (form) => {
              await create(form);
              added();
            }}
          >
            <input name="name" placeholder="What it is for" aria-label="What the key is for" required />
            <select name="scope" aria-label="Scope">
              {grantable(caller).map((scope) => (
                <option key={scope} selected={scope === "write"}>
                  {scope}
                </option>
              ))}
            </select>
            <input
              name="days"
              inputMode="decimal"
              placeholder="Days until it expires"
              aria-label="Days until it expires"
            />
          </Add>
        </>
      )}
    />
  );
}

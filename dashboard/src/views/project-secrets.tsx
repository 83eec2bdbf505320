/** The names of the secrets that jobs of the project can use. Their values are never shown. */

import { send } from "../api/client";
import type { Secret } from "../api/types";
import { useNow } from "../live";
import { age, fullDate } from "../model/format";
import { Add, List } from "./project-list";

export function Secrets({ mayChange }: { mayChange: boolean }) {
  const now = useNow();
  return (
    <List<Secret>
      title="Secrets"
      path="v1/secrets"
      idOf={(secret) => secret.name}
      empty="There are no secrets. A job names those that it needs; nobody can read their values."
      columns={[
        { title: "Name", cell: (secret) => <code>{secret.name}</code> },
        {
          title: "Stored",
          width: "w-eta",
          cell: ({ updated_at }) => <span title={fullDate(updated_at)}>{age(updated_at, now)} ago</span>,
        },
      ]}
      {...(mayChange && {
        remove: {
          verb: "Delete",
          nameOf: (secret: Secret) => secret.name,
          says: "Jobs that name it cannot start any more, and webhooks that it signs fail.",
        },
        form: (added: () => void) => (
          <Add
            verb="Store"
            add={async (form) => {
              const name = encodeURIComponent(String(form.get("name")));
              await send(`v1/secrets/${name}`, { method: "PUT", body: { value: form.get("value") } });
              added();
            }}
          >
            <input name="name" placeholder="Name" aria-label="Name of the secret" required />
            <input
              name="value"
              type="password"
              placeholder="Value"
              aria-label="Value of the secret"
              autocomplete="off"
              required
            />
          </Add>
        ),
      })}
    />
  );
}

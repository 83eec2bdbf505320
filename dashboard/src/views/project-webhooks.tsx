/** The webhooks of the project, and whether their receivers accept what is sent. */

import { useState } from "preact/hooks";

import { post } from "../api/client";
import type { Webhook } from "../api/types";
import { useNow } from "../live";
import { age, fullDate } from "../model/format";
import { Deliveries } from "./project-deliveries";
import { Add, List } from "./project-list";

export function Webhooks({ mayChange }: { mayChange: boolean }) {
  const now = useNow();
  const [opened, setOpened] = useState<Webhook | null>(null);
  return (
    <List<Webhook>
      title="Webhooks"
      path="v1/webhooks"
      idOf={(webhook) => webhook.id}
      empty="There are no webhooks. A webhook sends the events of jobs to a URL."
      columns={[
        { title: "Address", cell: (webhook) => <code title={webhook.url}>{webhook.url}</code> },
        { title: "Events", width: "w-progress", cell: (webhook) => <code>{webhook.events.join(", ")}</code> },
        { title: "Signed with", width: "w-worker", cell: (webhook) => <code>{webhook.secret}</code> },
        {
          title: "State",
          width: "w-worker",
          cell: ({ failing_since }) =>
            failing_since ? (
              <span class="bad" title={fullDate(failing_since)}>
                Failing for {age(failing_since, now)}
              </span>
            ) : (
              "Accepted"
            ),
        },
      ]}
      acts={(webhook) => (
        <>
          <button
            class="button bare"
            aria-expanded={opened?.id === webhook.id}
            aria-label={`Deliveries to ${webhook.url}`}
            onClick={() => setOpened(opened?.id === webhook.id ? null : webhook)}
          >
            Deliveries
          </button>
          {mayChange && <TestButton webhook={webhook} />}
        </>
      )}
      below={opened && <Deliveries webhook={opened} mayChange={mayChange} />}
      {...(mayChange && {
        remove: {
          verb: "Delete",
          nameOf: (webhook: Webhook) => webhook.url,
          says: "Nothing is sent there any more, and the log of its deliveries is deleted.",
        },
        form: (added: () => void) => (
          <Add
            verb="Add"
            add={async (form) => {
              const events = String(form.get("events")).split(/[\s,]+/).filter(Boolean);
              const document = { url: form.get("url"), secret: form.get("secret") };
              await post("v1/webhooks", events.length ? { ...document, events } : document);
              added();
            }}
          >
            <input name="url" type="url" placeholder="https://…" aria-label="Address" required />
            <input name="events" placeholder="job.*" aria-label="Events, such as job.*" />
            <input name="secret" placeholder="Secret that signs" aria-label="Secret that signs" required />
          </Add>
        ),
      })}
    />
  );
}

function TestButton({ webhook }: { webhook: Webhook }) {
  const [told, setTold] = useState("Test");
  return (
    <button
      class="button bare"
      aria-label={`${told} ${webhook.url}`}
      onClick={() =>
        void post(`v1/webhooks/${webhook.id}/test`).then(
          () => setTold("Sent"),
          (error: Error) => setTold(error.message),
        )
      }
    >
      {told}
    </button>
  );
}

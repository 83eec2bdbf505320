/** What was sent to a webhook, or waits to be sent, and how its receiver answered. */

import { useState } from "preact/hooks";

import { get, post } from "../api/client";
import type { Delivery, Page, Webhook } from "../api/types";
import { useLive } from "../live";
import { clock, count, fullDate, UNKNOWN, words } from "../model/format";
import { Failed, Loading } from "../parts/notice";

const MOST = 20; // the newest
const ASK_MILLISECONDS = 3000;

export function Deliveries({ webhook, mayChange }: { webhook: Webhook; mayChange: boolean }) {
  const path = `v1/webhooks/${webhook.id}/deliveries`;
  const live = useLive((signal) => get<Page<Delivery>>(path, { limit: MOST }, signal), {
    key: path,
    every: ASK_MILLISECONDS,
  });
  if (!live.value) {
    return live.error ? (
      <Failed what="The deliveries" error={live.error} retry={live.refresh} />
    ) : (
      <Loading widths={[320, 280]} />
    );
  }
  const { items } = live.value;
  if (items.length === 0) return <p class="note">Nothing was sent to {webhook.url} yet.</p>;
  return (
    <table class="dense" aria-label={`Deliveries to ${webhook.url}`}>
      <thead>
        <tr>
          <th class="w-clock">Time</th>
          <th class="w-worker">Event</th>
          <th class="w-method">State</th>
          <th class="w-step number">Attempts</th>
          <th>Answer</th>
          {mayChange && <th class="w-change" aria-label="Change" />}
        </tr>
      </thead>
      <tbody>
        {items.map((one) => (
          <tr key={one.id}>
            <td class="mono" title={fullDate(one.created_at)}>
              {clock(one.created_at)}
            </td>
            <td class="mono cut">{one.event_type}</td>
            <td class={one.status === "failed" ? "bad" : undefined}>{words(one.status)}</td>
            <td class="number">{count(one.attempts)}</td>
            <td class="cut">{one.error ?? one.response_status ?? UNKNOWN}</td>
            {mayChange && (
              <td class="number">
                <AgainButton path={`${path}/${one.id}/redeliver`} refresh={live.refresh} />
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function AgainButton({ path, refresh }: { path: string; refresh: () => void }) {
  const [refusal, setRefusal] = useState("");
  return (
    <button
      class="button bare"
      title={refusal || undefined}
      onClick={() => void post(path).then(refresh, (error: Error) => setRefusal(error.message))}
    >
      {refusal ? "Refused" : "Send again"}
    </button>
  );
}

/** One stream for all tabs of a browser that have the same key.
 *
 * A browser opens six connections to a host over all its tabs. With a stream in each tab, the
 * seventh tab would wait forever.
 */

import { type News, Source } from "./source";

/** What a tab sends: that it comes, and who is signed in, or that it leaves. */
export type Message = { url: string; keyId: string | null } | { leave: true };

interface Shared {
  source: Source;
  ports: Set<MessagePort>;
}

const shared = new Map<string, Shared>();

function join(port: MessagePort, url: string, keyId: string | null): void {
  leave(port);
  const name = JSON.stringify([url, keyId]);
  let one = shared.get(name);
  if (!one) {
    const ports = new Set<MessagePort>();
    const tell = (news: News) => ports.forEach((other) => other.postMessage(news));
    one = { source: new Source(url, tell), ports };
    shared.set(name, one);
  }
  one.ports.add(port);
  port.postMessage({ open: one.source.isOpen } satisfies News);
}

function leave(port: MessagePort): void {
  for (const [name, { source, ports }] of shared) {
    if (!ports.delete(port) || ports.size > 0) continue;
    source.stop();
    shared.delete(name);
  }
}

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<Message>) => {
    if ("leave" in data) leave(port);
    else join(port, data.url, data.keyId);
  };
});

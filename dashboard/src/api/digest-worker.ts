/** Digests a file in a thread of its own, so that the page goes on meanwhile. */

import { Sha256 } from "../model/sha256";

const PART_BYTES = 8 << 20;

/** How far it is, from 0 to 1, and at the end the digest. */
export type Digested = { done: number } | { sha256: string };

const tell = (digested: Digested) => postMessage(digested);

addEventListener("message", ({ data }: MessageEvent<File>) => void digest(data));

async function digest(file: File): Promise<void> {
  const digest = new Sha256();
  for (let from = 0; from < file.size; from += PART_BYTES) {
    tell({ done: from / file.size });
    digest.update(new Uint8Array(await file.slice(from, from + PART_BYTES).arrayBuffer()));
  }
  tell({ sha256: digest.hex() });
}

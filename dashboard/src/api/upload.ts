/** Upload a data set in parts (tus 1.0). An earlier upload of the same file continues.
 *
 * A part that breaks is sent again, later and later.
 */

import { backoff } from "../model/backoff";
import { ApiError, get, Offline, send } from "./client";
import type { Digested } from "./digest-worker";
import type { components } from "./schema";
import { allPages } from "./job";

export type Dataset = components["schemas"]["UploadedDataset"];

const PART_BYTES = 8 << 20;
const TUS = { "Tus-Resumable": "1.0.0" };
const TYPE = "application/offset+octet-stream";

export type Tell = (doing: "Reading" | "Uploading" | "Waiting to upload", done: number) => void;

export async function uploadDataset(file: File, tell: Tell): Promise<Dataset> {
  const stop = new AbortController().signal; // a part may take longer than other requests
  const sha256 = await digestOf(file, tell);
  const datasets = await allPages<Dataset>("v1/datasets", stop);
  const isIt = (one: Dataset) =>
    one.filename === file.name && one.size === file.size && one.sha256 === sha256;
  let dataset: Dataset = datasets.find(isIt) ?? (await announce(file, sha256));
  for (let failures = 0; dataset.status === "uploading"; ) {
    const { received } = dataset;
    tell(failures > 0 ? "Waiting to upload" : "Uploading", received / file.size);
    try {
      await send(`v1/datasets/${dataset.id}`, {
        method: "PATCH",
        headers: { ...TUS, "Upload-Offset": String(received), "Content-Type": TYPE },
        content: file.slice(received, received + PART_BYTES),
        signal: stop,
      });
      failures = 0;
    } catch (error) {
      if (!mayPass(error)) throw error;
      failures += 1;
      tell("Waiting to upload", received / file.size);
      await new Promise((resolve) => setTimeout(resolve, backoff(failures)));
    }
    // After a part that broke, the server may have some of it.
    dataset = await get<Dataset>(`v1/datasets/${dataset.id}`).catch((error: Error) => {
      if (!mayPass(error)) throw error;
      return dataset;
    });
  }
  return dataset;
}

/** Whether the same request may succeed later. */
function mayPass(error: unknown): boolean {
  if (error instanceof ApiError) return error.status >= 500 || error.status === 429;
  return error instanceof Offline;
}

function digestOf(file: File, tell: Tell): Promise<string> {
  const worker = new Worker(new URL("./digest-worker.ts", import.meta.url), { type: "module" });
  return new Promise<string>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Digested>) => {
      if ("sha256" in data) resolve(data.sha256);
      else tell("Reading", data.done);
    };
    worker.onerror = () => reject(new Error("The file could not be read."));
    worker.postMessage(file);
  }).finally(() => worker.terminate());
}

async function announce(file: File, sha256: string): Promise<Dataset> {
  const told = { name: file.name, filename: file.name, sha256 };
  const metadata = Object.entries(told).map(([name, value]) => `${name} ${base64(value)}`);
  const headers = {
    ...TUS,
    "Upload-Length": String(file.size),
    "Upload-Metadata": metadata.join(","),
  };
  const response = await send("v1/datasets", { method: "POST", headers });
  return (await response.json()) as Dataset;
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

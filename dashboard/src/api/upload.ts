/** Upload a data set in parts (tus 1.0). An earlier upload of the same file continues. */

import { get, send } from "./client";
import type { components } from "./schema";
import { allPages } from "./job";
import { Sha256 } from "../model/sha256";

export type Dataset = components["schemas"]["UploadedDataset"];

const PART_BYTES = 8 << 20;
const TUS = { "Tus-Resumable": "1.0.0" };
const TYPE = "application/offset+octet-stream";

export type Tell = (doing: "Reading" | "Uploading", done: number) => void;

export async function uploadDataset(file: File, tell: Tell): Promise<Dataset> {
  const stop = new AbortController().signal; // a part may take longer than other requests
  const sha256 = await digestOf(file, tell);
  const datasets = await allPages<Dataset>("v1/datasets", stop);
  const isIt = (one: Dataset) =>
    one.filename === file.name && one.size === file.size && one.sha256 === sha256;
  let dataset = datasets.find(isIt) ?? (await announce(file, sha256));
  while (dataset.status === "uploading") {
    const { received } = dataset;
    tell("Uploading", received / file.size);
    await send(`v1/datasets/${dataset.id}`, {
      method: "PATCH",
      headers: { ...TUS, "Upload-Offset": String(received), "Content-Type": TYPE },
      content: file.slice(received, received + PART_BYTES),
      signal: stop,
    });
    dataset = await get<Dataset>(`v1/datasets/${dataset.id}`);
  }
  return dataset;
}

async function digestOf(file: File, tell: Tell): Promise<string> {
  const digest = new Sha256();
  for (let from = 0; from < file.size; from += PART_BYTES) {
    tell("Reading", from / file.size);
    digest.update(new Uint8Array(await file.slice(from, from + PART_BYTES).arrayBuffer()));
  }
  return digest.hex();
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

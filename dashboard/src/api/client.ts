/** Requests to the API of the server that the page came from. */

import { signal } from "@preact/signals";

import { root } from "../root";
import type { Problem } from "./types";

const KEY = "relora.key";
const SECONDS = 30;

/** An answer that is an error, with the problem document of the server. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    super(problem.detail ?? `The server answered ${status}.`);
  }
}

/** The server did not answer. */
export class Offline extends Error {}

/** The API key of this tab, or null. It ends with the tab. */
export const apiKey = signal<string | null>(sessionStorage.getItem(KEY));
/** Why the server wants a key, in its own words; null while it wants none. */
export const keyWanted = signal<string | null>(null);
/** When the server answered last, and whether it answers. */
export const connection = signal<{ online: boolean; since: number }>({
  online: true,
  since: Date.now(),
});

export function signIn(key: string): void {
  sessionStorage.setItem(KEY, key);
  apiKey.value = key;
}

export function signOut(): void {
  sessionStorage.removeItem(KEY);
  apiKey.value = null;
  keyWanted.value = "";
}

export type Query = Record<string, string | number | boolean | string[] | null | undefined>;

export function address(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  const text = parameters.toString();
  return `${root}${path}${text ? `?${text}` : ""}`;
}

export interface Sent {
  method?: string;
  query?: Query;
  body?: unknown;
  accept?: string;
  key?: string | null;
  signal?: AbortSignal;
}

/** Send a request and return its response. Raise `ApiError` or `Offline`. */
export async function send(path: string, sent: Sent = {}): Promise<Response> {
  const headers = new Headers();
  const key = sent.key === undefined ? apiKey.value : sent.key;
  if (key) headers.set("Authorization", `Bearer ${key}`);
  if (sent.accept) headers.set("Accept", sent.accept);
  if (sent.body !== undefined) headers.set("Content-Type", "application/json");
  const response = await reach(address(path, sent.query), {
    method: sent.method ?? "GET",
    headers,
    body: sent.body === undefined ? null : JSON.stringify(sent.body),
    cache: "no-store",
    signal: sent.signal ?? AbortSignal.timeout(SECONDS * 1000),
  });
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && sent.key === undefined) keyWanted.value = problem.detail ?? "";
  throw new ApiError(response.status, problem);
}

async function reach(url: string, request: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (connection.value.online) connection.value = { ...connection.value, online: false };
    throw new Offline("The service does not answer.");
  }
  if (!connection.value.online) connection.value = { online: true, since: Date.now() };
  else connection.value.since = Date.now();
  return response;
}

async function problemOf(response: Response): Promise<Partial<Problem>> {
  try {
    return (await response.json()) as Problem;
  } catch {
    return { status: response.status, title: response.statusText };
  }
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  const response = await send(path, { ...(query && { query }), ...(signal && { signal }) });
  return (await response.json()) as T;
}

export async function post<T>(path: string, body?: unknown, query?: Query): Promise<T> {
  const response = await send(path, { method: "POST", body, ...(query && { query }) });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

interface SaveFilePicker {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
}

/** Download a file, which does not pass through memory unless the browser cannot else.
 *
 * Without a key, the browser follows a link. A link cannot carry a key, so then the page itself
 * writes what comes into a file that the reader chooses.
 */
export async function download(path: string, name: string): Promise<void> {
  if (!apiKey.value) return save(address(path), name);
  const picker = (window as SaveFilePicker).showSaveFilePicker;
  const file = picker && (await picker({ suggestedName: name }));
  const response = await send(path, { signal: new AbortController().signal });
  if (file && response.body) return response.body.pipeTo(await file.createWritable());
  const content = URL.createObjectURL(await response.blob());
  save(content, name);
  URL.revokeObjectURL(content);
}

function save(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

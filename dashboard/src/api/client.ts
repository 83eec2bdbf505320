/** Requests to the API of the server that the page came from. */

import { signal } from "@preact/signals";

import { backoff } from "../model/backoff";
import { root } from "../root";
import type { Problem, Session } from "./types";

const SECONDS = 30;

/** An answer that is an error, with the problem document of the server. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    const fields = problem.errors?.map(({ path, message }) => `${path} ${message}`).join("; ");
    super(fields || (problem.detail ?? `The server answered ${status}.`));
  }
}

/** The server did not answer. */
export class Offline extends Error {}

/** Whose data the page shows; null until the server has said so. */
export const session = signal<Session | null>(null);
/** Why the server wants a key, in its own words; null while it wants none. */
export const keyWanted = signal<string | null>(null);
/** When the server answered last, and whether it answers. */
export const connection = signal<{ online: boolean; since: number }>({
  online: true,
  since: Date.now(),
});

const PATH = "v1/session";
const otherTabs = new BroadcastChannel(`relora ${root}`);
// The cookie is that of all tabs: none goes on to show what another key sees.
otherTabs.onmessage = () => location.reload();

/** Ask who is signed in. Where the server wants a key, `keyWanted` says why. */
export async function openSession(failures = 0): Promise<void> {
  try {
    session.value = await get<Session>(PATH);
  } catch {
    if (keyWanted.value === null) setTimeout(openSession, backoff(failures + 1), failures + 1);
  }
}

/** Keep the key in a cookie, which the server sets and no script can read. */
export async function signIn(key: string): Promise<void> {
  const response = await send(PATH, { method: "POST", key });
  session.value = (await response.json()) as Session;
  keyWanted.value = null;
  otherTabs.postMessage(null);
}

export async function signOut(): Promise<void> {
  await send(PATH, { method: "DELETE" });
  otherTabs.postMessage(null);
  location.reload();
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
  /** A body that is no JSON. */
  content?: Blob;
  headers?: Record<string, string>;
  accept?: string;
  /** An API key, where it is not the cookie that says who asks. */
  key?: string;
  signal?: AbortSignal;
}

/** Send a request and return its response. Raise `ApiError` or `Offline`. */
export async function send(path: string, sent: Sent = {}): Promise<Response> {
  const headers = new Headers(sent.headers);
  if (sent.key) headers.set("Authorization", `Bearer ${sent.key}`);
  if (sent.accept) headers.set("Accept", sent.accept);
  if (sent.body !== undefined) headers.set("Content-Type", "application/json");
  const response = await reach(address(path, sent.query), {
    method: sent.method ?? "GET",
    headers,
    body: sent.body === undefined ? (sent.content ?? null) : JSON.stringify(sent.body),
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

/** Let the browser download a file, which does not pass through the page. */
export function download(path: string, name: string): void {
  const link = document.createElement("a");
  link.href = address(path);
  link.download = name;
  link.click();
}

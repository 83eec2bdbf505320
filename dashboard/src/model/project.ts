/** What a caller may do, and how much of a whole a part is. */

import type { Session } from "../api/types";
import { share as percent, UNKNOWN } from "./format";

const SCOPES: Session["scope"][] = ["read", "write", "admin", "operator"];

/** Each scope includes those before it. */
export function hasScope(caller: Pick<Session, "scope">, needed: Session["scope"]): boolean {
  return SCOPES.indexOf(caller.scope) >= SCOPES.indexOf(needed);
}

/** The scopes of the keys that a caller may make. */
export function grantable(caller: Pick<Session, "scope">): Session["scope"][] {
  return SCOPES.slice(0, SCOPES.indexOf(caller.scope) + 1);
}

export function share(part: number, whole: number): string {
  return whole > 0 ? percent(part / whole) : UNKNOWN;
}

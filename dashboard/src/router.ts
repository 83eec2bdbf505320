/** The address of the page: which view it shows, and the state of that view. */

import { computed, signal } from "@preact/signals";

import { routeOf } from "./model/route";
import { root } from "./root";

const base = new URL(root).pathname;

const here = signal(current());

function current(): string {
  return location.pathname.slice(base.length) + location.search;
}

export const route = computed(() => {
  const [path = "", search = ""] = here.value.split("?");
  return routeOf(path, search);
});

export function href(path: string): string {
  return base + path;
}

/** Show another view. With `replace` the one before is not kept in the history. */
export function navigate(path: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", href(path));
  else {
    history.pushState(null, "", href(path));
    scrollTo(0, 0);
  }
  here.value = current();
}

/** Change parameters of the view's address; an empty value removes one. */
export function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const path = here.value.split("?")[0] ?? "";
  const text = query.toString();
  navigate(path + (text ? `?${text}` : ""), { replace: true });
}

addEventListener("popstate", () => {
  here.value = current();
});

/** Follow links within the page without loading it again. */
export function followLinks(event: MouseEvent): void {
  const link = (event.target as Element).closest("a");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || !link.dataset.view) return;
  event.preventDefault();
  navigate(link.pathname.slice(base.length) + link.search);
}

/** The route that an address names. */

export interface Route {
  view: string;
  id: string | null;
  query: URLSearchParams;
}

/** Return the route of an address below the service's own: `jobs/job_1` with `?tab=logs`. */
export function routeOf(path: string, search: string): Route {
  const [view = "jobs", id = null] = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { view, id, query: new URLSearchParams(search) };
}

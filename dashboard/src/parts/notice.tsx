/** What is shown where there is nothing, not yet, or an error. */

import { ApiError } from "../api/client";

/** What did not come, why, and a button to ask again. */
export function Failed({ what, error, retry }: { what: string; error: Error; retry: () => void }) {
  const problem = error instanceof ApiError ? error.problem : {};
  return (
    <div class="notice" role="alert">
      <h2>{what} did not come</h2>
      <p>{error.message}</p>
      {problem.code && (
        <p class="small">
          <code>{problem.code}</code>, request <code>{problem.request_id}</code>
        </p>
      )}
      <button class="button" onClick={retry}>
        Try now
      </button>
    </div>
  );
}

/** Grey bars of the final widths, which appear only if the answer takes long. */
export function Loading({ widths }: { widths: number[] }) {
  return (
    <div class="loading" aria-busy="true" aria-label="Loading">
      {widths.map((width, index) => (
        <i key={index} style={{ width: `${width}px` }} />
      ))}
    </div>
  );
}

/** The jobs that the address names, compared; where it names none, the sweeps. */

import { href, route } from "../router";
import { ComparedJobs } from "./compared-jobs";
import { SweepList } from "./sweeps";

export function Compare() {
  document.title = "Compare · relora";
  const ids = (route.value.query.get("jobs") ?? "").split(",").filter(Boolean);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Compare</h1>
      </div>
      {ids.length > 0 ? (
        <ComparedJobs ids={ids} />
      ) : (
        <>
          <div class="notice">
            <h2>No job is chosen</h2>
            <p>
              Choose some among the{" "}
              <a class="link" href={href("jobs")} data-view="jobs">
                jobs
              </a>
              , then Compare.
            </p>
          </div>
          <SweepList />
        </>
      )}
    </div>
  );
}

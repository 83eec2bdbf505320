/** The view that the address names, or the sign-in where the server wants a key. */

import { useEffect } from "preact/hooks";

import { keyWanted } from "./api/client";
import { Lazy } from "./parts/lazy";
import { Shell } from "./parts/shell";
import { href, route } from "./router";
import { Compare } from "./views/compare";
import { JobView } from "./views/job";
import { Jobs } from "./views/jobs";
import { SignIn } from "./views/sign-in";
import { SweepView } from "./views/sweeps";
import { Workers } from "./views/workers";

export function App() {
  useEffect(() => {
    if (keyWanted.value !== null) document.title = "Sign in · relora";
  });
  if (keyWanted.value !== null) return <SignIn />;
  return (
    <Shell>
      <View />
    </Shell>
  );
}

function View() {
  const { view, id } = route.value;
  switch (view) {
    case "jobs":
      return id ? <JobView key={id} id={id} /> : <Jobs />;
    case "sweeps":
      return id ? <SweepView key={id} id={id} /> : <Compare />;
    case "compare":
      return <Compare />;
    case "workers":
      return <Workers />;
    case "project":
      return <Lazy key={view} load={async () => (await import("./views/project")).ProjectView} />;
    case "new":
      return <Lazy key={view} load={async () => (await import("./views/new-job")).NewJob} />;
    default:
      return (
        <div class="page notice">
          <h2>There is nothing at this address</h2>
          <a class="link" href={href("jobs")} data-view="jobs">
            Jobs
          </a>
        </div>
      );
  }
}

/** Several jobs in one chart and one table, with the fields in which their specs differ. */

import { useRef } from "preact/hooks";

import { curvesOfJobs, getJob } from "../api/job";
import { estimate } from "../api/specs";
import type { Job } from "../api/types";
import { useLive } from "../live";
import type { Compared } from "../model/compared";
import type { Document } from "../model/schema";
import { written } from "../model/yaml";
import { Failed, Loading } from "../parts/notice";
import { CompareChart } from "./compare-chart";
import { EqualScores } from "./compare-scores";
import { Differences, Results } from "./compare-tables";

const ASK_MILLISECONDS = 2000;
const POINTS = 1000;
const CURVES = ["loss", "validation_loss", "tokens_seen", "time"];

/** The chart and the tables of some jobs, live. */
export function ComparedJobs({ ids }: { ids: string[] }) {
  const estimates = useRef(new Map<string, Compared["estimate"]>());
  const live = useLive(
    async (signal): Promise<Compared[]> => {
      const [jobs, curves] = await Promise.all([
        Promise.all(ids.map((id) => getJob(id, signal))),
        curvesOfJobs(ids, CURVES, POINTS, signal),
      ]);
      await Promise.all(jobs.map((job) => learnEstimate(job, estimates.current)));
      return jobs.map((job) => ({
        job,
        metrics: curves.get(job.id) ?? { curves: [], markers: [] },
        estimate: estimates.current.get(job.id) ?? null,
      }));
    },
    {
      key: ids.join(),
      every: ASK_MILLISECONDS,
      on: ({ job }) => ids.includes(job.id),
    },
  );
  if (live.value) {
    return (
      <>
        <CompareChart compared={live.value} />
        <Results compared={live.value} />
        <EqualScores compared={live.value} />
        <Differences jobs={live.value.map(({ job }) => job)} />
      </>
    );
  }
  if (live.error) return <Failed what="The jobs" error={live.error} retry={live.refresh} />;
  return <Loading widths={[320, 280, 300]} />;
}

/** Ask once for each job what it is estimated to need. Without an answer it has no FLOPs. */
async function learnEstimate(job: Job, known: Map<string, Compared["estimate"]>): Promise<void> {
  if (known.has(job.id)) return;
  try {
    known.set(job.id, (await estimate(written(job.spec) as Document)).estimate);
  } catch {
    known.set(job.id, null);
  }
}

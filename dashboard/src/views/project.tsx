/** The project: its quotas and what it used, its keys, webhooks and secrets. */

import { get, post, session } from "../api/client";
import { allPages } from "../api/job";
import type { Job, Page, ProjectReport, Session } from "../api/types";
import { useLive } from "../live";
import { count, fileSize, fixed } from "../model/format";
import { share, hasScope } from "../model/project";
import { Failed, Loading } from "../parts/notice";
import { href } from "../router";
import { Keys } from "./project-keys";
import { Add } from "./project-list";
import { QuotaTable } from "./project-quotas";
import { Secrets } from "./project-secrets";
import { Webhooks } from "./project-webhooks";

const ASK_MILLISECONDS = 10_000;
const MOST_JOBS = 200; // the newest, of which those with GPU hours are listed

export function ProjectView() {
  document.title = "Project · relora";
  const caller = session.value;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Project {caller?.project}</h1>
        {caller && <span class="small">your scope: {caller.scope}</span>}
      </div>
      {caller ? <Parts caller={caller} /> : <Loading widths={[320, 280, 300]} />}
    </div>
  );
}

function Parts({ caller }: { caller: Session }) {
  return (
    <>
      <Used caller={caller} />
      {hasScope(caller, "operator") && <Projects own={caller.project} />}
      {hasScope(caller, "admin") && <Keys caller={caller} />}
      <Webhooks mayChange={hasScope(caller, "write")} />
      <Secrets mayChange={hasScope(caller, "write")} />
    </>
  );
}

function Used({ caller }: { caller: Session }) {
  const { project } = caller;
  const live = useLive(
    async (signal) => {
      const [report, jobs] = await Promise.all([
        get<ProjectReport>(`v1/projects/${project}`, {}, signal),
        get<Page<Job>>("v1/jobs", { limit: MOST_JOBS }, signal),
      ]);
      const hungry = jobs.items.filter((job) => job.gpu_hours > 0);
      return { report, jobs: hungry.sort((a, b) => b.gpu_hours - a.gpu_hours).slice(0, 10) };
    },
    { key: project, every: ASK_MILLISECONDS },
  );
  if (!live.value) {
    return live.error ? (
      <Failed what="The quotas" error={live.error} retry={live.refresh} />
    ) : (
      <Loading widths={[320, 280]} />
    );
  }
  const { report, jobs } = live.value;
  return (
    <>
      <h2 class="section">Quotas</h2>
      <QuotaTable report={report} mayChange={hasScope(caller, "operator")} refresh={live.refresh} />
      <h2 class="section">GPU hours</h2>
      <p class="note">
        <span class="mono">{fixed(report.gpu_hours, 2)}</span> in all, deleted jobs included.
      </p>
      {jobs.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Job</th>
              <th class="w-step number">Attempts</th>
              <th class="w-eta number">GPU hours</th>
              <th class="w-eta number">Share</th>
            </tr>
          </thead>
          <tbody>
            {jobs.map((job) => (
              <tr key={job.id}>
                <td class="cut">
                  <a class="name" href={href(`jobs/${job.id}`)} data-view="job">
                    {job.name || job.id}
                  </a>
                </td>
                <td class="number">{count(job.attempt)}</td>
                <td class="number">{fixed(job.gpu_hours, 2)}</td>
                <td class="number">{share(job.gpu_hours, report.gpu_hours)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Projects({ own }: { own: string }) {
  const live = useLive(
    async (signal) => {
      const projects = await allPages<{ name: string }>("v1/projects", signal);
      const others = projects.filter(({ name }) => name !== own);
      return Promise.all(
        others.map(({ name }) => get<ProjectReport>(`v1/projects/${name}`, {}, signal)),
      );
    },
    { key: own },
  );
  if (live.error) return <Failed what="The projects" error={live.error} retry={live.refresh} />;
  if (!live.value) return null;
  return (
    <section aria-label="Other projects">
      <h2 class="section">Other projects</h2>
      {live.value.length > 0 && <ProjectTable projects={live.value} />}
      <Add
        verb="Make a project"
        add={async (form) => {
          await post("v1/projects", { name: form.get("name") });
          live.refresh();
        }}
      >
        <input name="name" placeholder="Lowercase letters, digits, hyphens" aria-label="Name of the project" required />
      </Add>
    </section>
  );
}

function ProjectTable({ projects }: { projects: ProjectReport[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th>Project</th>
          <th class="w-eta number">Queued</th>
          <th class="w-eta number">Running</th>
          <th class="w-eta number">GPUs</th>
          <th class="w-eta number">Storage</th>
          <th class="w-eta number">GPU hours</th>
        </tr>
      </thead>
      <tbody>
        {projects.map(({ name, usage, gpu_hours }) => (
          <tr key={name}>
            <td class="cut">{name}</td>
            <td class="number">{count(usage.queued_jobs)}</td>
            <td class="number">{count(usage.running_jobs)}</td>
            <td class="number">{count(usage.gpus)}</td>
            <td class="number">{fileSize(usage.storage_bytes)}</td>
            <td class="number">{fixed(gpu_hours, 2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

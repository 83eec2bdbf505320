/** The checkpoints of a job, and all its files with their sizes and hashes. */

import { artifacts, checkpoints } from "../api/job";
import { download } from "../api/client";
import type { Artifact, Checkpoint, Job } from "../api/types";
import { useLive } from "../live";
import { clock, count, fileSize, fullDate, perplexity, UNKNOWN } from "../model/format";
import { isFinal, perplexityAt } from "../model/job";
import { Icon } from "../parts/icon";
import { Failed, Loading } from "../parts/notice";

const ASK_MILLISECONDS = 5000;

export function JobFiles({ job }: { job: Job }) {
  const live = useLive(
    async (signal) => {
      const [saved, files] = await Promise.all([
        checkpoints(job.id, signal),
        artifacts(job.id, signal),
      ]);
      return { saved, files };
    },
    { key: job.id, every: isFinal(job.status) ? 0 : ASK_MILLISECONDS },
  );
  if (!live.value) {
    return live.error ? (
      <Failed what="The files" error={live.error} retry={live.refresh} />
    ) : (
      <Loading widths={[300, 300, 300]} />
    );
  }
  const { saved, files } = live.value;
  if (files.length === 0) {
    return (
      <div class="notice">
        <h2>No file yet</h2>
        <p>Checkpoints are listed here when they are complete in the storage.</p>
      </div>
    );
  }
  return (
    <>
      <h2 class="section">Checkpoints and models</h2>
      <Checkpoints job={job} saved={saved} />
      <h2 class="section">Files</h2>
      <Files job={job} files={files} />
    </>
  );
}

function Checkpoints({ job, saved }: { job: Job; saved: Checkpoint[] }) {
  return (
    <table class="dense">
      <thead>
        <tr>
          <th>Folder</th>
          <th class="w-step number">Step</th>
          <th class="w-score number">Perplexity</th>
          <th class="w-score number">Files</th>
          <th class="w-size number">Size</th>
          <th class="w-clock">Saved</th>
          <th class="w-acts" />
        </tr>
      </thead>
      <tbody>
        {saved.map((one) => (
          <tr key={one.path}>
            <td class="mono cut">{one.path}</td>
            <td class="number">{count(one.step)}</td>
            <td class="number">{perplexity(perplexityAt(one))}</td>
            <td class="number">{one.files}</td>
            <td class="number">{fileSize(one.size)}</td>
            <td class="mono" title={fullDate(one.created_at)}>
              {clock(one.created_at)}
            </td>
            <td class="number">
              {one.merged && (
                <button
                  class="button bare"
                  onClick={() =>
                    download(
                      `v1/jobs/${job.id}/model.tar?step=${one.step}`,
                      `${job.name || job.id}-${one.step}.tar`,
                    )
                  }
                >
                  <Icon name="down" />
                  model.tar
                </button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Files({ job, files }: { job: Job; files: Artifact[] }) {
  return (
    <table class="dense">
      <thead>
        <tr>
          <th>Path</th>
          <th class="w-step number">Step</th>
          <th class="w-size number">Size</th>
          <th class="w-hash">sha256</th>
          <th class="w-acts" />
        </tr>
      </thead>
      <tbody>
        {files.map((file) => (
          <tr key={file.path}>
            <td class="mono cut" title={file.path}>
              {file.path}
            </td>
            <td class="number">{file.step === null ? UNKNOWN : count(file.step)}</td>
            <td class="number">{fileSize(file.size)}</td>
            <td class="mono cut" title={file.sha256}>
              {file.sha256.slice(0, 12)}
            </td>
            <td class="number">
              <button
                class="button bare square"
                aria-label={`Download ${file.path}`}
                onClick={() =>
                  download(
                    `v1/jobs/${job.id}/artifacts/${file.path}`,
                    file.path.split("/").at(-1) ?? file.path,
                  )
                }
              >
                <Icon name="down" />
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

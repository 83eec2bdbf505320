/** The spec of a job as YAML, and as the commands that submit it again. */

import type { Job } from "../api/types";
import { asCurl, asPython, toYaml, written } from "../model/yaml";
import { Copy } from "../parts/copy";
import { Icon } from "../parts/icon";
import { root } from "../root";
import { href } from "../router";

export function JobSpec({ job }: { job: Job }) {
  const spec = written(job.spec);
  return (
    <>
      <div class="toolbar">
        <span class="small">With all defaults, as the job runs</span>
        <span class="space" />
        <a class="button" href={href(`new?from=${job.id}`)} data-view="new">
          <Icon name="fork" />
          Fork with changes
        </a>
        <Copy text={() => toYaml(spec)} label="Copy as YAML" word="YAML" />
        <Copy text={() => asCurl(spec, root)} label="Copy as curl" word="curl" />
        <Copy text={() => asPython(spec, root)} label="Copy as Python" word="Python" />
      </div>
      <pre class="log" tabIndex={0} aria-label="Spec">
        {toYaml(spec)}
      </pre>
    </>
  );
}

/** What a spec will cost, beside full rank. */

import type { Estimated } from "../api/specs";
import { duration, exponent, memory, share, short } from "../model/format";

type Run = NonNullable<Estimated["estimate"]>["run"];

export function Estimate({ estimated }: { estimated: Estimated | null }) {
  const found = estimated?.estimate;
  if (!found) {
    return <p class="small">{estimated?.not_estimated ?? "The estimate comes with a valid spec."}</p>;
  }
  const { run, full_rank: full, hardware } = found;
  const rows: [string, (one: Run) => string, number][] = [
    ["Time", (one) => duration(one.seconds), run.seconds / full.seconds],
    [
      "FLOPs",
      (one) => exponent(one.executed_flops),
      run.executed_flops / full.executed_flops,
    ],
    ["Trained at the end", (one) => short(trainedAtTheEnd(one)), trainedAtTheEnd(run) / trainedAtTheEnd(full)],
    ["Peak memory of a GPU", (one) => memory(one.peak_bytes), run.peak_bytes / full.peak_bytes],
  ];
  return (
    <>
      <h2 class="section">
        Estimate{" "}
        <span class="small">
          on {hardware.gpus} × {hardware.gpu.name}, at {share(hardware.utilization, 0)} of its peak
          {run.fits ? "" : "; it does not fit into its memory"}
        </span>
      </h2>
      <table>
        <thead>
          <tr>
            <th />
            <th class="number">This run</th>
            <th class="number">Full rank</th>
            <th class="number">Ratio</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, value, ratio]) => (
            <tr key={name}>
              <td>{name}</td>
              <td class="number">{value(run)}</td>
              <td class="number">{value(full)}</td>
              <td class="number">{share(ratio)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function trainedAtTheEnd(run: Run): number {
  return run.phases.at(-1)?.trainable_parameters ?? 0;
}

/** The perplexity of several jobs at equal steps, tokens, time and FLOPs. */

import { type Compared, type CompareAxis, equalScores, namesOf } from "../model/compared";
import { count, duration, exponent, perplexity, short, UNKNOWN } from "../model/format";

const AXES: Record<CompareAxis, { title: string; format: (value: number) => string }> = {
  step: { title: "Steps", format: count },
  tokens: { title: "Tokens", format: short },
  time: { title: "Time", format: duration },
  flops: { title: "FLOPs, estimated", format: (value) => exponent(value, 1) },
};

export function EqualScores({ compared }: { compared: Compared[] }) {
  const scores = compared.length > 1 ? equalScores(compared) : [];
  const names = namesOf(compared.map(({ job }) => job));
  if (scores.length === 0) return null;
  return (
    <section aria-label="Scores at equal cost">
      <h2 class="section">
        Perplexity at equal cost{" "}
        <span class="small">
          validation, read off between two measures; * the run has gone on since
        </span>
      </h2>
      <table class="dense">
        <thead>
          <tr>
            <th>As many</th>
            <th class="number">At</th>
            {compared.map(({ job }, index) => (
              <th key={job.id} class="number cut">
                {names[index]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {scores.map(({ axis, at, losses, goesOn }) => {
            const best = Math.min(...losses.map((loss) => loss ?? Number.POSITIVE_INFINITY));
            return (
              <tr key={axis}>
                <td>{AXES[axis].title}</td>
                <td class="number">{AXES[axis].format(at)}</td>
                {losses.map((loss, index) => (
                  <td key={compared[index]?.job.id} class="number">
                    {loss === null ? UNKNOWN : perplexity(Math.exp(loss))}
                    {goesOn[index] && "*"}
                    {loss === best && <b> best</b>}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

/** What a restart did, what it cost and what it bought. */

import type { ComponentChildren } from "preact";

import type { Curve } from "../api/types";
import { firstAbove } from "../model/curves";
import { clock, count, exponent, fixed, share, short, UNKNOWN } from "../model/format";
import type { Restart } from "../model/restarts";
import { isPhone } from "../media";

const WIDTH = 340;

interface RestartCardProps {
  restart: Restart;
  loss: Curve | null;
  /** Where the restart is, as a share of the width of the plots. */
  at: number;
}

export function RestartCard({ restart, loss, at }: RestartCardProps) {
  const { merge, reset, rate, recovery, spectrum, report } = restart;
  const side = at > 0.5 ? { right: `calc(${100 * (1 - at)}% + 16px)` } : { left: `calc(${100 * at}% + 16px)` };
  return (
    <div class="card-room">
      <aside
        class="restart-card"
        aria-label={`Restart ${restart.number}`}
        style={isPhone.value ? {} : side}
      >
        <header>
          <span class="flag on">{restart.number}</span>
          <b>Restart {restart.number}</b>
          <span class="space" />
          <span class="mono">step {count(restart.step)}</span>
        </header>
        <p class="small">
          {clock(merge.time)} · {count(merge.layers)} layers
        </p>
        {loss && <LossAround loss={loss} restart={restart} />}
        <dl>
          <Fact name="Loss">
            {recovery ? (
              <>
                {fixed(recovery.before, 3)} → {fixed(recovery.top, 3)} <Unit>nats at the top</Unit>
              </>
            ) : (
              UNKNOWN
            )}
          </Fact>
          <Fact name="Recovered">
            {recovery?.steps ? (
              <>
                {count(recovery.steps)} <Unit>steps later</Unit>
              </>
            ) : (
              <Unit>not before the next restart, or not yet</Unit>
            )}
          </Fact>
          {spectrum && (
            <Fact name="Effective rank">
              {restart.rankGained !== null && (
                <>
                  +{fixed(restart.rankGained, 1)} <Unit>to</Unit>{" "}
                </>
              )}
              {fixed(spectrum.effective_rank, 1)}
            </Fact>
          )}
          {report && (
            <Fact name="Warm-up lost">
              {short(report.tokens_lost)} <Unit>{report.unit}</Unit>
            </Fact>
          )}
          {typeof report?.angle === "number" && (
            <Fact name="New directions">
              {fixed(report.angle, 0)}° <Unit>to those of the earlier cycles</Unit>
            </Fact>
          )}
        </dl>
        <hr />
        <dl>
          <Fact name="Merged">
            {fixed(merge.update_norm, 2)}{" "}
            <Unit>norm, {share(Number(merge.update_norm) / Number(merge.weight_norm))} of that of W</Unit>
          </Fact>
          {Number(merge.residual_norm) > 0 && (
            <Fact name="Rounding error">
              {fixed(merge.residual_norm, 3)} <Unit>norm, carried to the next</Unit>
            </Fact>
          )}
          {reset && (
            <Fact name="State kept">
              {share(reset.kept)} <Unit>of the moments, by {reset.mode}</Unit>
            </Fact>
          )}
          {rate && (
            <Fact name="Learning rate">
              {exponent(rate.learning_rate_before, 1)} → {exponent(rate.learning_rate, 1)} →{" "}
              {exponent(rate.learning_rate_target, 1)}
            </Fact>
          )}
        </dl>
        <footer class="small">
          <kbd>[</kbd> <kbd>]</kbd> before, after
        </footer>
      </aside>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Unit({ children }: { children: ComponentChildren }) {
  return <span class="unit">{children}</span>;
}

/** The loss of the reports around the restart, with the level before it. */
function LossAround({ loss, restart }: { loss: Curve; restart: Restart }) {
  const middle = firstAbove(loss.steps, restart.step);
  const start = Math.max(0, middle - 15);
  const steps = loss.steps.slice(start, middle + 35);
  const values = loss.values.slice(start, middle + 35);
  const finite = values.filter((value): value is number => value !== null);
  if (finite.length < 2 || !restart.recovery) return null;
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const [from = 0, to = 1] = [steps[0], steps.at(-1)];
  const x = (step: number) => ((step - from) / (to - from || 1)) * (WIDTH - 28);
  const y = (value: number) => 6 + (1 - (value - low) / (high - low || 1)) * 56;
  const path = steps
    .map((step, index) => ({ step, value: values[index] ?? null }))
    .filter((point): point is { step: number; value: number } => point.value !== null)
    .map(({ step, value }, index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`)
    .join("");
  return (
    <svg class="around" viewBox={`0 0 ${WIDTH - 28} 68`} aria-hidden="true">
      <path class="level" d={`M0 ${y(restart.recovery.before)}H${WIDTH}`} />
      <path class="restart" d={`M${x(restart.step)} 0V68`} />
      <path class="curve" d={path} />
    </svg>
  );
}

/** The quotas of a project with what is used, which an operator can change. */

import { send } from "../api/client";
import type { ProjectReport } from "../api/types";
import { count, fileSize, words } from "../model/format";
import { Add } from "./project-list";

type Quota = keyof ProjectReport["usage"];

const GIGABYTE = 1_000_000_000;

interface QuotasProps {
  report: ProjectReport;
  mayChange: boolean;
  refresh: () => void;
}

export function QuotaTable({ report, mayChange, refresh }: QuotasProps) {
  const names = Object.keys(report.usage) as Quota[];
  return (
    <>
      <table>
        <thead>
          <tr>
            <th>Quota</th>
            <th class="w-progress" />
            <th class="w-eta number">Used</th>
            <th class="w-eta number">Limit</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <Row key={name} name={name} used={report.usage[name]} limit={report.quotas[name] ?? null} />
          ))}
        </tbody>
      </table>
      {mayChange && <Change report={report} names={names} refresh={refresh} />}
    </>
  );
}

function Row({ name, used, limit }: { name: Quota; used: number; limit: number | null }) {
  const shown = (value: number) => (name === "storage_bytes" ? fileSize(value) : count(value));
  return (
    <tr>
      <td>{titleOf(name)}</td>
      <td>
        {limit !== null && (
          <meter min={0} max={Math.max(limit, 1)} value={used} aria-label={titleOf(name)} />
        )}
      </td>
      <td class="number">{shown(used)}</td>
      <td class="number">{limit === null ? <span class="small">none</span> : shown(limit)}</td>
    </tr>
  );
}

function Change({ report, names, refresh }: { report: ProjectReport; names: Quota[]; refresh: () => void }) {
  return (
    <Add
      verb="Change the quota"
      add={async (form) => {
        const name = form.get("quota") as Quota;
        const text = String(form.get("limit")).trim();
        const limit = name === "storage_bytes" ? Math.round(Number(text) * GIGABYTE) : Number(text);
        const body = { quotas: { [name]: text === "" ? null : limit } };
        await send(`v1/projects/${report.name}`, { method: "PATCH", body });
        refresh();
      }}
    >
      <select name="quota" aria-label="Quota">
        {names.map((name) => (
          <option key={name} value={name}>
            {titleOf(name)}
            {name === "storage_bytes" && ", GB"}
          </option>
        ))}
      </select>
      <input name="limit" inputMode="decimal" placeholder="Empty: no limit" aria-label="Limit" />
    </Add>
  );
}

function titleOf(name: Quota): string {
  return words(name.replace("_bytes", "").replace("gpus", "GPUs"));
}

/** Numbers, times and sizes as people read them. What is not known is an en dash. */

export const UNKNOWN = "–";

type Maybe<T> = T | null | undefined;

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** JSON has no NaN: a value that is not finite comes as a text. */
type Measured = Maybe<number | "NaN" | "Infinity" | "-Infinity">;

function known(value: Measured): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** 16,840 */
export function count(value: Measured): string {
  return known(value) ? grouped.format(value) : UNKNOWN;
}

/** 2.984 */
export function fixed(value: Measured, decimals: number): string {
  if (!known(value)) return UNKNOWN;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}

/** A perplexity: 20.14, or 4,274 where decimals say nothing. */
export function perplexity(value: Measured): string {
  return fixed(value, known(value) && value >= 1000 ? 0 : 2);
}

/** 1.57e-4, and 5e-4 with no digits. */
export function exponent(value: Measured, digits = 2): string {
  if (!known(value)) return UNKNOWN;
  return value === 0 ? "0" : value.toExponential(digits).replace("e+", "e");
}

/** Three significant digits with a suffix: 811k, 9.93B, 412. */
export function short(value: Measured): string {
  if (!known(value)) return UNKNOWN;
  const units: [number, string][] = [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  const [scale, suffix] = units.find(([one]) => Math.abs(value) >= one * 0.9995) ?? [1, ""];
  const scaled = value / scale;
  if (suffix === "") return scaled < 10 ? String(+scaled.toPrecision(3)) : grouped.format(scaled);
  return (Math.abs(scaled) >= 99.95 ? scaled.toFixed(0) : scaled.toPrecision(3)) + suffix;
}

/** 84.2%, and 100% without decimals. */
export function share(value: Measured, decimals = 1): string {
  if (!known(value)) return UNKNOWN;
  const percent = 100 * value;
  return `${percent === 100 ? "100" : percent.toFixed(decimals)}%`;
}

/** 38 s, 38 min, 1 h 33 min, 2 d 4 h */
export function duration(seconds: Maybe<number>): string {
  if (!known(seconds)) return UNKNOWN;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return parts(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return parts(Math.floor(hours / 24), "d", hours % 24, "h");
}

function parts(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smallUnit}`;
}

/** How long ago, in one unit: 24 min, 3 h, 2 d. */
export function age(moment: Maybe<string>, now: number): string {
  if (!moment) return UNKNOWN;
  const seconds = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** The time of day in the reader's zone: 14:44:06. */
export function clock(moment: Maybe<string>): string {
  return moment ? new Date(moment).toLocaleTimeString("en-GB") : UNKNOWN;
}

/** The full date in the reader's zone, for a title. */
export function fullDate(moment: Maybe<string>): string {
  if (!moment) return "";
  return new Date(moment).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" });
}

/** Memory: 66.2 GiB. */
export function memory(bytes: Maybe<number>): string {
  return scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

/** The size of a file: 3.93 GB. */
export function fileSize(bytes: Maybe<number>): string {
  return scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB"]);
}

function scaled(bytes: Maybe<number>, base: number, units: string[]): string {
  if (!known(bytes)) return UNKNOWN;
  let value = bytes;
  let unit = 0;
  while (value >= base * 0.9995 && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** "First", "Second", "12th": the place in a queue. */
export function ordinal(place: number): string {
  const words = ["First", "Second", "Third", "Fourth", "Fifth"];
  const rest = place % 100;
  const endings: Record<number, string> = { 1: "st", 2: "nd", 3: "rd" };
  const ending = rest >= 11 && rest <= 13 ? "th" : (endings[place % 10] ?? "th");
  return words[place - 1] ?? `${place}${ending}`;
}

/** "Low rank" for "low_rank". */
export function words(name: Maybe<string>): string {
  if (!name) return UNKNOWN;
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

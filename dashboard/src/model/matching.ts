/** Finding by what people type. */

/** Whether each word of the text is in one of the values, in any case. */
export function hasWords(text: string, ...values: string[]): boolean {
  const known = values.join(" ").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => known.includes(word));
}

/** The place in a list after a step, which goes round at both ends. */
export function around(place: number, by: number, length: number): number {
  return length === 0 ? 0 : (place + by + length) % length;
}

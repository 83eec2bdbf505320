/** The colours of the tokens, for what is drawn on a canvas. */

export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function font(): string {
  return `11px ${token("mono")}`;
}

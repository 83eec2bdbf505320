/** Light or dark: as the system says, unless the reader chose. */

import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const NAME = "relora.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = signal<Theme | null>(localStorage.getItem(NAME) as Theme | null);
const ofSystem = signal<Theme>(system.matches ? "dark" : "light");

system.addEventListener("change", () => {
  ofSystem.value = system.matches ? "dark" : "light";
});

export const theme = signal<Theme>(chosen.value ?? ofSystem.value);

effect(() => {
  theme.value = chosen.value ?? ofSystem.value;
  document.documentElement.dataset.theme = theme.value;
});

export function switchTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(NAME, next);
  chosen.value = next;
}

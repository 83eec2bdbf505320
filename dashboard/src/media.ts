/** Whether the page is as narrow as on a phone. */

import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 720px)");

export const isPhone = signal(query.matches);

query.addEventListener("change", () => {
  isPhone.value = query.matches;
});

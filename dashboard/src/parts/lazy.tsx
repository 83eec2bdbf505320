/** A view whose script is loaded when it is first shown. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Loading } from "./notice";

export function Lazy({ load }: { load: () => Promise<ComponentType> }) {
  const [View, setView] = useState<ComponentType | null>(null);
  useEffect(() => {
    void load().then((loaded) => setView(() => loaded));
  }, []);
  return View ? <View /> : <Loading widths={[320, 280, 340]} />;
}

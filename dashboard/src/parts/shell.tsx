/** The frame of every view: the top bar, and what is told above all views. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import { connection, session, signOut } from "../api/client";
import { useCommands } from "../commands";
import { useKeys } from "../keys";
import { useNow } from "../live";
import { clock } from "../model/format";
import { href, navigate, route } from "../router";
import { switchTheme, theme } from "../theme";
import { Icon, type IconName, Mark } from "./icon";
import { KeyList } from "./key-list";
import { Palette } from "./palette";

interface Section {
  view: string;
  title: string;
  icon: IconName;
  keys: string;
}

const SECTIONS: Section[] = [
  { view: "jobs", title: "Jobs", icon: "jobs", keys: "g j" },
  { view: "compare", title: "Compare", icon: "compare", keys: "g c" },
  { view: "workers", title: "Workers and queue", icon: "workers", keys: "g w" },
  { view: "project", title: "Project", icon: "key", keys: "g p" },
  { view: "new", title: "New job", icon: "plus", keys: "n" },
];

export function Shell({ children }: { children: ComponentChildren }) {
  const [floating, setFloating] = useState<"palette" | "keys" | null>(null);
  const close = () => setFloating(null);
  useKeys({
    t: switchTheme,
    "?": () => setFloating("keys"),
    ...Object.fromEntries(SECTIONS.map(({ view, keys }) => [keys, () => navigate(view)])),
  });
  usePaletteKey(() => setFloating("palette"));
  useCommands([
    ...SECTIONS.map(({ view, title, keys }) => ({
      title,
      hint: "page",
      key: keys.toUpperCase(),
      run: () => navigate(view),
    })),
    { title: "Light or dark", key: "T", run: switchTheme },
    { title: "Keys", key: "?", run: () => setFloating("keys") },
    ...(session.value?.key_id ? [{ title: "Sign out", run: () => void signOut() }] : []),
  ]);
  return (
    <>
      {floating === "palette" && <Palette onClose={close} />}
      {floating === "keys" && <KeyList onClose={close} />}
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href("jobs")} data-view="jobs">
          <Mark />
          relora
        </a>
        <nav class="sections" aria-label="Main">
          <SectionLinks />
        </nav>
        <span class="space" />
        <button
          class="button bare find"
          onClick={() => setFloating("palette")}
          title="Find a job, a page or a command"
          aria-keyshortcuts="Control+K Meta+K"
        >
          <Icon name="search" />
          <span>Find</span>
          <kbd aria-hidden="true">Ctrl K</kbd>
        </button>
        <Connection />
        <button
          class="button bare square"
          onClick={switchTheme}
          aria-label={theme.value === "dark" ? "Light theme" : "Dark theme"}
        >
          <Icon name={theme.value === "dark" ? "moon" : "sun"} />
        </button>
        {session.value?.key_id && (
          <button class="button bare" onClick={() => void signOut()}>
            <Icon name="key" />
            Sign out
          </button>
        )}
      </header>
      {!connection.value.online && <OfflineBar />}
      <main id="content">{children}</main>
      <nav class="bottom" aria-label="Sections">
        <SectionLinks icons />
      </nav>
    </>
  );
}

/** Unlike letters, it also works while a field has the focus. */
function usePaletteKey(open: () => void): void {
  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) open();
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

function SectionLinks({ icons = false }: { icons?: boolean }) {
  return (
    <>
      {SECTIONS.map(({ view, title, icon }) => (
        <a
          key={view}
          href={href(view)}
          data-view={view}
          aria-current={route.value.view === view ? "page" : undefined}
        >
          {icons && <Icon name={icon} />}
          {title}
        </a>
      ))}
    </>
  );
}

function Connection() {
  const { online } = connection.value;
  return (
    <span class={online ? "connection" : "connection off"} role="status">
      <i />
      {online ? "Live" : "Offline"}
    </span>
  );
}

function OfflineBar() {
  useNow();
  const since = clock(new Date(connection.value.since).toISOString());
  return (
    <div class="offline" role="status">
      <Icon name="offline" />
      <span>
        No answer from the service since <span class="mono">{since}</span>. What you see is from
        then; the page asks again by itself.
      </span>
    </div>
  );
}

/** The frame of every view: the top bar, and what is told above all views. */

import type { ComponentChildren } from "preact";

import { connection, session, signOut } from "../api/client";
import { useKeys } from "../keys";
import { useNow } from "../live";
import { clock } from "../model/format";
import { href, navigate, route } from "../router";
import { switchTheme, theme } from "../theme";
import { Icon, type IconName, Mark } from "./icon";

interface Section {
  view: string;
  title: string;
  icon: IconName;
}

const SECTIONS: Section[] = [
  { view: "jobs", title: "Jobs", icon: "jobs" },
  { view: "compare", title: "Compare", icon: "compare" },
  { view: "workers", title: "Workers and queue", icon: "workers" },
  { view: "project", title: "Project", icon: "key" },
  { view: "new", title: "New job", icon: "plus" },
];

export function Shell({ children }: { children: ComponentChildren }) {
  useKeys({ t: switchTheme, n: () => navigate("new") });
  return (
    <>
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

/** Sign in with an API key, which stays in a cookie until the browser ends. */

import { useState } from "preact/hooks";

import { keyWanted, signIn } from "../api/client";
import { Mark } from "../parts/icon";
import { LearningRate } from "../parts/learning-rate";
import { root } from "../root";

const COMMAND = "python -m jobs.admin.keys create --name laptop --scope write";

/** Why the key of before is refused; that there was none needs no words. */
function refusalOfBefore(): string {
  return keyWanted.value?.startsWith("The key") ? keyWanted.value : "";
}

export function SignIn() {
  const [refusal, setRefusal] = useState(refusalOfBefore);
  const [asking, setAsking] = useState(false);

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const key = String(new FormData(form).get("key")).trim();
    setAsking(true);
    try {
      await signIn(key);
    } catch (error) {
      setRefusal((error as Error).message);
      form.querySelector("input")?.focus();
    } finally {
      setAsking(false);
    }
  }

  return (
    <div class="sign-in">
      <form onSubmit={submit}>
        <div class="brand">
          <Mark />
          relora
        </div>
        <h1>Sign in</h1>
        <p>
          With an API key of this service, <code>{new URL(root).host}</code>
        </p>
        <label for="key">API key</label>
        <input
          id="key"
          name="key"
          type="password"
          class={refusal ? "mono wrong" : "mono"}
          placeholder="rlk_…"
          autocomplete="current-password"
          required
          autofocus
          aria-invalid={!!refusal}
          aria-describedby="refusal"
        />
        <p id="refusal" class="refusal" role="alert">
          {refusal}
        </p>
        <button class="button primary large" disabled={asking}>
          Sign in
        </button>
        <div class="hint">
          <p>The browser keeps it until you sign out or close the browser. No script can read it.</p>
          <p>No key yet? Ask who runs the service, or on its machine:</p>
          <code class="block">{COMMAND}</code>
        </div>
      </form>
      <div class="motif" aria-hidden="true">
        <LearningRate />
      </div>
    </div>
  );
}

// Signing in: an API key, pasted. It stays in this tab.

import * as session from "../session.js";
import { request } from "../api.js";
import { h } from "../dom.js";
import { form, input, markInvalid } from "../fields.js";
import { failure } from "../notices.js";
import { navigate } from "../router.js";
import { checkKey } from "../identity.js";

export const title = "Sign in";

export function mount(container, { parameters, signal }) {
  const why = h("div", {});
  const submit = async (given) => {
    why.replaceChildren();
    if (!given.key) return markInvalid(fields, "key", "paste a key");
    session.start(given.key, given.tenant_id ?? "");
    try {
      const readsMetrics = await checkKey(signal);
      location.hash = parameters.get("then") || (readsMetrics ? "#/metrics" : "#/system");
    } catch (error) {
      if (signal.aborted) return;
      session.end();
      why.replaceChildren(failure(error));
    }
  };
  const fields = form(
    "Sign in",
    submit,
    input({ label: "API key", name: "key", type: "password", hint: "Kept in this tab only, until it is closed or you sign out." }),
    input({ label: "Tenant", name: "tenant_id", value: session.tenant(), hint: "Only where the key does not name one." }),
    h("div", {}, h("button", { class: "primary" }, "Sign in")),
  );
  const told = parameters.get("why");
  container.append(
    h(
      "section",
      { class: "panel sign-in" },
      h("h1", { tabindex: "-1" }, "Sign in to Horolog"),
      told && h("p", { class: "muted", role: "status" }, told),
      fields,
      why,
    ),
  );
  fields.elements.key.focus();
}

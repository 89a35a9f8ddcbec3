// Signing in with a pasted API key, which stays in this tab.

import * as session from "../session.js";
import { h } from "../dom.js";
import { clearInvalid, form, input, markInvalid } from "../fields.js";
import { failure } from "../notices.js";
import { href } from "../router.js";
import { firstView, forget, mayView, needsTenant, whoAmI } from "../identity.js";

export const title = "Sign in";

export function mount(container, { parameters, signal }) {
  const why = h("div", {});
  const submit = async (given) => {
    why.replaceChildren();
    clearInvalid(fields);
    if (!given.key) return markInvalid(fields, "key", "paste a key");
    session.start(given.key, given.tenant_id ?? "");
    forget();
    try {
      const who = await whoAmI();
      if (signal.aborted) return;
      const wrong = wrongTenant(who, given.tenant_id);
      if (wrong) {
        session.end();
        return markInvalid(fields, "tenant_id", wrong);
      }
      const wanted = parameters.get("then") ?? "";
      location.hash = mayView(who, wanted.split(/[/?]/)[1]) ? wanted : href([firstView(who)]);
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
    input({ label: "Tenant", name: "tenant_id", value: session.tenant(), hint: "Only for a key that is for any tenant." }),
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

/** Why a key cannot be used for a tenant, or without one. */
function wrongTenant(who, given) {
  if (!given) return needsTenant(who) && "this key is for any tenant: enter one";
  return who.tenant !== "*" && who.tenant !== given && `this key is for the tenant ${who.tenant}`;
}

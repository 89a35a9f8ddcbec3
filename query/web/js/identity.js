// Who is signed in, as the server knows them, and which views they may use.

import { get } from "./api.js";
import * as session from "./session.js";

/** The permission that each view needs, in the order of the navigation. */
const NEEDED = { metrics: "metrics:read", services: "metrics:read", audit: "audit:read", exports: "audit:export", system: "system:read", keys: "keys:manage" };

let known = { key: "", who: null };

/** Name, role, tenant, teams and permissions; requested once per key. */
export async function whoAmI() {
  const key = session.key();
  if (known.key !== key) known = { key, who: get("/v1/whoami") };
  const asked = known;
  try {
    return await asked.who;
  } catch (error) {
    // The next caller asks again.
    if (known === asked) forget();
    throw error;
  }
}

/** Forgets the answer, so that it is requested again even for the same key. */
export function forget() {
  known = { key: "", who: null };
}

/** Whether a view has anything to show them. The health of services covers all teams together. */
export const mayView = (who, view) => who.permissions.includes(NEEDED[view]) && (view !== "services" || who.teams.length === 0);

/** The view that they start with. */
export const firstView = (who) => Object.keys(NEEDED).find((view) => mayView(who, view)) ?? "metrics";

/** Whether they see data of a tenant, which a key for any tenant does not name. */
export const needsTenant = (who) => who.tenant === "*" && ["metrics", "audit"].some((view) => mayView(who, view));

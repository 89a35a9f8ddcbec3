// The tenant of requests: the key's own, or the one that the reader chooses if the key is for any tenant.

import * as session from "./session.js";

/** Parameters with the tenant, if one was chosen. */
export const scoped = (parameters = {}) => (session.tenant() ? { tenant_id: session.tenant(), ...parameters } : parameters);

// Whose data is asked for. A key says it itself; without keys, or with a key of several tenants, the reader does.

import * as session from "./session.js";

/** Parameters with the tenant, where one was chosen. */
export const scoped = (parameters = {}) => (session.tenant() ? { tenant_id: session.tenant(), ...parameters } : parameters);

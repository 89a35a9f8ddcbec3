// Whether the server takes the key.

import { get } from "./api.js";
import { scoped } from "./scope.js";

/** Ends well for every key that the server knows. Whether it may read metrics: an administrator's may not. */
export async function checkKey(signal) {
  try {
    await get("/v1/metrics/names", scoped({ limit: 1 }), signal);
    return true;
  } catch (error) {
    if (error.status !== 403) throw error;
    return false;
  }
}

// The page of the API's description as its readers see it: a key is given once, and requests are made with it.

import { check, KEYS, PAGE_URL, run, TENANT } from "./harness.mjs";

await run({
  "an operation is tried with a key, under the policy that the page has": async (visit) => {
    const { page } = visit;
    await page.goto(`${PAGE_URL}/docs/`);
    const operation = page.locator(".opblock", { hasText: "/v1/audit/counts" }).first();
    await operation.waitFor();
    await page.getByRole("button", { name: "Authorize" }).first().click();
    const dialog = page.locator(".modal-ux");
    await dialog.locator("input").fill(KEYS.auditor);
    await dialog.getByRole("button", { name: "Apply credentials" }).or(dialog.locator("button.authorize")).first().click();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await operation.locator(".opblock-summary").click();
    await operation.locator(".try-out__btn").click();
    await operation.locator("tr[data-param-name=tenant_id] input").fill(TENANT);
    await operation.locator(".execute").click();
    const answer = operation.locator(".live-responses-table .response-col_status").last();
    await answer.waitFor();
    check((await answer.innerText()).startsWith("200"), "the request is answered", await operation.locator(".live-responses-table").innerText());
  },
});

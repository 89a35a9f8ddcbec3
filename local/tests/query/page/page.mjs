// The web page as its readers see it: each view, errors, empty states, the keyboard, keys without permission.

import { check, PAGE_URL, KEYS, run, TENANT } from "./harness.mjs";

const DAY = "range=custom&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
const YEAR = "range=custom&from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z";

await run({
  "nobody is let in without a key, a wrong one is said to be wrong, and signing out forgets it": async (visit) => {
    const { page } = visit;
    visit.expectRefusal(401);
    await page.goto(`${PAGE_URL}/#/audit`);
    await page.getByRole("heading", { name: "Sign in to Horolog" }).waitFor();
    await visit.judge();
    await page.getByLabel("API key").fill("not a key");
    await page.getByLabel("API key").press("Enter");
    await page.getByRole("alert").getByText("You are not signed in").waitFor();
    await page.getByLabel("API key").fill(KEYS.auditor);
    await page.getByLabel("Tenant").fill(TENANT);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Audit search" }).waitFor();
    await visit.settled();
    check(!page.url().includes(KEYS.auditor), "the key is not in the address");
    const stored = await page.evaluate(() => JSON.stringify(localStorage));
    check(!stored.includes(KEYS.auditor), "the key is not kept beyond the tab");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to Horolog" }).waitFor();
    const kept = await page.evaluate(() => JSON.stringify(sessionStorage));
    check(!kept.includes(KEYS.auditor), "signing out forgets the key");
    await page.getByLabel("API key").fill(KEYS.auditor);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("this key is for any tenant").waitFor();
    await page.locator("[name=tenant_id]:focus").waitFor();
  },

  "everybody is offered the views that are for them, begins with one, and sees who they are": async (visit) => {
    const { page } = visit;
    const offered = { auditor: "Metrics Services Audit Exports", analyst: "Metrics Services", admin: "System Keys", "tenant-admin": "Keys" };
    for (const [role, views] of Object.entries(offered)) {
      await visit.open("", role);
      const nav = page.getByRole("navigation", { name: "Views" });
      await nav.getByRole("link").first().waitFor();
      const shown = await nav.getByRole("link").allInnerTexts();
      check(shown.join(" ") === views, `${role} is offered ${views}`, shown.join(" "));
      const current = await nav.locator("[aria-current=page]").innerText();
      check(current === shown[0], `${role} begins with the first of them`, current);
      check((await page.locator(".who").innerText()).includes(role.replace("tenant-", "")), "it is said who is signed in");
      await visit.judge();
    }
  },

  "after a question the focus is where it was": async (visit) => {
    const { page } = visit;
    await visit.open(`#/audit?${YEAR}`);
    await page.getByLabel("Status", { exact: true }).focus();
    await page.getByLabel("Status", { exact: true }).selectOption("failure");
    await page.getByRole("button", { name: "Search" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/status=failure/);
    await visit.settled();
    await page.locator("button:focus", { hasText: "Search" }).waitFor(); // a pressed button has it
    await page.getByLabel("User", { exact: true }).focus();
    await page.keyboard.type("bob");
    await page.keyboard.press("Enter");
    await page.waitForURL(/user_id=bob/);
    await visit.settled();
    await page.locator("[name=user_id]:focus").waitFor(); // so has the field in which Enter was pressed
    await visit.open(`#/metrics?metric_name=cpu&${DAY}`);
    await page.getByLabel("Service", { exact: true }).focus();
    await page.keyboard.type("api");
    await page.keyboard.press("Enter");
    await page.waitForURL(/service_id=api/);
    await visit.settled();
    await page.locator("[name=service_id]:focus").waitFor(); // also where the form itself is waited for
    await visit.open(`#/metrics?metric_name=nothing&${DAY}`);
    await page.getByRole("link", { name: "Show all time" }).press("Enter");
    await page.waitForURL(/range=all/);
    await visit.settled();
    await page.locator("h1:focus").waitFor(); // if the focused element is gone, the focus goes to the beginning
  },

  "a metric is drawn with its bands, and what is not complete yet is said to be so": async (visit) => {
    const { page } = visit;
    await visit.open(`#/metrics?metric_name=cpu&${DAY}`);
    await page.locator(".chart canvas").first().waitFor({ state: "attached" }); // it draws itself once it is in the page
    check((await page.getByRole("list", { name: "Legend" }).first().innerText()).includes("p95"), "the legend names the bands");
    check((await page.getByRole("columnheader", { name: "p99" }).count()) > 0, "the same numbers stand in a table");
    const text = await visit.text();
    check(/not complete yet|is complete/.test(text), "completeness is told", text.slice(0, 400));
    await visit.judge();
  },

  "groups have a chart each, or a line each": async (visit) => {
    const { page } = visit;
    await visit.open(`#/metrics?metric_name=cpu&${DAY}&group_by=service_id`);
    await page.locator(".chart").nth(1).waitFor({ state: "attached" });
    const groups = await page.locator(".chart").count();
    check(groups >= 2, "each group has a chart", groups);
    await page.getByLabel("Show", { exact: true }).selectOption("avg");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/show=avg/);
    await visit.settled();
    const legend = await page.getByRole("list", { name: "Legend" }).first().innerText();
    check(legend.includes("api") && legend.includes("web"), "the legend names the groups", legend);
  },

  "a counter is drawn as its rate, and what has none says so": async (visit) => {
    const { page } = visit;
    await visit.open(`#/metrics?metric_name=requests&show=rate&${DAY}`);
    await page.locator(".chart canvas").first().waitFor({ state: "attached" });
    check((await page.getByRole("columnheader", { name: "rate" }).count()) > 0, "the rate stands in the table");
    check((await visit.text()).includes("computed from whole series"), "it is said where rates come from");
    await visit.judge();
    await visit.open(`#/metrics?metric_name=cpu&show=rate&${DAY}`);
    await page.getByText("Only counters have rates").waitFor();
  },

  "what is of long ago is found without knowing when it was": async (visit) => {
    const { page } = visit;
    await visit.open("#/metrics?names=all");
    await page.getByRole("link", { name: "cpu", exact: true }).first().waitFor();
    await visit.open("#/metrics?metric_name=cpu&range=all");
    await page.locator(".chart canvas").first().waitFor({ state: "attached" });
    await visit.judge();
    await visit.open("#/audit?range=all");
    await page.getByText(/events? in the span/).first().waitFor();
  },

  "a metric nobody sent is an empty state, and a bad moment is told at its field": async (visit) => {
    const { page } = visit;
    await visit.open(`#/metrics?metric_name=nothing&${DAY}`);
    await page.getByText("No values in this span").waitFor();
    await visit.judge();
    visit.expectRefusal(400);
    await visit.open(`#/metrics?metric_name=cpu&range=custom&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`);
    await page.getByRole("alert").waitFor();
    check((await page.locator("[aria-invalid=true]").getAttribute("name")) === "to", "the field that is wrong is marked");
    await visit.judge();
    for (const view of ["#/metrics?metric_name=cpu&range=custom&from=2026-13-45", "#/audit?range=custom&from=2026-13-45"]) {
      await visit.open(view);
      check((await page.getByRole("alert").innerText()).includes("2026-13-45"), "a mistyped time is not all time", view);
    }
    await visit.open("#/audit?range=custom");
    await page.getByLabel("From (UTC)").pressSequentially("12022026");
    await page.getByRole("button", { name: "Search", exact: true }).click();
    check((await page.locator("[aria-invalid=true]").getAttribute("name")) === "from", "nor is one that was typed in part");
  },

  "what looks alike is told apart": async (visit) => {
    await visit.open("#/metrics");
    const found = await visit.page.evaluate(async () => {
      const module = (name) => import(`/ui/js/${name}.js`);
      const [{ shown, parts }, { visible }, { everyStep }, { duration, number, ticksText }] = await Promise.all(["difference", "dom", "steps", "format"].map(module));
      const month = (of) => Date.UTC(2026, of) / 1000;
      return {
        values: ["1", 1, "", " a", "a", null, "null"].map(shown),
        emoji: parts("a😀", "a😁").before.middle,
        turned: visible("a\u202eb\u200bc\n"),
        months: everyStep([month(0), month(2)], 30 * 86400).indexOf(month(1)),
        numbers: [1_234_567_891, 12.345678].map(number),
        ticks: new Set(ticksText([8_235_000_000, 8_235_000_100])).size,
        durations: [7_190, 3_599.6, 0.5].map(duration),
      };
    });
    const expected = {
      values: ['"1"', "1", '""', '" a"', "a", "null", '"null"'],
      emoji: "😀",
      turned: "a⟨U+202E⟩b⟨U+200B⟩c\n",
      months: 1,
      numbers: ["1,234,567,891", "12.346"],
      ticks: 2,
      durations: ["2 h 0 min", "1 h 0 min", "500 ms"],
    };
    check(JSON.stringify(found) === JSON.stringify(expected), "each is its own text", JSON.stringify(found));
  },

  "metrics are downloaded as CSV": async (visit) => {
    const { page } = visit;
    await visit.open(`#/metrics?metric_name=cpu&${DAY}`);
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download as CSV" }).click();
    check((await coming).suggestedFilename() === "cpu-hourly.csv", "the file is named after the metric");
  },

  "audit events are found by the keyboard alone, and shown with what they changed": async (visit) => {
    const { page } = visit;
    await visit.open(`#/audit?${YEAR}`);
    await page.keyboard.press("Tab");
    check((await page.evaluate(() => document.activeElement.textContent)) === "Skip to the content", "the first stop is the skip link");
    await page.keyboard.press("Enter");
    await page.locator("h1:focus").waitFor(); // it leads to the heading
    await visit.judge();
    await page.getByLabel("User").fill("bob");
    await page.getByLabel("User").press("Enter");
    await page.waitForURL(/user_id=bob/);
    await visit.settled();
    const rows = page.getByRole("region", { name: /event/ }).locator("tbody tr");
    check((await rows.count()) === 1, "one event is bob's", await rows.count());
    await rows.getByRole("link").first().press("Enter");
    await page.waitForURL(/audit\/events\//);
    await visit.settled();
    await page.locator("h1:focus").waitFor(); // the focus is at the beginning of the new view
    const difference = await page.locator(".difference").innerText();
    check(/owner\.name\s*~ changed/.test(difference) && difference.includes("+ added") && difference.includes("− removed"), "fields are told apart", difference);
    await visit.judge();
    await page.getByRole("link", { name: "timeline of this user" }).click();
    await page.getByRole("heading", { name: "Timeline of user bob" }).waitFor();
    await visit.settled();
    await visit.judge();
  },

  "older events follow, and nothing found is an empty state": async (visit) => {
    const { page } = visit;
    await visit.open(`#/audit?${YEAR}&user_id=many`);
    const rows = page.getByRole("region", { name: /event/ }).locator("tbody tr");
    check((await rows.count()) === 100, "a page has a hundred events", await rows.count());
    await page.getByRole("button", { name: "Show older events" }).click();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length >= 120);
    await visit.open(`#/audit?${YEAR}&user_id=nobody`);
    await page.getByText("No events match").waitFor();
    await visit.judge();
  },

  "a bad filter, a key that may not, and a busy service are told in words": async (visit) => {
    const { page } = visit;
    for (const status of [400, 403, 503]) visit.expectRefusal(status);
    await visit.open(`#/audit?${YEAR}&ip_address=10.0.0.0/99`);
    check((await page.locator("[aria-invalid=true]").getAttribute("name")) === "ip_address", "the field that is wrong is marked");
    await visit.open("#/audit", "analyst");
    await page.getByRole("alert").getByText("Your key may not see this").waitFor();
    check(/request \S+/.test(await page.getByRole("alert").innerText()), "the request's id is shown");
    await visit.judge();
    const busy = { status: 503, headers: { "retry-after": "5", "content-type": "application/problem+json" }, body: '{"title":"busy","status":503,"detail":"too many requests at once; try again"}' };
    await page.route("**/v1/audit/events?*", (route) => route.fulfill(busy));
    await visit.open(`#/audit?${YEAR}`);
    await page.getByRole("alert").getByText("It can be tried again in 5 s.").waitFor();
    await page.unroute("**/v1/audit/events?*");
    await page.getByRole("button", { name: "Try again" }).press("Enter");
    await page.getByRole("columnheader", { name: "Event" }).waitFor();
    await visit.settled();
    await page.locator(":focus", { hasText: "newest first" }).waitFor(); // the focus is at the answer
  },

  "an export is created, watched, downloaded, and its manifest shown": async (visit) => {
    const { page } = visit;
    await visit.open("#/exports?new=1");
    await visit.judge();
    await page.getByLabel("Time").selectOption("custom");
    await page.getByLabel("From (UTC)").fill("2026-01-01T00:00");
    await page.getByLabel("Format").selectOption("ndjson");
    await page.getByRole("button", { name: "Create export" }).click();
    await page.waitForURL(/exports\/[0-9a-f-]{36}/);
    await page.getByText("complete", { exact: true }).waitFor();
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: /^Download audit-/ }).first().click();
    check(/^audit-2026-01-.*ndjson/.test((await coming).suggestedFilename()), "the file has its name");
    await page.getByText("Manifest", { exact: true }).click();
    await page.getByText('"format_version"').waitFor();
    check((await visit.text()).includes("horolog-query verify-export"), "it is said how to check it");
    const digest = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download manifest.json.sha256" }).click();
    check((await digest).suggestedFilename() === "manifest.json.sha256", "the digest comes beside the manifest");
    visit.expectRefusal(404);
    await page.getByRole("button", { name: "Download manifest.json.sig" }).click();
    await page.locator("p.notice").getByText("is not signed").waitFor();
    await visit.judge();
  },

  "an export that runs is looked at again, also after the service was busy": async (visit) => {
    const { page } = visit;
    for (const status of [429, 503]) visit.expectRefusal(status);
    const job = { id: "3", state: "running", rows: 5, rows_planned: 10, repeats: 3, differing: 1, bytes: 0, files: [], filter: {}, format: "csv", compression: "none", requested_at: "2026-01-01T00:00:00Z", requested_by: "somebody" };
    const problem = (status) => ({ status, headers: { "retry-after": "1" }, contentType: "application/problem+json", body: JSON.stringify({ title: "no", status, detail: "not now" }) });
    const answers = [{ json: job }, problem(503), problem(429), { json: { ...job, state: "cancelled" } }];
    let looks = 0;
    await page.route("**/v1/audit/exports/3?*", (route) => route.fulfill(answers[Math.min(looks++, answers.length - 1)]));
    await visit.open("#/exports/3");
    await page.getByText("5 of 10", { exact: true }).waitFor();
    check((await visit.text()).includes("3 later copies of events left out, of which 1 with another content"), "copies are counted", await visit.text());
    await page.getByText("what is shown is out of date").waitFor();
    check((await visit.text()).includes("5 of 10"), "what was known stays");
    await visit.judge();
    await page.getByText("cancelled", { exact: true }).waitFor();
    check(looks === answers.length, "nothing is asked for after the end", looks);
    check((await page.getByText("what is shown is out of date").count()) === 0, "and no complaint is left");
  },

  "the system is shown to whoever may see it": async (visit) => {
    const { page } = visit;
    await visit.open("#/system", "admin");
    for (const heading of ["Services", "Ledger", "Rejected records", "Partitions", "Storage", "Configuration"]) await page.getByRole("heading", { name: heading }).waitFor();
    check((await page.getByRole("rowheader", { name: "audit_logs" }).count()) > 0, "tables are listed");
    check((await page.getByRole("rowheader", { name: "clickhouse.url" }).count()) === 1, "what is set is shown");
    const reasons = await page.getByRole("region", { name: "Why records were rejected" }).innerText();
    check(/time_too_early\s+1/.test(reasons) && reasons.includes("in words"), "a reason has its newest record", reasons);
    const services = await page.getByRole("region", { name: "Stages by topic" }).innerText();
    check(/ingest\s+audit-events/.test(services), "a service has its newest batch and its age", services);
    await visit.judge();
    for (const role of ["auditor", "tenant-admin"]) {
      await visit.open("#/system", role);
      await page.getByText("Your key may not see this").waitFor();
      await visit.judge();
    }
  },

  "services are shown, or it is said when they will be": async (visit) => {
    await visit.open("#/services");
    await visit.page.getByText("No services yet").waitFor();
    await visit.judge();
  },

  "an administrator makes a key, sees its secret once, and ends it": async (visit) => {
    const { page } = visit;
    page.on("dialog", (dialog) => dialog.accept());
    await visit.open("#/keys", "admin");
    await page.getByRole("rowheader", { name: "admin" }).first().waitFor();
    await visit.judge();
    visit.expectRefusal(400);
    await page.getByText("New key").click();
    await page.getByLabel("Name").fill("from the page");
    await page.getByLabel("Tenant", { exact: true }).fill("page");
    await page.getByLabel("Addresses").fill("10.0.0.0/99");
    await page.getByRole("button", { name: "Create key" }).click();
    await page.locator("[aria-invalid=true]").waitFor();
    check((await page.locator("[aria-invalid=true]").getAttribute("name")) === "addresses", "the field that is wrong is marked");
    await page.getByLabel("Addresses").fill("127.0.0.0/8");
    await page.getByRole("button", { name: "Create key" }).click();
    await page.getByText("It is shown only this once").waitFor();
    check(/hlg_\w{59}/.test(await visit.text()), "the secret is shown");
    await visit.judge();
    check((await page.getByRole("row", { name: /from the page/ }).innerText()).includes("127.0.0.0/8"), "it is said from where a key is taken");
    await page.getByRole("button", { name: /^Revoke from the page/ }).click();
    await page.getByRole("row", { name: /from the page/ }).getByText("ended").waitFor();
    check(/hlg_\w{59}/.test(await visit.text()), "the secret stays until it is hidden");
    await page.getByRole("button", { name: "Hide the secret of from the page" }).click();
    check(!/hlg_\w{59}/.test(await visit.text()), "and is gone then");
    visit.expectRefusal(403);
    await visit.open("#/keys", "auditor");
    await page.getByText("Your key may not see this").first().waitFor();
  },

  "subjects of the identity provider are shown, also where there are no keys": async (visit) => {
    const { page } = visit;
    const subject = { subject: "ann", role: "auditor", tenant: TENANT, teams: ["red", "blue"], permissions: ["audit:read"], last_used: { at: "2026-01-01T00:00:00Z", from: "127.0.0.1" }, masked: {}, notes: [] };
    let answer = { rows: [], subjects: [subject] };
    await page.route("**/v1/admin/access-review*", (route) => route.fulfill({ json: answer }));
    await visit.open("#/keys", "admin");
    const shown = await page.getByRole("region", { name: "Subjects of the identity provider" }).innerText();
    check(/ann\s+auditor/.test(shown) && shown.includes("red, blue"), "a subject is shown with its teams", shown);
    check((await page.getByText("No keys yet").count()) === 0, "and nobody is told that there is nothing");
    await visit.judge();
    answer = { rows: [], subjects: [] };
    await visit.open("#/keys", "admin");
    await page.getByText("No keys yet").waitFor();
  },

  "a time line whose first page holds nothing but later copies goes on": async (visit) => {
    const { page } = visit;
    await page.route("**/v1/audit/events?*", (route) => route.fulfill({ json: { complete_through: null, rows: [], next_cursor: "next" } }));
    await visit.open("#/audit/timeline?user_id=many");
    await page.getByRole("button", { name: "Show more events" }).waitFor();
    await visit.judge();
    await page.unroute("**/v1/audit/events?*");
    await page.route("**/v1/audit/events?*", (route) => route.fulfill({ json: { complete_through: null, rows: [], next_cursor: null } }));
    await page.getByRole("button", { name: "Show more events" }).click();
    await page.getByText("Nothing found").waitFor();
  },

  "the reader chooses light or dark, and the choice stays": async (visit) => {
    const { page } = visit;
    await visit.open("#/exports");
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole("button", { name: "Theme: system" }).click();
    await page.getByRole("button", { name: "Theme: light" }).click();
    check((await background()) !== light, "dark is another colour");
    await page.reload();
    await page.getByRole("button", { name: "Theme: dark" }).waitFor();
  },

  "an address that leads nowhere says so": async (visit) => {
    await visit.open("#/nowhere");
    await visit.page.getByRole("heading", { name: "There is no such view" }).waitFor();
    await visit.judge();
  },
});

// A browser with the page under test: opened, judged, and watched for what goes wrong in it.
//
// Enters, by the environment: PAGE_URL, CHROMIUM, KEYS (JSON: role to key), TENANT. A check that fails ends the run with code 1
// and says what was expected; what the page wrote to its console is printed with it.

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

export const { PAGE_URL, TENANT } = process.env;
export const KEYS = JSON.parse(process.env.KEYS);
/** For whatever is waited for. The machine may be slow and busy. Milliseconds. */
const PATIENCE = 60_000;
const AXE = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

let failed = 0;

/** Says that something should be so. */
export function check(isSo, claim, found = "") {
  if (isSo) return;
  failed += 1;
  console.error(`  not so: ${claim}${found === "" ? "" : ` (${found})`}`);
}

/** Runs the checks one after the other; each has a page of its own. */
export async function run(checks) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    timeout: 2 * PATIENCE,
    // Continuous integration runs as root, in a container with a small /dev/shm.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  for (const [claim, body] of Object.entries(checks)) {
    const begun = Date.now();
    const before = failed;
    const visit = await Visit.begin(browser);
    try {
      await body(visit);
    } catch (error) {
      failed += 1;
      console.error(`  ${error.stack}`);
    }
    visit.checkConsole();
    console.log(`${failed === before ? "ok    " : "FAILED"} ${claim} (${Date.now() - begun} ms)`);
    await visit.context.close();
  }
  await browser.close();
  process.exitCode = failed === 0 ? 0 : 1;
}

/** A reader with a browser window. */
class Visit {
  static async begin(browser) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
    context.setDefaultTimeout(PATIENCE);
    const visit = new Visit();
    visit.context = context;
    visit.page = await context.newPage();
    visit.said = [];
    visit.expected = [];
    visit.page.on("console", (message) => ["error", "warning"].includes(message.type()) && visit.said.push(message.text()));
    visit.page.on("pageerror", (error) => visit.said.push(error.stack));
    return visit;
  }

  /** Opens a view with somebody's key, and waits until it is filled. */
  async open(fragment, role = "auditor") {
    // A document of the same origin that makes no requests.
    const blank = { contentType: "text/html", body: '<link rel="icon" href="data:,">' };
    await this.page.route(`${PAGE_URL}/blank`, (route) => route.fulfill(blank));
    await this.page.goto(`${PAGE_URL}/blank`);
    await this.page.evaluate(
      ([key, tenant]) => {
        sessionStorage.setItem("horolog-key", key);
        sessionStorage.setItem("horolog-tenant", tenant);
      },
      [KEYS[role], TENANT],
    );
    await this.page.goto(`${PAGE_URL}/${fragment}`);
    await this.settled();
  }

  /** Nothing is being asked for any more. */
  async settled() {
    // The page learns of its new address in a separate task, after the address is already visible here.
    await this.page.evaluate(() => new Promise((heard) => requestAnimationFrame(() => setTimeout(heard))));
    await this.page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("[aria-busy], .loading") && !/Loading .* …/.test(document.body.innerText));
  }

  /** The text of the view. */
  text() {
    return this.page.locator("main").innerText();
  }

  /** What the browser itself will say about a refusal that is part of a check. */
  expectRefusal(status) {
    this.expected.push(`status of ${status}`);
  }

  checkConsole() {
    const unexpected = this.said.filter((line) => !this.expected.some((expected) => line.includes(expected)));
    check(unexpected.length === 0, "the console is silent", unexpected.join("\n"));
  }

  /** No violation that axe knows of, in light and in dark, and nothing sticks out of a narrow window. */
  async judge() {
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme });
      await this.page.evaluate(`${AXE}; 0`);
      const violations = await this.page.evaluate(async () => {
        const { violations } = await window.axe.run();
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
      });
      check(violations.length === 0, `accessible in ${colorScheme}`, violations.join("; "));
    }
    await this.page.setViewportSize({ width: 360, height: 740 });
    const outside = await this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    check(outside <= 0, "fits a narrow window", `${outside} pixels outside`);
    await this.page.setViewportSize({ width: 1280, height: 900 });
  }
}

// Keys: who may see what, when they last did, and how to administer them.

import { get, send } from "../api.js";
import { announce, h } from "../dom.js";
import { pressed } from "../focus.js";
import { clearInvalid, form, input, markInvalid, select } from "../fields.js";
import { apiTime, minute } from "../format.js";
import { empty, failure } from "../notices.js";
import { filled, signedOut } from "../panel.js";
import { table, tag } from "../table.js";

export const title = "Keys";

const PATH = "/v1/admin/keys";
const ROLES = [["analyst", "analyst: metrics and counts"], ["auditor", "auditor: audit events, exports"], ["service", "service: a program, people as pseudonyms"], ["admin", "admin: keys; for any tenant the state of the system"]];

export function mount(container, { signal }) {
  const outcome = h("div", {});
  // A secret is shown once, so the next action must not remove it.
  const secrets = h("div", { class: "stack" });
  const list = filled({
    what: "keys",
    signal,
    load: (abort) => get("/v1/admin/access-review", {}, abort),
    draw: ({ rows, subjects }) => {
      if (rows.length === 0 && subjects.length === 0) return h("div", { class: "panel" }, empty("No keys yet", "Create one with the form above."));
      return [rows.length > 0 && keyTable(rows), subjects.length > 0 && subjectTable(subjects)];
    },
  });
  /** Changes a key, then shows the result. */
  const act = async (path, body, said) => {
    outcome.replaceChildren();
    try {
      const answer = await send("POST", path, body);
      announce(said);
      if (answer.token) secrets.prepend(shown(answer));
      await list.refresh({ quiet: true });
    } catch (error) {
      if (error.status === 401) return signedOut(error);
      throw error;
    }
  };
  container.append(
    h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Keys"), h("p", {}, "Who may see what, and when they last did. Every change is an audit event.")),
    h("details", { class: "panel" }, h("summary", {}, "New key"), creationForm(act)),
    secrets,
    outcome,
    list.place,
  );
  return list.refresh();

  function keyTable(rows) {
    const attempt = (path, body, said) => act(path, body, said).catch((error) => outcome.replaceChildren(failure(error)));
    const buttons = (key) => {
      if (!key.in_force) return tag("ended");
      const rotate = () => confirm(`Create a new secret for “${key.name}”? The previous one stays valid for a day.`) && attempt(`${PATH}/${key.id}/rotate`, {}, "The key has a new secret");
      const revoke = () => confirm(`Revoke “${key.name}” immediately and permanently?`) && attempt(`${PATH}/${key.id}/revoke`, {}, "The key is revoked");
      return [
        h("button", { type: "button", class: "quiet", "aria-label": `Rotate ${key.name} (${key.id})`, onclick: rotate }, "Rotate"),
        h("button", { type: "button", class: "quiet", "aria-label": `Revoke ${key.name} (${key.id})`, onclick: revoke }, "Revoke"),
      ];
    };
    return table({
      caption: "Keys",
      rows,
      columns: [
        { title: "Name", head: true, class: "break", value: (key) => key.name },
        { title: "Id", value: (key) => h("code", {}, key.id) },
        { title: "Role", value: (key) => key.role },
        { title: "Tenant", class: "break", value: (key) => key.tenant },
        { title: "Teams", class: "break", value: (key) => listed(key.teams, "all") },
        { title: "Permissions", class: "break", value: (key) => key.permissions.join(", ") },
        { title: "Addresses", class: "break", value: (key) => listed(key.addresses, "any") },
        { title: "Last used (UTC)", time: true, value: (key) => minute(key.last_used?.at) },
        { title: "Expires (UTC)", time: true, value: (key) => minute(key.expires_at) },
        { title: "Notes", class: "break", value: (key) => key.notes.join("; ") },
        { title: "Actions", value: buttons },
      ],
    });
  }
}

/** Subjects of the identity provider, according to their last token. */
function subjectTable(rows) {
  return table({
    caption: "Subjects of the identity provider",
    rows,
    columns: [
      { title: "Subject", head: true, class: "break", value: (subject) => subject.subject },
      { title: "Role", value: (subject) => subject.role },
      { title: "Tenant", class: "break", value: (subject) => subject.tenant },
      { title: "Teams", class: "break", value: (subject) => listed(subject.teams, "all") },
      { title: "Permissions", class: "break", value: (subject) => subject.permissions.join(", ") },
      { title: "Last used (UTC)", time: true, value: (subject) => minute(subject.last_used.at) },
      { title: "Notes", class: "break", value: (subject) => subject.notes.join("; ") },
    ],
  });
}

/** Names, or what an empty list means. */
const listed = (names, none) => names.join(", ") || none;

/** A token, which is shown only once, until the reader has it. */
function shown({ key, token }) {
  const place = h(
    "div",
    { class: "notice", role: "status" },
    h("h2", {}, `The secret of “${key.name}”`),
    h("p", {}, h("code", { class: "break" }, token)),
    h("p", { class: "small muted" }, "It is shown only this once and stored nowhere."),
    h("p", {}, h("button", { type: "button", "aria-label": `Hide the secret of ${key.name}`, onclick: () => place.remove() }, "Hide the secret")),
  );
  return place;
}

function creationForm(act) {
  const outcome = h("div", {});
  const submit = async (given) => {
    clearInvalid(fields);
    outcome.replaceChildren();
    try {
      await act(PATH, body(given), "The key is created");
      fields.reset();
    } catch (error) {
      const named = error.problem?.parameter?.replace(/\[.*/, "");
      if (!named || !markInvalid(fields, named, error.problem.detail)) outcome.replaceChildren(failure(error));
    }
  };
  const fields = form(
    "New key",
    (given, submitter) => pressed(submitter, () => submit(given)),
    h(
      "div",
      { class: "fields" },
      input({ label: "Name", name: "name" }),
      select({ label: "Role", name: "role", options: ROLES }),
      input({ label: "Tenant", name: "tenant", hint: "* for any." }),
      input({ label: "Teams", name: "teams", hint: "Separated by commas; leave empty for all." }),
      input({ label: "Addresses", name: "addresses", hint: "Networks such as 10.0.0.0/8; leave empty for any." }),
      input({ label: "Expires (UTC)", name: "expires_at", type: "datetime-local" }),
    ),
    h("div", { class: "form-end" }, h("button", { class: "primary" }, "Create key")),
    outcome,
  );
  return fields;
}

function body(given) {
  const list = (text) => (text ?? "").split(",").map((one) => one.trim()).filter(Boolean);
  return {
    name: given.name ?? "",
    role: given.role,
    tenant: given.tenant ?? "",
    teams: list(given.teams),
    addresses: list(given.addresses),
    expires_at: apiTime(given.expires_at) || undefined,
  };
}

// One export: its progress, files and manifest, and how to verify it independently.

import * as api from "../api.js";
import { announce, h } from "../dom.js";
import { pressed } from "../focus.js";
import { bytes, count, plural, time } from "../format.js";
import { failure, notice } from "../notices.js";
import { filled, signedOut } from "../panel.js";
import { navigate } from "../router.js";
import { scoped } from "../scope.js";
import { facts, table } from "../table.js";
import { LOOK_INTERVALS } from "./exports.js";
import * as words from "../export_words.js";

export const title = "Export";

const SIGNATURE = "manifest.json.sig";
/** The manifest, and the files that vouch for it. */
const MANIFEST = ["manifest.json", "manifest.json.sha256", SIGNATURE];

export function mount(container, { path, signal }) {
  const place = `/v1/audit/exports/${encodeURIComponent(path[1])}`;
  const heading = h("h1", { tabindex: "-1" }, "Export");
  let state = "";
  const view = filled({
    what: "the export",
    signal,
    load: (abort) => api.get(place, scoped(), abort),
    draw: (job) => {
      if (state && state !== job.state) announce(`The export is ${job.state}`);
      state = job.state;
      return draw(job, place, view, signal);
    },
    every: LOOK_INTERVALS,
    until: words.isFinal,
  });
  container.append(h("nav", { "aria-label": "Back" }, h("a", { href: "#/exports" }, "← Exports")), h("div", { class: "view-head" }, heading), view.place);
  return view.refresh();
}

function draw(job, place, view, signal) {
  const outcome = h("div", {});
  // Cancels an unfinished export; removes a finished one.
  const removes = words.isFinal(job);
  const end = async () => {
    try {
      await api.send("DELETE", api.address(place, scoped()));
      if (removes) navigate(["exports"]);
      else await view.refresh({ quiet: true });
    } catch (error) {
      if (error.status === 401) return signedOut(error);
      outcome.replaceChildren(failure(error));
    }
  };
  const asked = (event) => {
    if (!removes || window.confirm("Remove this export and all its files?")) pressed(event.currentTarget, end);
  };
  return [
    job.error && h("div", { class: "notice bad", role: "alert" }, h("h2", {}, "The export failed"), h("p", {}, job.error)),
    h(
      "section",
      { class: "panel" },
      h("div", { class: "panel-head" }, h("h2", {}, "Request"), h("div", { class: "actions" }, h("button", { type: "button", onclick: asked }, removes ? "Remove this export" : "Cancel this export"))),
      facts([
        ["State", words.stateTag(job)],
        ["Progress", words.progress(job)],
        ["Sent again", words.repeats(job)],
        ["Filter", words.filterText(job)],
        ["Format", `${job.format}, compression ${job.compression}`],
        ["Requested (UTC)", `${time(job.requested_at)} by ${job.requested_by}`],
        ["Finished (UTC)", job.finished_at && time(job.finished_at)],
        ["Size", `${bytes(job.bytes)} in ${plural(job.files.length, "file")}`],
        ["Digest of the manifest", job.digest && h("code", { class: "break" }, job.digest)],
      ]),
      outcome,
    ),
    job.files.length > 0 && fileTable(job, place),
    job.state === "complete" && verification(job),
    job.state === "complete" && manifest(place, signal),
  ];
}

function fileTable(job, place) {
  const outcome = h("div", {});
  const fetchFile = async (button, path, name, size) => {
    const text = button.textContent;
    try {
      await api.download(path, scoped(), name, { size, onBytes: (received) => (button.textContent = `${bytes(received)} …`) });
      announce(`${name} is downloaded`);
    } catch (error) {
      if (error.status === 401) return signedOut(error);
      // Only a request tells whether there is a signature.
      if (error.status === 404 && name === SIGNATURE) outcome.replaceChildren(notice("The manifest of this export is not signed.", "warn"));
      else if (error.name !== "AbortError") outcome.replaceChildren(failure(error));
    } finally {
      button.textContent = text;
    }
  };
  const button = (path, name, size, label) =>
    h("button", { type: "button", "aria-label": `Download ${name}`, onclick: ({ currentTarget }) => pressed(currentTarget, () => fetchFile(currentTarget, path, name, size)) }, label);
  const files = table({
    caption: plural(job.files.length, "file"),
    rows: job.files,
    columns: [
      { title: "File", head: true, value: (file) => file.name },
      { title: "Events", num: true, value: (file) => count(file.rows) },
      { title: "Size", num: true, value: (file) => bytes(file.bytes) },
      { title: "SHA-256", class: "break", value: (file) => h("code", {}, file.sha256) },
      { title: "Download", value: (file) => button(`${place}/files/${encodeURIComponent(file.name)}`, file.name, file.bytes, "Download") },
    ],
  });
  return h(
    "section",
    { class: "stack", "aria-label": "Files" },
    files,
    job.state === "complete" && h("p", { class: "actions no-print" }, MANIFEST.map((name) => button(`${place}/files/${name}`, name, 0, `Download ${name}`))),
    outcome,
  );
}

function verification(job) {
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Verify it yourself"),
    h("p", {}, "Download all files, the manifest, and its digest and signature into one folder, or let the command line do it. Then verify every byte, row count and offset without this server:"),
    // The folder's name has the whole id, by which verification recognizes the export.
    h("pre", { class: "json", tabindex: "0" }, `horolog-query exports download ${job.id}\nhorolog-query verify-export export-${job.id} --digest ${job.digest}`),
    h("p", { class: "small muted" }, "The digest above is the SHA-256 of the manifest, and the manifest has the SHA-256 of every file. Keep the digest apart from the files."),
  );
}

function manifest(place, signal) {
  const view = filled({
    what: "the manifest",
    signal,
    load: (abort) => api.get(`${place}/files/manifest.json`, scoped(), abort),
    draw: (content) => h("pre", { class: "json", tabindex: "0" }, JSON.stringify(content, null, 2)),
  });
  const opened = (event) => event.currentTarget.open && view.place.childElementCount === 0 && view.refresh();
  return h("details", { class: "panel", ontoggle: opened }, h("summary", {}, "Manifest"), view.place);
}

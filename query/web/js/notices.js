// Placeholders for an answer: loading, empty, or failed.

import { h, announce } from "./dom.js";

/** Shown while the answer is loading. */
export const loading = (what) => h("p", { class: "loading" }, `Loading ${what} …`);

/** An empty result, and what to do about it. */
export const empty = (headline, ...advice) => h("div", { class: "empty" }, h("strong", {}, headline), ...advice);

const MEANINGS = {
  0: "The server cannot be reached",
  400: "The request is not understood",
  401: "You are not signed in",
  403: "Your key may not see this",
  404: "There is nothing here",
  409: "This is not possible now",
  422: "The request is too expensive",
  429: "Too many requests",
  503: "The service is busy, or something it needs is not available",
};

/** Why a request failed, with what is needed to find it in the log. `retry` is offered as a button. */
export function failure(error, retry) {
  if (error.problem === undefined) {
    // A bug in this page: log it to the console for whoever fixes it.
    console.error(error);
    return h("div", { class: "notice bad", role: "alert" }, h("h2", {}, "This page failed"), h("p", {}, String(error.message)));
  }
  const { problem, status, requestId, retryAfterSeconds } = error;
  const headline = MEANINGS[status] ?? (status >= 500 ? "The service failed" : "The request failed");
  const wait = retryAfterSeconds ? ` It can be tried again in ${retryAfterSeconds} s.` : "";
  const lines = [
    problem.parameter && h("p", {}, "Change: ", h("code", {}, problem.parameter)),
    h("p", {}, sentence(problem.detail || problem.title), wait),
    h("p", { class: "small muted" }, status ? `Status ${status}` : "No status", requestId && [", request ", h("code", {}, requestId)]),
    retry && h("p", {}, h("button", { type: "button", onclick: retry }, "Try again")),
  ];
  return h("div", { class: "notice bad", role: "alert" }, h("h2", {}, headline), lines);
}

/** Keeps the content, with a note above it why it is out of date. */
export function stale(place, error) {
  place.querySelector(":scope > .stale")?.remove();
  place.prepend(h("p", { class: "notice warn stale" }, `${MEANINGS[error.status]}: what is shown is out of date. It refreshes by itself.`));
}

/** A short message in place, also announced to screen readers. */
export function notice(text, kind = "") {
  announce(text);
  return h("p", { class: `notice ${kind}` }, text);
}

function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

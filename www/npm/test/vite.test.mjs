// The Vite plugin's answers in development, of its own: without Vite.
import assert from "node:assert/strict";
import { test } from "node:test";
import piecework from "../tools/vite.js";

/** Whether the plugin answers these requests at a base as Vite names it. */
function answers(base, ...urls) {
  const plugin = piecework();
  plugin.configResolved({ base });
  let handle;
  plugin.configureServer({ middlewares: { use: (given) => (handle = given) } });
  return urls.map((url) => {
    let answered = null;
    const response = { writeHead: (status) => (answered = status), end: () => undefined };
    handle({ url }, response, () => (answered = "next"));
    return answered;
  });
}

test("the service worker is answered at the site's base, whatever else is asked", () => {
  const at = (path) => `${path}piecework-sw.js`;
  assert.deepEqual(answers("/", at("/"), `${at("/")}?v=1`, "/", "//", "///x", "/a/piecework-sw.js", undefined), [
    200,
    200,
    "next",
    "next",
    "next",
    "next",
    "next",
  ]);
  assert.deepEqual(answers("/films/", at("/films/"), at("/")), [200, "next"]);
  for (const base of ["./", ""]) assert.deepEqual(answers(base, at("/")), [200], `base "${base}"`);
  assert.deepEqual(answers("https://cdn.example/films/", at("/films/"), at("/")), [200, "next"]);
});

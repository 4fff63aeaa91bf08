// A site's own service worker with Piecework's in it (the policy of these tests wants a trusted URL). It also tells
// since when it runs.
const ours = self.trustedTypes?.createPolicy("piecework", { createScriptURL: (url) => url });
importScripts(ours ? ours.createScriptURL("piecework-sw.js") : "piecework-sw.js");
addEventListener("message", ({ data, ports }) => {
  if (data === "since") ports[0].postMessage(performance.timeOrigin);
});

// What Vite has to be told of Piecework; `vite.d.ts` says it to users.
import { SERVICE_WORKER, serviceWorker } from "./files.js";

export default function piecework() {
  let base = "/";
  return {
    name: "piecework",
    // A copy of the module in the cache of dependencies would look there for its worker and its wasm.
    config: () => ({ optimizeDeps: { exclude: ["piecework", "piecework/free"] } }),
    configResolved(config) {
      // In development Vite serves below the path of a base that is an address, and at the root where it is relative.
      base = URL.canParse(config.base) ? new URL(config.base).pathname : config.base.replace(/^(\.\/)?$/, "/");
    },
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        // The path as it was asked for: "//" is no address, and what is behind "?" is not looked at.
        if ((request.url ?? "/").split(/[?#]/)[0] !== base + SERVICE_WORKER) return next();
        response.writeHead(200, { "Content-Type": "text/javascript", "Cache-Control": "no-cache" });
        response.end(serviceWorker());
      });
    },
    generateBundle() {
      // A build for the server has no page.
      if (this.environment && this.environment.config.consumer !== "client") return;
      this.emitFile({ type: "asset", fileName: SERVICE_WORKER, source: serviceWorker() });
    },
  };
}

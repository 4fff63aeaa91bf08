import type { Plugin } from "vite";

/**
 * What Vite has to be told of Piecework. The development server leaves the package's modules where they are, beside the
 * worker and the wasm, and answers `piecework-sw.js` at the site's base; a build puts that file beside `index.html`.
 */
export default function piecework(): Plugin;

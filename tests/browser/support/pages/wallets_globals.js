// What the streams under MetaMask's provider expect of Node.
import process from "process/browser.js";
export { Buffer } from "buffer";
export { process };

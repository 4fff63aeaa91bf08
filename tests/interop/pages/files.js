// The part that both pages share: the chosen files, and hashes of the files that arrived.

const inputs = () => [...document.querySelectorAll("input[type=file]")];

/**
 * Nothing is chosen from now on; `window.changed` resolves when the visitor chose files (a folder is read some time
 * after).
 */
window.forget = () => {
  for (const input of inputs()) input.value = "";
  window.changed = new Promise((resolve) => addEventListener("change", () => resolve(true), { once: true }));
  return true;
};

/** The files that were chosen, a folder's in the order of their paths (a file system has none). */
export function chosen() {
  const files = inputs().flatMap((input) => [...input.files]);
  return files.sort((a, b) => (a.webkitRelativePath < b.webkitRelativePath ? -1 : 1));
}

/** SHA-256 in hexadecimal digits. */
export async function sha256(buffer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes in and out of a page as base64 (its arguments and answers are text). */
export const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

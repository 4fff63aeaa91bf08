/** What a visitor answered on this site when `<piecework-player consent>` asked whether it may upload. */
const KEY = "piecework upload";

/** The answer of an earlier visit, or of now; null: not asked yet, or the browser keeps nothing. */
export function uploadAnswer(): boolean | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "yes" ? true : kept === "no" ? false : null;
  } catch {
    return null;
  }
}

/** Keeps the answer. A browser that keeps nothing asks again at the next visit. */
export function keepUploadAnswer(answer: boolean): void {
  try {
    localStorage.setItem(KEY, answer ? "yes" : "no");
  } catch {
    // It asks again.
  }
}

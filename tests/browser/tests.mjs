/** What the running file has declared. */
export const tests = [];

/** Declares a test; its name says the behaviour it proves. */
export function test(name, body) {
  tests.push({ name, body });
}

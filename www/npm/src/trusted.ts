interface Policy {
  createScriptURL(url: string): unknown;
}
interface Factory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): Policy;
}

const allowed = new Set<string>();
let policy: Policy | undefined;

/**
 * A script URL of ours for `new Worker` and `serviceWorker.register` under
 * `require-trusted-types-for 'script'`: the policy `piecework` makes exactly the URLs named here.
 */
export function scriptUrl(url: URL): string {
  allowed.add(url.href);
  const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;
  if (!factory) return url.href;
  policy ??= factory.createPolicy("piecework", {
    createScriptURL(asked) {
      if (allowed.has(asked)) return asked;
      throw new TypeError(`${asked} is not a script of Piecework`);
    },
  });
  // The DOM's types take a string here; browsers take the trusted object.
  return policy.createScriptURL(url.href) as string;
}

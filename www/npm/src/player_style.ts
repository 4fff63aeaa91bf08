/**
 * The element's looks. Each `--piecework-*` variable is set from outside, as is each `part`.
 */
export const STYLE = `
:host {
  display: block; position: relative; color-scheme: dark;
  background: var(--piecework-background, #000); color: var(--piecework-text, #eee);
  font: var(--piecework-font, 14px/1.45 system-ui, sans-serif);
}
:host([hidden]) { display: none; }
video { display: block; width: 100%; height: auto; min-height: 9em; }
p { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
.bar {
  display: flex; flex-wrap: wrap; gap: 0 1em; align-items: center; padding: .2em .8em;
  background: var(--piecework-surface, #181818);
}
.facts, .said { flex: 1 1 14em; padding: .5em 0; }
.said { flex-basis: 100%; color: var(--piecework-notice, #ffd9a0); }
.failed { flex-basis: 100%; padding: .5em 0; color: var(--piecework-error, #ffb4a8); }
.said:empty, .facts:empty, .failed:empty { display: none; }
label { display: flex; gap: .6em; align-items: center; min-height: 44px; }
.offer, .consent { display: grid; gap: .7em; padding: .9em .8em; background: var(--piecework-offer, #1d2733); }
.offer div, .consent div { display: flex; flex-wrap: wrap; gap: .6em; }
button, select {
  font: inherit; min-height: 44px; padding: 0 1em; border: 1px solid #8b929c;
  border-radius: var(--piecework-radius, 8px); background: var(--piecework-surface, #181818); color: inherit;
}
.pay {
  background: var(--piecework-accent, #4ecbb5); border-color: var(--piecework-accent, #4ecbb5);
  color: var(--piecework-on-accent, #05231e); font-weight: 600;
}
button:disabled { background: #333; border-color: #555; color: #aaa; }
:focus-visible { outline: 3px solid var(--piecework-accent, #4ecbb5); outline-offset: 2px; }
[hidden] { display: none; }
`;

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Film } from "./Film.jsx";

/** The films of the site: put your own links and tracker in. */
const FILMS = [{ title: "A film", link: "magnet:?xt=urn:btih:…" }];
const TRACKER = "wss://tracker.example";

function App() {
  const [at, setAt] = useState(0);
  return (
    <main>
      <h1>{FILMS[at].title}</h1>
      <Film link={FILMS[at].link} tracker={TRACKER} />
      {FILMS.map(({ title }, index) => (
        <button key={title} type="button" disabled={index === at} onClick={() => setAt(index)}>
          {title}
        </button>
      ))}
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

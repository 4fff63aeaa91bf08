import { useEffect, useRef, useState } from "react";
import "piecework/player";

/** The element, and below it how much of the film is here. */
export function Film({ link, tracker }) {
  const player = useRef(null);
  const [here, setHere] = useState(null);

  useEffect(() => {
    const element = player.current;
    let timer;
    const found = ({ detail: torrent }) => {
      clearInterval(timer);
      timer = setInterval(async () => {
        const { verified, length } = await torrent.stats().catch(() => ({ verified: 0, length: 1 }));
        setHere(Math.floor((100 * verified) / length));
      }, 1_000);
    };
    element.addEventListener("torrent", found);
    return () => {
      element.removeEventListener("torrent", found);
      clearInterval(timer);
    };
  }, []);

  return (
    <>
      <piecework-player ref={player} src={link} trackers={tracker} />
      <p>{here === null ? "Looking for the film …" : `${here} % of it is here.`}</p>
    </>
  );
}

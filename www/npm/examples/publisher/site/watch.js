// The page for viewers: what stands behind the "#" of its address names the film. Whoever gives the link away chooses
// nothing else: trackers, vault and the most that is paid stand in the page.
const player = document.querySelector("piecework-player");
const failed = document.querySelector("#failed");

function show() {
  const link = location.hash.slice(1);
  const isLink = /^magnet:\?/i.test(link);
  failed.textContent = isLink ? "" : "This address names no film: ask for the whole link.";
  if (isLink) player.setAttribute("src", link);
  else player.removeAttribute("src");
}

addEventListener("hashchange", show);
show();

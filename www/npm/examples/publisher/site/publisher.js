// A publisher's page: a film is chosen and sold from this browser, and what it earns goes to the publisher's wallet.
import { Client, PieceworkRejectedError, parseTypedAmount } from "./piecework/piecework.js";
import { loadDeployment } from "./piecework/deployment.js";

const TRACKERS = ["wss://tracker.example"];
/** The file of `piecework vault deploy`, beside this page. Without it films are given away. */
const DEPLOYMENT = "deployment.json";

const at = (id) => document.getElementById(id);
const [form, file, name, price, hint, said] = ["publish", "file", "name", "price", "price-hint", "said"].map(at);
const [failed, wallets, redeem, sign, register] = ["failed", "wallets", "redeem", "sign", "register"].map(at);
/** What is published: the torrent and its place in the list, by info hash. */
const films = new Map();
/** The vault and its token; null where films are given away. */
let deployment = null;
let client = null;

async function begin() {
  try {
    deployment = await loadDeployment(DEPLOYMENT);
  } catch (error) {
    price.disabled = true;
    hint.textContent = `Films can only be given away here. ${error.message}`;
  }
  // This page buys nothing, so it pays nothing for a gigabyte. Its engine is its own: the user of the extension, and
  // not a page, says what that one sells.
  const payments = deployment && { ...deployment, maxPricePerGB: "0" };
  client = new Client({ trackers: TRACKERS, engine: "own", ...(payments && { payments }) });
  client.on("warning", ({ text }) => tell(text));
  client.on("error", ({ error }) => tell(error.message));
  at("money").hidden = at("signing").hidden = !deployment;
  at("go").disabled = false;
  for (const place of document.querySelectorAll(".symbol"))
    place.textContent = deployment ? `(${deployment.token.symbol})` : "";
  // What earlier visits published is served again. Nothing is fetched.
  for (const hash of await client.stored())
    client.add(hash, { onDemand: true }).then(list, (error) => tell(error.message));
  await Promise.all([refresh(), findWallets()]);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void publish();
});

async function publish() {
  const [chosen] = file.files;
  const perGB = typedPrice();
  if (perGB === null) {
    said.textContent = `${price.value} is no price: write an amount such as 10 or 0.5.`;
    price.setAttribute("aria-invalid", "true");
    price.focus();
    return;
  }
  const stopping = new AbortController();
  const [go, stop, progress] = ["go", "stop", "progress"].map(at);
  stop.onclick = () => stopping.abort();
  busy(true);
  stop.focus();
  said.textContent = "The film is read and copied into this browser …";
  try {
    const torrent = await client.seed(chosen, {
      name: `${name.value}${ending(chosen)}`,
      trackers: TRACKERS,
      signal: stopping.signal,
      onProgress: (done, total) => {
        progress.value = total > 0 ? done / total : 1;
      },
      ...(deployment && { sellPricePerGB: client.format(perGB) }),
    });
    if (sign.checked) await signs(torrent);
    await list(torrent);
    said.textContent = `${torrent.name} is published: copy its link below.`;
    form.reset();
    priced();
  } catch (error) {
    said.textContent = stopping.signal.aborted ? "Nothing was published." : error.message;
  } finally {
    busy(false);
    go.focus();
  }

  function busy(is) {
    for (const control of [file, name, go, at("signing")]) control.disabled = is;
    price.disabled = is || !deployment;
    stop.hidden = progress.hidden = !is;
    progress.value = 0;
  }
}

/** Asks the wallet for a signature, and for a transaction if it is to be registered. */
async function signs(torrent) {
  said.textContent = "Your wallet asks you to sign …";
  if (!client.walletAddress) await client.connectWallet(wallets.value || undefined);
  const options = { licence: at("licence").value.trim() };
  try {
    await client.publish(
      torrent,
      register.checked ? { ...options, register: true, share: at("share").value.trim() || "0" } : options,
    );
  } catch (error) {
    // Nothing is sold that its publisher did not mean to sell so.
    await torrent.remove({ deleteData: true });
    throw error instanceof PieceworkRejectedError ? new Error("Nothing was published: you said no.") : error;
  }
}

sign.addEventListener("change", () => {
  at("signed").hidden = !sign.checked;
});
form.addEventListener("reset", () => {
  at("signed").hidden = at("shares").hidden = true;
  at("fee").textContent = "";
});

/** Says what the registration costs before anybody is asked for it. */
register.addEventListener("change", async () => {
  at("shares").hidden = !register.checked;
  const fee = at("fee");
  fee.textContent = "";
  if (!register.checked) return;
  const wei = await client.registrationFee().catch(() => null);
  fee.textContent =
    `One transaction from your wallet: ${wei === null ? "your wallet says what it costs" : `about ${coins(wei)}`}. ` +
    "From then on everybody can see since when it is yours. The share can only be lowered later.";
});

function coins(wei) {
  return `${(Number(wei) / 1e18).toPrecision(2)} of the chain's coin`;
}

/** Viewers' players know a film by the ending of its name. */
function ending({ name }) {
  return /\.[^.]+$/.exec(name)?.[0] ?? "";
}

/** Base units of the token; null if it is no amount. */
function typedPrice() {
  return parseTypedAmount(price.value.trim() || "0", deployment?.token.decimals ?? 0);
}

file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (chosen) name.value = chosen.name.slice(0, chosen.name.length - ending(chosen).length);
  priced();
});
// Blanks alone are no name.
name.addEventListener("change", () => {
  name.value = name.value.trim();
});
price.addEventListener("input", priced);

/** Says what the whole film costs at that price. */
function priced() {
  price.removeAttribute("aria-invalid");
  if (!deployment) return;
  const [chosen] = file.files;
  const perGB = typedPrice();
  const cost = chosen && perGB ? (perGB * BigInt(chosen.size) + 999_999_999n) / 1_000_000_000n : null;
  hint.textContent =
    cost === null ? "0 gives it away." : `Who watches all of it pays ${amount(cost)}. Viewers pay for what they watch.`;
}

/** Shows a film in the list, once. */
async function list(torrent) {
  await torrent.ready;
  if (films.has(torrent.infoHash)) return;
  const item = at("film").content.cloneNode(true).firstElementChild;
  item.querySelector("h3").textContent = torrent.name;
  const magnet = torrent.magnetURI;
  const links = {
    watch: new URL(`watch.html#${magnet}`, location.href).href,
    magnet,
    embed:
      `<script type="module" src="piecework/player.js"></script><piecework-player src="${magnet.replaceAll("&", "&amp;")}"` +
      `${deployment ? ` deployment="${DEPLOYMENT}" max-price-per-gb="20"` : ""}></piecework-player>`,
  };
  const { title } = torrent;
  item.querySelector(".by").textContent = title ? `Signed by ${title.publisher}` : "";
  const file = item.querySelector(".torrent");
  file.href = URL.createObjectURL(torrent.torrentFileBlob);
  file.download = `${torrent.name}.torrent`;
  for (const [kind, link] of Object.entries(links)) {
    const field = item.querySelector(`.${kind}`);
    const copy = field.closest("p").querySelector("button");
    field.value = link;
    field.setAttribute("aria-label", `${field.closest("label").textContent.trim()}: ${torrent.name}`);
    copy.setAttribute("aria-label", `${copy.textContent}: ${torrent.name}`);
    copy.onclick = () => void copied(field);
  }
  const remove = item.querySelector(".remove");
  remove.setAttribute("aria-label", `${remove.textContent}: ${torrent.name}`);
  remove.onclick = () => void takeBack(torrent);
  films.set(torrent.infoHash, { torrent, item });
  at("films").append(item);
  at("none").hidden = true;
}

async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    said.textContent = "The link is copied.";
  } catch {
    field.select();
    said.textContent = "The browser did not copy it: the link is selected, copy it by hand.";
  }
}

async function takeBack(torrent) {
  const dialog = at("confirm");
  at("question").textContent =
    `Stop publishing ${torrent.name}? Its copy in this browser is deleted, and its link finds nobody here any more. ` +
    "What it earned stays yours.";
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  try {
    await torrent.remove({ deleteData: true });
    films.get(torrent.infoHash)?.item.remove();
    films.delete(torrent.infoHash);
    at("none").hidden = films.size > 0;
    said.textContent = `${torrent.name} is published no longer.`;
    at("published").focus(); // the button that had the focus is gone
  } catch (error) {
    tell(error.message);
  }
}

/** Once a second: who is there, and what came in. */
async function refresh() {
  for (const { torrent, item } of films.values()) {
    const stats = await torrent.stats().catch(() => null);
    if (stats) item.querySelector(".facts").textContent = facts(stats);
  }
  if (deployment) {
    const { money } = await client.stats();
    at("sums").textContent = `${amount(money.redeemable)} to redeem, ${amount(money.redeemed)} redeemed before.`;
    if (!redeeming) redeem.disabled = money.redeemable === 0n;
  }
  setTimeout(() => refresh().catch((error) => tell(error.message)), 1_000);
}

function facts({ length, verified, peers, uploaded, sellPricePerGB, earned, failure }) {
  const all = [`${megabytes(length)}`, sellPricePerGB > 0n ? `${amount(sellPricePerGB)} per GB` : "free"];
  if (verified < length) all.push(`${megabytes(verified)} of it are here`);
  all.push(`${peers.length} ${peers.length === 1 ? "peer" : "peers"}`, `${megabytes(uploaded)} uploaded at this visit`);
  if (deployment) all.push(`${amount(earned)} earned`);
  if (failure) all.push(failure);
  return all.join(", ");
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function amount(units) {
  return deployment ? `${client.format(units)} ${deployment.token.symbol}` : "";
}

/** Asks no wallet anything. */
async function findWallets() {
  const found = deployment ? await client.wallets() : [];
  wallets.replaceChildren(...found.map(({ id, name }) => new Option(name, id)));
  at("which").hidden = found.length < 2;
}

let redeeming = false;
redeem.addEventListener("click", async () => {
  const tellMoney = (text) => {
    at("money-said").textContent = text;
  };
  redeeming = redeem.disabled = true;
  tellMoney("Your wallet asks you …");
  try {
    const account = client.walletAddress ?? (await client.connectWallet(wallets.value || undefined));
    const { paid } = await client.redeem();
    tellMoney(paid > 0n ? `${amount(paid)} came to ${account}.` : "There was nothing to redeem.");
  } catch (error) {
    tellMoney(error instanceof PieceworkRejectedError ? "Nothing was redeemed: you said no." : error.message);
  } finally {
    redeeming = redeem.disabled = false;
    redeem.focus();
  }
});

function tell(text) {
  failed.textContent = text;
}

begin().catch((error) => tell(error.message));

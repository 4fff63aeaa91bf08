// The page for keyboards, screen readers and every eye: axe-core in each state, focus, live regions, motion.
import assert from "node:assert/strict";
import { violations } from "./axe.mjs";
import { MAGNET, browser, calls, offer, open, openTitle, site, test, text, watching } from "./page.mjs";

/** Each state of the page, as a test brings it about. */
const STATES = {
  "the empty first view": (t) => open(t, "paid"),
  "a link that is none": async (t) => {
    const page = await open(t, "paid");
    await page.fill("#magnet", "https://example.org/");
    await page.press("#magnet", "Enter");
    await page.waitForFunction(() => document.querySelector("#open-error").textContent !== "");
    return page;
  },
  "titles on this device": (t) => open(t, "library"),
  "a file to share": async (t) => {
    const page = await open(t, "paid");
    await page.setInputFiles("#share-files", { name: "mine.mp4", mimeType: "video/mp4", buffer: Buffer.from("mine") });
    await page.waitForSelector("#share-chosen", { state: "visible" });
    return page;
  },
  "something dragged over it": async (t) => {
    const page = await open(t, "paid");
    const data = await page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["x"], "film.torrent"));
      return transfer;
    });
    await page.dispatchEvent("main", "dragenter", { dataTransfer: data });
    return page;
  },
  "looking for metadata": async (t) => {
    const page = await open(t, "metadata");
    await page.fill("#magnet", MAGNET);
    await page.press("#magnet", "Enter");
    await page.waitForFunction(() => document.body.dataset.phase === "metadata");
    return page;
  },
  "a title that is not here": async (t) => {
    const page = await open(t, "paid", { hash: "#/title/0000000000000000000000000000000000000000" });
    await page.waitForFunction(() => document.body.dataset.phase === "gone");
    return page;
  },
  "the offer of a paid title": (t) => offer(t, "paid"),
  "the offer of a free title": (t) => offer(t, "free"),
  "the offer of a title that is free and sold": async (t) => {
    const page = await offer(t, "paid");
    await page.evaluate(() => window.fake.torrent.state.peers.push(window.fake.peer(2)));
    await page.waitForSelector("#ways", { state: "visible" });
    return page;
  },
  "a wallet that said no": async (t) => {
    const page = await offer(t, "paid");
    await page.evaluate(() => (window.fake.rejects = true));
    await page.click("#play");
    await page.waitForFunction(
      () => document.querySelector("#play-error").textContent !== "" && !document.querySelector("#play").disabled,
    );
    return page;
  },
  "no wallet at all": async (t) => {
    const page = await open(t, "paid");
    await page.evaluate(() => (window.fake.wallets = []));
    await page.evaluate(() => window.pieceworkPlayer.app.engine.findWallets());
    await openTitle(page);
    await page.waitForFunction(() => !document.querySelector("#wallet-none").hidden);
    return page;
  },
  "a video that plays": async (t) => {
    const page = await watching(t);
    await page.click("#log-box summary");
    await page.evaluate(() =>
      window.fake.client.emit("warning", {
        text: "A peer sent data that does not match its hash.",
        torrent: window.fake.torrent,
      }),
    );
    await page.waitForFunction(() => document.querySelectorAll("#log li").length === 1);
    return page;
  },
  money: async (t) => {
    const page = await watching(t);
    await page.click("#nav-money");
    await page.waitForFunction(() => !document.querySelector("#redeem").disabled);
    return page;
  },
  "the question before an exit": async (t) => {
    const page = await watching(t);
    await page.click("#nav-money");
    await page.click("#exit");
    return page;
  },
  "a deposit on its way back, and one found": async (t) => {
    const page = await watching(t);
    await page.click("#nav-money");
    await page.click("#exit");
    await page.click("#confirm-yes");
    await page.waitForSelector("#exit-state", { state: "visible" });
    await page.click("#recover");
    await page.waitForFunction(() => document.querySelectorAll("#recovered li").length === 1);
    return page;
  },
  "money on a site without payments": async (t) => {
    const page = await open(t, "free", { setup: null, ignore: /404/ });
    await page.click("#nav-money");
    await page.waitForFunction(() => document.body.dataset.view === "money");
    return page;
  },
  offline: async (t) => {
    const page = await watching(t);
    t.after(() => browser.context.setOffline(false));
    await browser.context.setOffline(true);
    await page.waitForSelector("#banner", { state: "visible" });
    return page;
  },
  "a peer that stopped": async (t) => {
    const page = await open(t, "paid");
    await page.evaluate(() =>
      window.fake.client.emit("error", { error: new Error("The engine stopped three times."), torrent: null }),
    );
    await page.waitForSelector("#banner", { state: "visible" });
    return page;
  },
  "a browser that lacks something": (t) => open(t, "unsupported"),
};

for (const [state, reach] of Object.entries(STATES)) {
  test(`axe-core finds nothing wrong, light and wide or dark and narrow: ${state}`, async (t) => {
    assert.deepEqual(await violations(await reach(t)), []);
  });
}

/** The element with the focus: its id, or else its text. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return element.id || element.name || element.textContent.trim();
  });

/** Presses Tab until the focus is on `id`, and answers every stop on the way. */
async function tabTo(page, id, most = 40) {
  const stops = [];
  for (let presses = 0; presses < most; presses += 1) {
    await page.keyboard.press("Tab");
    stops.push(await focused(page));
    if (stops.at(-1) === id) {
      const outline = await page.evaluate(() => {
        const element = document.activeElement;
        const shown = element.matches(".option input") ? element.closest(".option") : element;
        const { outlineStyle, outlineWidth } = getComputedStyle(shown);
        return `${outlineStyle} ${outlineWidth}`;
      });
      assert.equal(outline, "solid 3px", `the focus on ${id} is not seen`);
      return stops;
    }
  }
  throw new Error(`${id} is not reached by Tab: ${stops.join(", ")}`);
}

test("with the keyboard alone: skip the header, open, choose a wallet, pay, watch, share less, redeem", async (t) => {
  const page = await open(t, "paid");
  const { keyboard } = page;
  assert.deepEqual(await tabTo(page, "Skip to content"), ["Skip to content"]);
  assert.equal(await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0), true);
  await keyboard.press("Enter");
  assert.equal(await focused(page), "main");
  assert.deepEqual(await tabTo(page, "magnet"), ["magnet"]);
  await keyboard.type(MAGNET);
  await keyboard.press("Enter");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  assert.equal(await focused(page), "title-name");

  // The order of the focus is the order of reading.
  const stops = await tabTo(page, "play");
  assert.deepEqual(stops, [
    "copy-magnet",
    "remove",
    "ceiling",
    "budget",
    "sum",
    "offer-share",
    "offer-cap",
    "wallet",
    "play",
  ]);
  await keyboard.press("Shift+Tab");
  await keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.querySelector('[name="wallet"]:checked').value), "two.example");
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.waitForFunction(() => document.activeElement.id === "video");
  assert.ok((await calls(page)).includes("connect two.example"));
  await page.evaluate(() => window.fake.half());

  await tabTo(page, "share");
  await keyboard.press("Space");
  await page.waitForFunction(() => window.fake.uploadLimit === 0);
  await keyboard.press("Space");
  await tabTo(page, "cap");
  await keyboard.press("Control+A");
  await keyboard.type("300");
  await keyboard.press("Tab");
  await page.waitForFunction(() => window.fake.uploadLimit === 300_000);

  await page.focus("#nav-watch");
  await tabTo(page, "nav-money");
  await keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "money-title");
  await page.waitForFunction(() => !document.querySelector("#redeem").disabled);
  await tabTo(page, "redeem");
  await keyboard.press("Enter");
  await page.waitForFunction(() =>
    document.querySelector("#money-message").textContent.includes("went to your wallet"),
  );
  // The button is gone: the focus goes to the message, not to the top of the page.
  await page.waitForFunction(() => document.activeElement.id === "money-message");
  await tabTo(page, "exit");
  await keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.querySelector("#confirm").contains(document.activeElement)), true);
  await keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement.id === "exit");
  assert.ok(!(await calls(page)).includes("exit"));
});

test("nothing in the page goes without a name", async (t) => {
  const page = await offer(t, "paid");
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, a, summary, video, canvas, [role=region]")]
      .filter((element) => element.checkVisibility())
      .filter(
        (element) =>
          !(
            element.textContent.trim() ||
            element.getAttribute("aria-label") ||
            element.getAttribute("aria-labelledby") ||
            element.labels?.length
          ),
      )
      .map((element) => element.outerHTML.slice(0, 80)),
  );
  assert.deepEqual(unnamed, []);
});

test("live regions speak of events, not of numbers that change all the time", async (t) => {
  const page = await watching(t);
  await page.evaluate(() => {
    window.heard = [];
    const regions = [...document.querySelectorAll("[aria-live], [role=status], [role=alert], output")];
    const listen = new MutationObserver((changes) => {
      for (const change of changes) {
        const region =
          change.target.parentElement?.closest("[aria-live], [role=status], [role=alert]") ?? change.target;
        if (region.textContent) window.heard.push(region.textContent);
      }
    });
    for (const region of regions) listen.observe(region, { childList: true, characterData: true, subtree: true });
    // The video here is a real one. On a busy machine it stops and plays on by itself, which would end a standstill
    // below.
    for (const name of ["waiting", "playing", "canplay", "seeking", "seeked"])
      window.addEventListener(name, (event) => event.isTrusted && event.stopImmediatePropagation(), true);
    window.updates = 0;
    new MutationObserver(() => (window.updates += 1)).observe(document.querySelector("#figures"), {
      childList: true,
      characterData: true,
      subtree: true,
    });
    const { state } = window.fake.torrent;
    let piece = 0;
    window.busy = setInterval(() => {
      window.fake.has(piece++);
      state.downloadRate = 1_000_000 + piece * 20_000;
      state.downloaded += 32_768;
      document.querySelector("#video").dispatchEvent(new Event("waiting"));
      document.querySelector("#video").dispatchEvent(new Event("playing"));
    }, 30);
  });
  await page.waitForFunction(() => window.updates >= 8);
  assert.deepEqual(await page.evaluate(() => window.heard), []);
  // A standstill that lasts is an event.
  await page.evaluate(() => {
    clearInterval(window.busy);
    document.querySelector("#video").dispatchEvent(new Event("waiting"));
  });
  await page.waitForFunction(() => window.heard.includes("Waiting for the next piece"));
});

test("who asked for less motion gets less", async (t) => {
  const page = await open(t, "metadata");
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.fill("#magnet", MAGNET);
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "metadata");
  const moving = await page.evaluate(
    () =>
      document
        .getAnimations()
        .filter(({ playState, effect }) => playState === "running" && effect.getComputedTiming().duration < 2_000)
        .length,
  );
  assert.equal(moving, 0);
});

test("dark or light as chosen wins over the system, holds after a reload, and is in the piece map too", async (t) => {
  const page = await watching(t);
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  /** The map has the colour that the legend now gives to missing pieces. */
  const painted = () =>
    page.waitForFunction(() => {
      const [r, g, b] = getComputedStyle(document.querySelector(".k-missing"), "::before")
        .backgroundColor.match(/\d+/g)
        .map(Number);
      const canvas = document.querySelector("#pieces");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      for (let at = 0; at < data.length; at += 4)
        if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255) return true;
      return false;
    });
  const light = await paper();
  await painted();
  await page.selectOption("#theme", "dark");
  const dark = await paper();
  assert.notEqual(dark, light);
  await painted();
  await page.goto(`${site}?scene=paid`);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  assert.equal(await paper(), dark);
  assert.equal(await page.inputValue("#theme"), "dark");
  await page.selectOption("#theme", "");
  assert.equal(await paper(), light);
  assert.equal(await text(page, "#library-empty").then((found) => found.length > 0), true);
});

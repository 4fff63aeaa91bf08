// What the engine hears of a player.
import assert from "node:assert/strict";
import { test } from "node:test";
import { follow } from "./build/playhead.js";

/** As much of a media element as is looked at. */
class Video extends EventTarget {
  src = "blob:film";
  currentTime = 0;
  duration = Number.NaN;
  readyState = 0;
  ended = false;
  HAVE_FUTURE_DATA = 3;
  news(name, state) {
    Object.assign(this, state);
    this.dispatchEvent(new Event(name));
  }
}

test("the engine hears the place as a share of the film, long standstills, seeks, and the end", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const [video, heard] = [new Video(), []];
  follow(video, 2, 30_000_001, (head) => heard.push(head));
  assert.deepEqual(heard, [], "how long the film is, nobody knows yet");
  video.news("loadedmetadata", { duration: 600, readyState: 4 });
  video.news("waiting", { currentTime: 60, readyState: 2 });
  now = 2_000;
  video.news("waiting", {});
  video.news("seeking", { currentTime: 300, readyState: 1 });
  video.news("durationchange", { currentTime: 600, readyState: 2, ended: true });
  const [{ player }] = heard;
  const at = (position, starved) => ({ player, file: 2, position, rate: 50_001, starved });
  assert.deepEqual(heard, [
    at(0, false),
    at(3_000_000, false),
    at(3_000_000, true),
    at(15_000_000, true),
    at(30_000_001, false),
  ]);
  // Another source: it plays something else.
  video.news("emptied", { src: "blob:other" });
  video.news("seeking", { currentTime: 1 });
  assert.deepEqual(heard.slice(5), [{ player, file: 2 }]);
});

test("a stream without an end holds nothing, and a player that is followed anew is another one", () => {
  const [video, heard] = [new Video(), []];
  const tell = (head) => heard.push(head);
  follow(video, 0, 1_000, tell);
  video.news("loadedmetadata", { duration: Number.POSITIVE_INFINITY });
  assert.deepEqual(heard, []);
  video.news("durationchange", { duration: 10 });
  const stop = follow(video, 1, 1_000, tell);
  stop();
  assert.equal(heard.length, 4);
  assert.deepEqual(heard[1], { player: heard[0].player, file: 0 });
  assert.notEqual(heard[2].player, heard[0].player);
  assert.deepEqual(heard[3], { player: heard[2].player, file: 1 });
  video.news("seeking", { currentTime: 5 });
  assert.equal(heard.length, 4);
});

// Which files of a torrent are a film's subtitles, and what a viewer reads of each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { besideFilm } from "./build/subtitles.js";

const beside = (film, ...names) =>
  besideFilm(
    names.map((name) => ({ name, selected: true })),
    { name: film, selected: true },
  ).map(({ file, language, label }) => [file.name, language, label]);

test("a subtitle file is named as the film is, and tells its language", () => {
  assert.deepEqual(
    beside(
      "Film.2024.mp4",
      "Film.2024.en.vtt",
      "film.2024.pt-BR.forced.VTT",
      "Film.2024.vtt",
      "Film.2024.srt",
      "Film.20245.en.vtt",
      "Extra.vtt",
    ),
    [
      ["Film.2024.en.vtt", "en", "English"],
      ["film.2024.pt-BR.forced.VTT", "pt-BR", "Brazilian Portuguese forced"],
      ["Film.2024.vtt", "", "Film.2024"],
    ],
  );
});

test("where no subtitle file has the film's name, all of them are its", () => {
  assert.deepEqual(beside("film.mp4", "de.vtt", "The English ones.vtt", "film.txt"), [
    ["de.vtt", "de", "German"],
    ["The English ones.vtt", "", "The English ones"],
  ]);
  assert.deepEqual(beside("film.mp4", "film.txt"), []);
});

test("words that are no language stand as they are, and files that are left out are none", () => {
  assert.deepEqual(beside("a.mp4", "a.zz-directors_cut.vtt", "a.qqq.vtt"), [
    ["a.zz-directors_cut.vtt", "", "a.zz-directors_cut"],
    ["a.qqq.vtt", "", "a.qqq"],
  ]);
  assert.deepEqual(besideFilm([{ name: "a.en.vtt", selected: false }], { name: "a.mp4", selected: true }), []);
});

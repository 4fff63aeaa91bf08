//! `cargo xtask screenshots`: pictures of the states of page, element, extension and publisher's page, for people to
//! look at.
//!
//! Builds the parts and drives them in headless Chromium against a signaling server, native seeders and a local chain.
//! Each state comes about as in use, and is taken in phone and wide, light and dark. The documents have copies of some.

use std::{fs, path::PathBuf};

use crate::{
    builds, chromium, demo,
    failure::Failure,
    node, paths, setup, shell,
    stage::{say, stage},
};

const SCRIPT: &str = "tests/browser/tools/screenshots.mjs";
/// The scenes of `--quick`: a film arrives and is watched, and what the guide shows besides the page.
const QUICK: [&str; 4] = ["free", "element", "publisher", "extension"];
/// Pictures of the README, of the package's, which has its own in the tarball, and of docs/guide, by the picture they
/// are copies of.
const COPIES: [(&str, &str); 13] = [
    ("playing-paid-wide-light.png", "docs/player.png"),
    ("playing-paid-top-phone-dark.png", "docs/player-phone.png"),
    ("playing-paid-top-phone-dark.png", "www/npm/player.png"),
    ("offer-paid-wide-light.png", "docs/guide/page-offer.png"),
    (
        "element-consent-wide-light.png",
        "docs/guide/element-consent.png",
    ),
    (
        "element-offer-wide-light.png",
        "docs/guide/element-offer.png",
    ),
    ("publisher-wide-light.png", "docs/guide/publisher.png"),
    (
        "extension-welcome-wide-light.png",
        "docs/guide/extension-welcome.png",
    ),
    (
        "extension-ask-wide-light.png",
        "docs/guide/extension-ask.png",
    ),
    (
        "extension-popup-wide-light.png",
        "docs/guide/extension-popup.png",
    ),
    (
        "extension-library-wide-light.png",
        "docs/guide/extension-library.png",
    ),
    (
        "extension-options-wide-light.png",
        "docs/guide/extension-options.png",
    ),
    (
        "element-playing-wide-light.png",
        "docs/guide/element-playing.png",
    ),
];

/// Makes pictures of page, element, extension and publisher's page, each in phone and wide, light and dark
#[derive(clap::Args)]
pub struct Screenshots {
    /// Where they go
    #[arg(long, default_value = "target/screenshots", value_name = "DIR")]
    out: PathBuf,
    /// Only these scenes (all: opening metadata unsupported free pieces paid titles element publisher
    /// extension)
    scenes: Vec<String>,
    /// Only the scenes `free`, `element`, `publisher` and `extension`, each state once: wide and light
    #[arg(long, conflicts_with_all = ["scenes", "readme"])]
    quick: bool,
    /// Also renew the pictures of README.md, of the package and of docs/guide
    #[arg(long)]
    readme: bool,
}

impl Screenshots {
    /// Builds, drives, and prints where the pictures are.
    pub fn run(&self) -> Result<(), Failure> {
        stage("screenshots: node", || {
            node::require().and_then(|()| node::install_all())
        })?;
        let browser = stage("screenshots: chromium", chromium::require)?;
        let film = stage("screenshots: film", || {
            setup::ffmpeg()?;
            demo::make_film()
        })?;
        stage("screenshots: contracts", builds::contracts)?;
        stage("screenshots: programs", builds::binaries)?;
        builds::pages_and_extension()?;
        let out = paths::root().join(&self.out);
        stage("screenshots: take", || {
            let mut command = node::node();
            command.arg(SCRIPT).arg("--out").arg(&out);
            if self.quick {
                command.arg("--once").args(QUICK);
            }
            command
                .args(&self.scenes)
                .env(chromium::VARIABLE, browser)
                .env("PIECEWORK_FILM", film)
                .env("PIECEWORK_BINARIES", paths::target().join("debug"));
            shell::run(&mut command)
        })?;
        if self.readme {
            for (picture, copy) in COPIES {
                let (from, to) = (out.join(picture), paths::root().join(copy));
                fs::copy(&from, &to).map_err(Failure::io("copy", &from))?;
                say(format_args!("{copy} is {picture}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between `](` and `)` after `![`, with the text before it, in the pages of docs/guide.
    fn pictures_of_the_guide() -> Vec<(String, String)> {
        let folder = paths::root().join("docs/guide");
        let pages = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut found = Vec::new();
        for page in pages.filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
            let text = fs::read_to_string(&page).unwrap().replace('\n', " ");
            for rest in text.split("![").skip(1) {
                let (alternative, rest) = rest.split_once("](").unwrap();
                let (name, _) = rest.split_once(')').unwrap();
                found.push((alternative.to_owned(), format!("docs/guide/{name}")));
            }
        }
        found
    }

    #[test]
    fn each_picture_of_the_guide_is_made_by_the_command_and_says_in_words_what_it_shows() {
        let shown = pictures_of_the_guide();
        for (alternative, path) in &shown {
            assert!(COPIES.iter().any(|(_, copy)| copy == path), "{path}");
            assert!(alternative.len() > 20, "{path}: {alternative:?}");
        }
        for (_, copy) in COPIES {
            assert!(paths::root().join(copy).is_file(), "{copy} is missing");
            let is_shown = shown.iter().any(|(_, path)| path == copy);
            assert!(
                is_shown || !copy.starts_with("docs/guide/"),
                "no page shows {copy}"
            );
        }
    }
}

//! The stream of the tests: half a minute in three levels and one sound track, cut into segments of two seconds, as HLS
//! and as DASH over the same segments. It is made here like the videos.

use std::path::PathBuf;

use super::video::ffmpeg;
use crate::{failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// The sources: testsrc2 shows the running time.
const PICTURE: &str = "testsrc2=size=640x360:rate=24:duration=24";
const SOUND: &str = "sine=frequency=440:beep_factor=4:duration=24";
const LEVELS: &str =
    "[0:v]split=3[a][b][c];[a]scale=256:144[low];[b]scale=426:240[middle];[c]null[high]";
/// Each level at a constant rate, and a key frame at the beginning of each segment, so that a player can change levels
/// there.
const ENCODE: &str = "-map [low] -map [middle] -map [high] -map 1:a \
    -c:v libx264 -profile:v main -pix_fmt yuv420p -preset veryfast -x264-params nal-hrd=cbr \
    -g 48 -keyint_min 48 -sc_threshold 0 \
    -b:v:0 200k -minrate:v:0 200k -maxrate:v:0 200k -bufsize:v:0 200k \
    -b:v:1 600k -minrate:v:1 600k -maxrate:v:1 600k -bufsize:v:1 600k \
    -b:v:2 1600k -minrate:v:2 1600k -maxrate:v:2 1600k -bufsize:v:2 1600k \
    -c:a aac -b:a 64k -shortest";
/// Representations 0 to 2 are the levels, 3 is the sound: `manifest.mpd`, `master.m3u8`, `media_0.m3u8`, ...
const PACK: &[&str] = &[
    "-f",
    "dash",
    "-seg_duration",
    "2",
    "-use_timeline",
    "0",
    "-adaptation_sets",
    "id=0,streams=v id=1,streams=a",
    "-hls_playlist",
    "1",
    "-init_seg_name",
    "init-$RepresentationID$.m4s",
    "-media_seg_name",
    "segment-$RepresentationID$-$Number%05d$.m4s",
];

/// Makes the stream, or takes that of an earlier run: the folder that a site would publish.
pub fn make() -> Result<PathBuf, Failure> {
    let folder = paths::target().join("demo/stream");
    let published = folder.join("show");
    let encode: Vec<&str> = ENCODE
        .split_whitespace()
        .chain(PACK.iter().copied())
        .collect();
    let stamp = Inputs::default()
        .word(&[PICTURE, SOUND, LEVELS, &encode.join(" ")].join(" "))
        .stamp(folder.join(".stamp"));
    if stamp.is_current() && published.join("master.m3u8").is_file() {
        say(format_args!("stream: {} (unchanged)", published.display()));
        return Ok(published);
    }
    stamp.clear();
    // What another form of it left behind would be published too.
    let _ = std::fs::remove_dir_all(&published);
    std::fs::create_dir_all(&published).map_err(Failure::io("make", &published))?;
    shell::run(
        ffmpeg()
            .args(["-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND])
            .args(["-filter_complex", LEVELS])
            .args(&encode)
            .arg(published.join("manifest.mpd")),
    )?;
    stamp.set()?;
    say(format_args!("stream: {}", published.display()));
    Ok(published)
}

//! The demo's video, made here: nothing is downloaded, and everybody has the same two minutes.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// Two minutes, 720p, about 25 MB. testsrc2 shows the running time; the tone says whether sound is in step.
const ENCODE: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=1280x720:rate=30:duration=120",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:beep_factor=4:duration=120",
    "-c:v",
    "libx264",
    "-profile:v",
    "high",
    "-pix_fmt",
    "yuv420p",
    "-preset",
    "veryfast",
    "-g",
    "60",
    "-b:v",
    "1600k",
    "-minrate",
    "1600k",
    "-maxrate",
    "1600k",
    "-bufsize",
    "3200k",
    "-x264-params",
    "nal-hrd=cbr",
    "-c:a",
    "aac",
    "-b:a",
    "96k",
    "-shortest",
];

/// The same content twice.
pub struct Videos {
    /// `moov` first, as a site would publish it.
    pub fast_start: PathBuf,
    /// `moov` last: a player must fetch the end before it can begin.
    pub index_at_end: PathBuf,
}

/// Makes both files, or takes those of an earlier run.
pub fn make() -> Result<Videos, Failure> {
    let folder = paths::target().join("demo/video");
    let videos = Videos {
        fast_start: folder.join("piecework-demo.mp4"),
        index_at_end: folder.join("piecework-demo-index-at-end.mp4"),
    };
    let stamp = Inputs::default()
        .word(&ENCODE.join(" "))
        .stamp(folder.join(".stamp"));
    if stamp.is_current() && videos.fast_start.is_file() && videos.index_at_end.is_file() {
        say(format_args!(
            "video: {} (unchanged)",
            videos.fast_start.display()
        ));
        return Ok(videos);
    }
    stamp.clear();
    std::fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    shell::run(ffmpeg().args(ENCODE).arg(&videos.index_at_end))?;
    shell::run(
        ffmpeg()
            .arg("-i")
            .arg(&videos.index_at_end)
            .args(["-c", "copy", "-movflags", "+faststart"])
            .arg(&videos.fast_start),
    )?;
    stamp.set()?;
    say(format_args!(
        "video: {} ({} bytes)",
        videos.fast_start.display(),
        bytes_of(&videos.fast_start)?
    ));
    Ok(videos)
}

/// A file's length.
pub fn bytes_of(path: &Path) -> Result<u64, Failure> {
    Ok(std::fs::metadata(path)
        .map_err(Failure::io("read", path))?
        .len())
}

fn ffmpeg() -> std::process::Command {
    let mut command = shell::command("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    // Its progress line overwrites itself, which in a log file it cannot.
    if std::io::stderr().is_terminal() {
        command.arg("-stats");
    }
    command
}

//! The demo's video and the film of the screenshots. They are made here, so nothing is downloaded, and everybody has
//! the same.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// FFmpeg's sources for picture and sound, with the duration, and how they are encoded.
struct Scenery {
    picture: &'static str,
    sound: &'static str,
    encode: &'static str,
}

/// Two minutes. testsrc2 shows the running time; the tone shows whether sound is in step.
const DEMO: Scenery = Scenery {
    picture: "testsrc2=size=1280x720:rate=30:duration=120",
    sound: "sine=frequency=440:beep_factor=4:duration=120",
    encode: ENCODE,
};
/// Half a minute to be looked at: colours that move slowly, without anything that is drawn by chance.
const FILM: Scenery = Scenery {
    picture: "gradients=s=640x360:r=24:d=30:c0=0x0b3c5d:c1=0xf2a65a:c2=0x8b2f4b:c3=0x1b998b:n=4:x0=50:y0=40:x1=600:y1=320:speed=0.012:seed=7,scale=1280:720",
    sound: "sine=frequency=220:duration=30",
    encode: ENCODE,
};
/// Ten minutes, of which a test watches one: small pictures, so that it is soon made, and 38 MB.
const LONG: Scenery = Scenery {
    picture: "testsrc2=size=320x180:rate=10:duration=600",
    sound: "sine=frequency=330:duration=600",
    encode: "-c:v libx264 -profile:v main -pix_fmt yuv420p -preset ultrafast -g 20 -b:v 450k -minrate 450k \
        -maxrate 450k -bufsize 900k -x264-params nal-hrd=cbr -c:a aac -ac 1 -b:a 48k -shortest",
};

/// 720p at a constant rate, 200 kB a second for any picture and any encoder: where the encoder needs less it adds
/// filling.
const ENCODE: &str = "-c:v libx264 -profile:v high -pix_fmt yuv420p -preset veryfast -g 60 \
    -b:v 1600k -minrate 1600k -maxrate 1600k -bufsize 3200k -x264-params nal-hrd=cbr -c:a aac -b:a 96k -shortest";

/// The same content twice.
pub struct Videos {
    /// `moov` first, as a site would publish it.
    pub fast_start: PathBuf,
    /// `moov` last: a player must fetch the end before it can begin.
    pub index_at_end: PathBuf,
}

/// Makes the demo's video in both forms, or takes those of an earlier run.
pub fn make() -> Result<Videos, Failure> {
    DEMO.make("demo/video", "piecework-demo")
}

/// Makes the film of ten minutes, or takes that of an earlier run.
pub fn long() -> Result<PathBuf, Failure> {
    LONG.make("demo/long", "piecework-long")
        .map(|videos| videos.fast_start)
}

/// Makes the film of the screenshots, or takes that of an earlier run: 6 MB.
pub fn film() -> Result<PathBuf, Failure> {
    FILM.make("screenshots/film", "film")
        .map(|videos| videos.fast_start)
}

impl Scenery {
    /// Both forms as `name` in this folder of the target directory.
    fn make(&self, folder: &str, name: &str) -> Result<Videos, Failure> {
        let folder = paths::target().join(folder);
        let videos = Videos {
            fast_start: folder.join(format!("{name}.mp4")),
            index_at_end: folder.join(format!("{name}-index-at-end.mp4")),
        };
        let encode = self.encode();
        let stamp = Inputs::default()
            .word(&encode.join(" "))
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
        shell::run(ffmpeg().args(&encode).arg(&videos.index_at_end))?;
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

    fn encode(&self) -> Vec<&'static str> {
        let sources = [
            "-f",
            "lavfi",
            "-i",
            self.picture,
            "-f",
            "lavfi",
            "-i",
            self.sound,
        ];
        sources
            .into_iter()
            .chain(self.encode.split_whitespace())
            .collect()
    }
}

/// A file's length.
pub fn bytes_of(path: &Path) -> Result<u64, Failure> {
    Ok(std::fs::metadata(path)
        .map_err(Failure::io("read", path))?
        .len())
}

pub(super) fn ffmpeg() -> std::process::Command {
    let mut command = shell::command("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    // Its progress line overwrites itself, which in a log file it cannot.
    if std::io::stderr().is_terminal() {
        command.arg("-stats");
    }
    command
}

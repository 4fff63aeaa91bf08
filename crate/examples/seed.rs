//! A seeder in few lines, by the native edge: it serves one file until Ctrl-C, and prints the magnet link.
//!
//! `piecework seed` does the same with prices, many torrents and a .torrent file. Run it:
//! `cargo run --example seed -- film.mp4 ws://127.0.0.1:8000`

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use piecework::client::{AddOptions, CheckExisting, Command, Config, Event, Source};
use piecework::metainfo::{Metainfo, TorrentBuilder};
use piecework::native::driver::{NativeConfig, start};
use piecework::native::transport::TransportConfig;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, tracker] = &arguments[..] else {
        eprintln!(
            "Usage: seed FILE TRACKER\n\nTRACKER is the ws:// or wss:// URL of a signaling server."
        );
        return ExitCode::from(2);
    };
    match seed(Path::new(file), tracker).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn seed(file: &Path, tracker: &str) -> Result<(), Box<dyn Error>> {
    let file = file.canonicalize()?;
    let folder = file.parent().ok_or("a file is in a folder")?;
    let torrent = torrent_of(&file, tracker)?;
    let mut peer = start(NativeConfig {
        client: Config::default(),
        // Loopback addresses let peers on this machine connect, too.
        transport: TransportConfig {
            loopback: true,
            ..TransportConfig::default()
        },
        data_dir: folder.to_owned(),
        state_dir: folder.join(".piecework"),
        repair: false,
        local_web_seeds: false,
        chain: None,
        session_key: None,
    })?;
    let add = Command::Add {
        tag: 0,
        source: Source::Torrent(torrent.to_torrent().into()),
        options: AddOptions {
            check: CheckExisting::Complete,
            ..AddOptions::default()
        },
    };
    peer.handle.command(add).await?;
    loop {
        tokio::select! {
            event = peer.events.recv() => match event {
                Some(Event::Complete { .. }) => println!("{}", torrent.magnet()),
                Some(Event::Added { result, .. }) => drop(result?),
                Some(Event::Failed { text, .. }) => return Err(text.into()),
                Some(Event::Warning { text, .. }) => eprintln!("{text}"),
                Some(Event::ShutDown) | None => break,
                Some(_) => {}
            },
            _ = tokio::signal::ctrl_c() => peer.handle.command(Command::Shutdown).await?,
        }
    }
    Ok(peer.task.await?)
}

/// Reads the whole file once, because a torrent names the hash of each piece.
fn torrent_of(path: &Path, tracker: &str) -> Result<Metainfo, Box<dyn Error>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or("the file's name is not UTF-8")?;
    let mut file = File::open(path)?;
    let builder = TorrentBuilder::single_file(name, file.metadata()?.len()).tracker(tracker);
    let mut hasher = builder.hasher()?;
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(builder.build(hasher.finish()?)?),
            length => hasher.update(&part[..length]),
        }
    }
}

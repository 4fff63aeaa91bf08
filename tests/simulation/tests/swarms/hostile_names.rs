//! Torrents whose names and paths mean harm: they are downloaded, into names that are harmless.

use std::collections::BTreeSet;

use crate::common::{complete_within_bounds, minutes};
use piecework_simulation::{Content, NetConfig, Random, SimNet, for_seeds};

const SEEDS: u64 = 500;

/// Parts of paths as somebody with bad intentions would choose them.
const PARTS: [&[u8]; 28] = [
    b"..",
    b".",
    b"",
    b"/",
    b"../../../../etc/passwd",
    b"..\\..\\windows\\system32",
    b"C:\\autoexec.bat",
    b"\\\\server\\share",
    b"/dev/null",
    b"CON",
    b"nul.mp4",
    b"a\0b",
    b"\xff\xfe\x80",
    b"~/.ssh/authorized_keys",
    b"~",
    b"-rf",
    b"$(reboot)",
    b"`reboot`",
    b"%2e%2e%2f",
    b"<img src=x onerror=alert(1)>",
    b"\"><script>alert(1)</script>",
    b"javascript:alert(1)",
    b"&lt;b&gt;",
    b"\xe2\x80\xaegpj.exe",
    b"\r\nSet-Cookie: x=1",
    b"name. . .",
    b"desktop.ini:stream",
    b"\xc0\xae\xc0\xae\xc0\xaf",
];

fn part(random: &mut Random) -> Vec<u8> {
    match random.number(0..8) {
        0 => vec![b'x'; 200 + random.index(400)],
        1 => {
            let mut noise = vec![0; 1 + random.index(20)];
            random.fill(&mut noise);
            noise
        }
        2 => [
            PARTS[random.index(PARTS.len())],
            PARTS[random.index(PARTS.len())],
        ]
        .concat(),
        _ => PARTS[random.index(PARTS.len())].to_vec(),
    }
}

/// The simulated disk checks at every open that no path is unsafe.
#[test]
fn a_torrent_with_hostile_names_is_downloaded_under_harmless_ones() {
    for_seeds(SEEDS, |seed| {
        let mut random = Random::new(seed ^ 0xbad);
        let files: Vec<(Vec<Vec<u8>>, usize)> = (0..1 + random.index(6))
            .map(|_| {
                let path = (0..1 + random.index(4))
                    .map(|_| part(&mut random))
                    .collect();
                (path, 1 + random.index(30_000))
            })
            .collect();
        let name = part(&mut random);
        let content = Content::named(seed, &name, &files);
        let mut net = SimNet::new(seed, NetConfig::default());
        let (from, to) = (net.node(SimNet::config()), net.node(SimNet::config()));
        net.seed(from, &content);
        net.leech_magnet(to, &content);
        complete_within_bounds(&mut net, to, &content, minutes(10));
        let torrent = net.torrent(to, content.info_hash()).unwrap();
        let mut seen = BTreeSet::new();
        for (path, _) in &torrent.files {
            assert!(
                !path.is_empty() && seen.insert(path.clone()),
                "{path:?} twice"
            );
            for part in path {
                let bad = |c: char| c.is_control() || "<>:\"/\\|?*".contains(c);
                assert!(!part.is_empty() && part != "." && part != "..");
                assert!(part.len() <= 255 && !part.contains(bad), "{part:?}");
            }
        }
    });
}

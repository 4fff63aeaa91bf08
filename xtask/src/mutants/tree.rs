//! A copy of the repository's files that keeps its place from run to run, so that its builds stay good.
//!
//! Has the files that git would commit, as they lie in the work tree. A file of the copy is written only where it
//! differs. So a mutant that an interrupted run left behind goes, and cargo builds again only the files that changed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, paths, shell};

/// The copy, up to date.
pub fn bring() -> Result<PathBuf, Failure> {
    let tree = paths::target().join("mutants/tree");
    let listed = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let files = shell::answer(shell::command("git").args(listed))
        .ok_or_else(|| Failure::failed("git does not list the repository's files"))?;
    let root = paths::root();
    let files: BTreeSet<PathBuf> = files
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|file| root.join(file).is_file())
        .collect();
    fs::create_dir_all(&tree).map_err(Failure::io("make", &tree))?;
    forget_others(&tree, &tree, &files)?;
    for file in &files {
        update(&root.join(file), &tree.join(file))?;
    }
    Ok(tree)
}

/// Removes the files of the folder that are not listed.
fn forget_others(tree: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        if path.is_dir() && !path.is_symlink() {
            forget_others(tree, &path, files)?;
        } else if path
            .strip_prefix(tree)
            .is_ok_and(|file| !files.contains(file))
        {
            fs::remove_file(&path).map_err(Failure::io("remove", &path))?;
        }
    }
    Ok(())
}

fn update(from: &Path, to: &Path) -> Result<(), Failure> {
    let new = fs::read(from).map_err(Failure::io("read", from))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    }
    fs::write(to, new).map_err(Failure::io("write", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_written_and_what_is_gone_is_removed() {
        let place = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        let (from, to) = (place.join("from"), place.join("to"));
        for (folder, file, text) in [
            (&from, "same", "1"),
            (&to, "same", "1"),
            (&from, "deep/changed", "new"),
            (&to, "deep/changed", "mutant"),
            (&to, "deep/gone", "old"),
        ] {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let written = |file: &str| fs::metadata(to.join(file)).unwrap().modified().unwrap();
        let before = written("same");
        let files = ["same", "deep/changed"].map(PathBuf::from);
        forget_others(&to, &to, &BTreeSet::from(files.clone())).unwrap();
        for file in &files {
            update(&from.join(file), &to.join(file)).unwrap();
        }
        assert!(!to.join("deep/gone").exists());
        assert_eq!(fs::read(to.join("deep/changed")).unwrap(), b"new");
        assert_eq!(written("same"), before);
        fs::remove_dir_all(&place).unwrap();
    }
}

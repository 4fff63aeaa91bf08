//! `completions` and `man`: what clap knows of the command line, for shells and for `man`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Cli;
use super::output::{CliError, complain};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework completions bash > ~/.local/share/bash-completion/completions/piecework
  piecework completions zsh > ~/.zfunc/_piecework
  piecework completions fish > ~/.config/fish/completions/piecework.fish")]
pub(super) struct CompletionsArgs {
    /// The shell.
    pub(super) shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework man | man -l -
  piecework man ~/.local/share/man/man1")]
pub(super) struct ManArgs {
    /// Folder to write to: piecework.1, and a page of each command beside it.
    pub(super) dir: Option<PathBuf>,
}

/// `piecework completions`
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    print(&script(args.shell));
    Ok(())
}

/// `piecework man`
pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    let pages = pages()?;
    let Some(dir) = &args.dir else {
        if let Some((_, page)) = pages.first() {
            print(page);
        }
        return Ok(());
    };
    fs::create_dir_all(dir).map_err(|e| cannot(dir, &e))?;
    for (name, page) in &pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|e| cannot(&path, &e))?;
    }
    complain(&format!("wrote {} pages to {}", pages.len(), dir.display()));
    Ok(())
}

/// A reader that went away is no reason to fail.
fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes);
    let _ = stdout.flush();
}

fn cannot(path: &Path, error: &std::io::Error) -> CliError {
    CliError::Failed(format!("{} cannot be written: {error}", path.display()))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "piecework", &mut script);
    script
}

/// The program's page first, then one for each command and each command of a command.
fn pages() -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut program = Cli::command();
    program.build();
    let mut pages = Vec::new();
    collect(&program, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), CliError> {
    let man = Man::new(command.clone());
    let (name, mut page) = (man.get_filename(), Vec::new());
    man.render(&mut page)
        .map_err(|e| CliError::Failed(format!("the page {name} cannot be made: {e}")))?;
    pages.push((name, page));
    for inner in command.get_subcommands() {
        if inner.get_name() != "help" {
            collect(inner, pages)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn verbs() -> Vec<String> {
        let program = Cli::command();
        let verbs = program.get_subcommands();
        verbs.map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_shell_gets_a_script_that_names_every_verb() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for verb in verbs() {
                assert!(script.contains(&verb), "{shell}: {verb}");
            }
            assert!(script.contains("deployment"), "{shell}");
        }
    }

    #[test]
    fn the_manual_names_every_verb_and_has_a_page_of_each() {
        let pages = pages().unwrap();
        let (name, page) = &pages[0];
        assert_eq!(name, "piecework.1");
        let page = String::from_utf8(page.clone()).unwrap();
        for verb in verbs() {
            assert!(
                page.contains(&format!("piecework\\-{verb}")),
                "{verb}: {page}"
            );
            let of = format!("piecework-{verb}.1");
            let (_, own) = pages.iter().find(|(name, _)| *name == of).unwrap();
            let own = String::from_utf8(own.clone()).unwrap();
            assert!(
                own.starts_with(".ie") && own.contains("SYNOPSIS"),
                "{of}: {own}"
            );
        }
        assert!(
            pages
                .iter()
                .any(|(name, _)| name == "piecework-vault-deploy.1")
        );
    }
}

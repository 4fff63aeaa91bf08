//! The suite `commands`: the README's command lines, typed here in their shortest form.
//!
//! Every command has a [`Form`], and a unit test holds that README.md and CONTRIBUTING.md name no other. The test
//! command does no whole runs of measuring, fuzzing and taking pictures. It checks that each of these commands still
//! starts, does its work and ends.

mod operator;

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{builds, check::Counts, demo::programs::binary, failure::Failure, shell, stage::stage};

/// The way in which the test command sees that a command works.
enum Form {
    /// With these words, here.
    Short(&'static [&'static str]),
    /// In another suite, or in the base of every suite.
    Elsewhere,
    /// Only its `--help`: the rest would take too long, or change committed files.
    Help,
}

/// Every command, in the order of `--help`.
const FORMS: &[(&str, Form)] = &[
    ("demo", Form::Elsewhere),
    ("test", Form::Elsewhere),
    ("interop", Form::Elsewhere),
    ("check", Form::Elsewhere),
    ("bench", Form::Short(&["--only", "size", "--quick"])),
    ("fuzz", Form::Short(&["--quick"])),
    ("mutants", Form::Help),
    ("wasm", Form::Elsewhere),
    ("npm", Form::Elsewhere),
    ("trace", Form::Help),
    ("setup", Form::Short(&[])),
    ("screenshots", Form::Short(&["--quick"])),
    ("extension", Form::Elsewhere),
];

/// Types each; one that fails stops no other.
pub fn run() -> Result<Counts, Failure> {
    stage("build: programs", builds::binaries)?;
    stage("build: contracts", builds::contracts)?;
    let mut tally = Tally::default();
    tally.run("explanations", explanations);
    for (name, form) in FORMS {
        if let Form::Short(words) = form {
            tally.run(name, || {
                shell::run(shell::command(own_program()?).arg(name).args(*words))
            });
        }
    }
    tally.run("for an operator", operator::run);
    Ok(tally.0)
}

#[derive(Default)]
struct Tally(Counts);

impl Tally {
    fn run(&mut self, name: &str, work: impl FnOnce() -> Result<(), Failure>) {
        self.0.add(stage(&format!("commands: {name}"), work));
    }
}

/// Checks that each program and each of its commands explains itself.
fn explanations() -> Result<(), Failure> {
    let own = own_program()?;
    explain(&own, None)?;
    for (name, _) in FORMS {
        explain(&own, Some(name))?;
    }
    explain(&binary("piecework-signaling"), None)?;
    let peer = binary("piecework");
    let commands = commands_in(&explain(&peer, None)?);
    if commands.is_empty() {
        return Err(Failure::failed("piecework --help lists no commands"));
    }
    for name in commands {
        explain(&peer, Some(&name))?;
    }
    Ok(())
}

fn explain(program: &Path, command: Option<&str>) -> Result<String, Failure> {
    let mut command_line = shell::command(program);
    command_line.args(command).arg("--help");
    shell::answer(&mut command_line)
        .filter(|text| text.contains("Usage:"))
        .ok_or_else(|| {
            let line = shell::line_of(&command_line);
            Failure::failed(format!("`{line}` explains nothing"))
        })
}

/// The names under `Commands:` in clap's help.
fn commands_in(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(ToOwned::to_owned)
        .collect()
}

fn own_program() -> Result<PathBuf, Failure> {
    env::current_exe().map_err(|source| Failure::Io {
        what: "cannot name our own program".to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::CommandFactory;

    use super::*;
    use crate::paths;

    /// The words after `cargo xtask` in a text, as far as they are commands.
    fn named_in(text: &str) -> impl Iterator<Item = &str> {
        text.split("cargo xtask ").skip(1).filter_map(|rest| {
            let word = rest.split(|c: char| !c.is_ascii_lowercase()).next()?;
            (!word.is_empty()).then_some(word)
        })
    }

    #[test]
    fn every_command_that_the_documents_name_has_a_form() {
        for document in ["README.md", "CONTRIBUTING.md"] {
            let text = fs::read_to_string(paths::root().join(document)).unwrap();
            let named: Vec<&str> = named_in(&text).collect();
            assert!(named.len() > 5, "{document}");
            for name in named {
                assert!(
                    FORMS.iter().any(|(known, _)| *known == name),
                    "{document} names {name}"
                );
            }
        }
    }

    /// A command that the README names is run, and not only asked for its help.
    #[test]
    fn every_command_that_the_readme_names_is_run() {
        let text = fs::read_to_string(paths::root().join("README.md")).unwrap();
        for name in named_in(&text) {
            let run = FORMS
                .iter()
                .any(|(known, form)| *known == name && !matches!(form, Form::Help));
            assert!(run, "{name} is not run by any suite");
        }
    }

    #[test]
    fn every_command_has_a_form() {
        let commands = crate::Arguments::command();
        let names: Vec<&str> = commands
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let forms: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, forms);
    }

    #[test]
    fn commands_are_read_from_an_explanation() {
        let help = "A peer\n\nUsage: x <COMMAND>\n\nCommands:\n  create  Makes\n  seed    Serves\n  help    Prints\n\nOptions:\n  -h\n";
        assert_eq!(commands_in(help), ["create", "seed"]);
    }
}

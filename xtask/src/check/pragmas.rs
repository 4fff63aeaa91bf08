//! One compiler makes the deployed contracts: the one that contracts/package.json installs, and that the tests use.

use std::fs;

use crate::{failure::Failure, paths, rules};

/// Folders below contracts/ with the sources of deployed contracts. Tests may name a range of compilers.
const FOLDERS: [&str; 3] = ["interfaces", "libraries", "src"];

/// Names every deployed source whose pragma is not that compiler's version alone.
pub fn are_exact() -> Result<Vec<String>, Failure> {
    let contracts = paths::root().join("contracts");
    let package = contracts.join("package.json");
    let text = fs::read_to_string(&package).map_err(Failure::io("read", &package))?;
    let Some(version) = compiler_in(&text) else {
        return Ok(vec![
            "contracts/package.json: devDependencies.solc is no exact version".to_owned(),
        ]);
    };
    let mut violations = Vec::new();
    for folder in FOLDERS {
        for path in rules::files_below(&contracts.join(folder), &["sol"])? {
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            violations.extend(fault_in(&rules::shown(&path), &text, &version));
        }
    }
    Ok(violations)
}

/// The version of `solc` that npm installs, if it is one version.
fn compiler_in(package: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    let version = package["devDependencies"]["solc"].as_str()?;
    let is_exact = version.split('.').count() == 3
        && version
            .split('.')
            .all(|number| number.parse::<u32>().is_ok());
    is_exact.then(|| version.to_owned())
}

fn fault_in(place: &str, source: &str, version: &str) -> Option<String> {
    let wanted = format!("pragma solidity {version};");
    let mut lines = source.lines().enumerate();
    match lines.find(|(_, line)| line.trim_start().starts_with("pragma solidity")) {
        Some((_, line)) if line == wanted => None,
        Some((index, line)) => Some(format!("{place}:{}: `{line}`: write `{wanted}`", index + 1)),
        None => Some(format!("{place}:1: no pragma: write `{wanted}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_installed_compilers_version_passes() {
        let fault = |source: &str| fault_in("a.sol", source, "0.8.37");
        assert_eq!(
            fault("// SPDX\npragma solidity 0.8.37;\ncontract A {}"),
            None
        );
        assert_eq!(
            fault("// SPDX\npragma solidity ^0.8.28;\n").as_deref(),
            Some("a.sol:2: `pragma solidity ^0.8.28;`: write `pragma solidity 0.8.37;`")
        );
        assert!(fault("pragma solidity 0.8.36;\n").is_some());
        assert!(fault("contract A {}\n").is_some());
    }

    #[test]
    fn a_range_of_compilers_is_no_version() {
        let compiler = |solc: &str| {
            compiler_in(&format!(
                "{{\"devDependencies\": {{\"solc\": \"{solc}\"}}}}"
            ))
        };
        assert_eq!(compiler("0.8.37"), Some("0.8.37".to_owned()));
        assert_eq!(compiler("^0.8.37"), None);
        assert_eq!(compiler("0.8"), None);
        assert_eq!(compiler_in("{}"), None);
    }
}

//! Finding the PostgreSQL server binaries of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::StartError;

/// The oldest major version that Posthorn supports (`pg_snapshot` and `xid8` are older,
/// but 13 is out of support).
const OLDEST: u32 = 14;

/// The places in which packages put the binaries of each version: a directory, the start of the
/// version's name in it, and the way down from there.
const PACKAGED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/usr/lib", "postgresql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// Finds the directory with `initdb`, `pg_ctl` and `postgres`: `POSTHORN_PG_BIN`, or else the one
/// that `pg_config` names, the newest that a package has put in its usual place, or the one on the
/// PATH.
pub fn find() -> Result<PathBuf, StartError> {
    if let Some(directory) = std::env::var_os("POSTHORN_PG_BIN") {
        let directory = PathBuf::from(directory);
        return match version(&directory) {
            Some(major) if major >= OLDEST => Ok(directory),
            Some(major) => Err(StartError::BadBinDirectory {
                directory,
                reason: format!("it holds version {major}, and {OLDEST} is the oldest supported"),
            }),
            None => Err(StartError::BadBinDirectory {
                directory,
                reason: "it does not hold initdb, pg_ctl and postgres".to_owned(),
            }),
        };
    }
    first_usable(candidates(), version)
}

fn first_usable(
    candidates: impl Iterator<Item = PathBuf>,
    version: impl Fn(&Path) -> Option<u32>,
) -> Result<PathBuf, StartError> {
    let mut too_old = None;
    for directory in candidates {
        match version(&directory) {
            Some(major) if major >= OLDEST => return Ok(directory),
            Some(major) => too_old = Some((directory, major)),
            None => {}
        }
    }
    Err(StartError::NoBinaries {
        found: match too_old {
            Some((directory, major)) => format!("version {major} in {}", directory.display()),
            None => "nothing at all".to_owned(),
        },
    })
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    pg_config_bindir()
        .into_iter()
        .chain(packaged())
        .chain(on_path)
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(directory.trim()))
}

/// The directories that packages have made, newest first.
fn packaged() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix, below) in PACKAGED {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        found.extend(entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            let major: u32 = version.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join(below)))
        }));
    }
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, directory)| directory).collect()
}

/// The major version of a directory that holds all three binaries.
fn version(directory: &Path) -> Option<u32> {
    let has = |name| directory.join(name).is_file();
    if !(has("initdb") && has("pg_ctl") && has("postgres")) {
        return None;
    }
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the major version from a banner such as `postgres (PostgreSQL) 15.13 (Debian
/// 15.13-0+deb12u1)`, or `… 17beta1`.
fn major(banner: &str) -> Option<u32> {
    let number = banner.split_whitespace().nth(2)?;
    let end = number.find(|c: char| !c.is_ascii_digit());
    number[..end.unwrap_or(number.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_banner() {
        for (banner, expected) in [
            (
                "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n",
                Some(15),
            ),
            ("postgres (PostgreSQL) 17beta1\n", Some(17)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("", None),
        ] {
            assert_eq!(major(banner), expected, "{banner}");
        }
    }

    #[test]
    fn the_first_supported_version_wins_and_an_old_one_is_named() {
        let version = |directory: &Path| directory.to_str()?.strip_prefix("/pg")?.parse().ok();
        let search = |paths: &[&str]| first_usable(paths.iter().map(PathBuf::from), version);
        assert_eq!(
            search(&["/bin", "/pg13", "/pg16", "/pg17"]).unwrap(),
            Path::new("/pg16")
        );
        let refused = search(&["/bin", "/pg13"]).unwrap_err().to_string();
        assert!(refused.contains("version 13 in /pg13"), "{refused}");
        assert!(refused.contains("make setup"), "{refused}");
        let refused = search(&[]).unwrap_err().to_string();
        assert!(refused.contains("nothing at all"), "{refused}");
    }
}

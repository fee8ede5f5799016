//! Where the cluster's directory can be made.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StartError;
use super::account::Account;

const ENTER: u32 = 0o1;
const WRITE: u32 = 0o2;

/// Finds the first of TMPDIR, `/tmp` and `/var/tmp` that the account can enter and write to: root's
/// TMPDIR is often one that nobody else may enter. Without another account it is TMPDIR, or `/tmp`.
pub fn usable_by(account: Option<&Account>) -> Result<PathBuf, StartError> {
    let own = std::path::absolute(std::env::temp_dir())?;
    let Some(account) = account else {
        return Ok(own);
    };
    let candidates = [own, PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let usable = candidates.iter().find(|base| is_usable(base, account));
    usable.cloned().ok_or_else(|| StartError::NoDirectory {
        tried: candidates
            .each_ref()
            .map(|base| base.display().to_string())
            .join(", "),
        account: account.name.clone(),
    })
}

fn is_usable(base: &Path, account: &Account) -> bool {
    let Ok(base) = base.canonicalize() else {
        return false;
    };
    base.ancestors().all(|directory| {
        let wanted = if directory == base {
            ENTER | WRITE
        } else {
            ENTER
        };
        directory
            .metadata()
            .is_ok_and(|metadata| allows(&metadata, account, wanted))
    })
}

/// Whether the classic permission bits allow it; the account is started without supplementary
/// groups.
fn allows(metadata: &Metadata, account: &Account, wanted: u32) -> bool {
    let shift = if metadata.uid() == account.uid {
        6
    } else if metadata.gid() == account.gid {
        3
    } else {
        0
    };
    (metadata.mode() >> shift) & wanted == wanted
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_usable_when_the_whole_path_lets_the_account_in() {
        let outer = tempfile::tempdir_in("/tmp").unwrap();
        let inner = outer.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let stranger = Account {
            name: "stranger".into(),
            uid: 54_321,
            gid: 54_321,
        };
        for (outer_mode, inner_mode, usable) in [
            (0o711, 0o777, true),
            (0o700, 0o777, false),
            (0o755, 0o755, false),
            (0o755, 0o702, false),
        ] {
            std::fs::set_permissions(outer.path(), Permissions::from_mode(outer_mode)).unwrap();
            std::fs::set_permissions(&inner, Permissions::from_mode(inner_mode)).unwrap();
            assert_eq!(
                is_usable(&inner, &stranger),
                usable,
                "{outer_mode:o} {inner_mode:o}"
            );
        }
        assert!(!is_usable(Path::new("/nowhere/at/all"), &stranger));
    }
}

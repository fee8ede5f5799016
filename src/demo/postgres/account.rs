//! As whom PostgreSQL runs: as oneself, or, for root, as somebody less.

use std::io;
use std::process::Command;

use super::StartError;

/// The accounts that root drops to, in order of preference.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, PartialEq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// Finds the account to run the server as; none for an ordinary user, for whom nothing has to
/// change.
pub fn to_run_as() -> Result<Option<Account>, StartError> {
    if own_uid()? != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = CANDIDATES.iter().find_map(|name| lookup(&passwd, name));
    account.map(Some).ok_or(StartError::NoAccount)
}

/// Asks `id` for the effective user (POSIX): the standard library has no `geteuid`.
fn own_uid() -> io::Result<u32> {
    let output = Command::new("id").arg("-u").output()?;
    let uid = String::from_utf8_lossy(&output.stdout).trim().parse();
    uid.map_err(|_| io::Error::other("`id -u` does not tell who we are"))
}

/// Finds an account in the text of `/etc/passwd` (passwd(5): `name:password:uid:gid:…`).
fn lookup(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:8::/:/bin/sh\n\
                      nobody:x:65534:65533:nobody:/:/sbin/nologin\nodd:x\nfakeroot:x:0:0::/:\n";
        let nobody = lookup(passwd, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert_eq!(lookup(passwd, "odd"), None);
        assert_eq!(lookup(passwd, "postgres"), None);
        assert_eq!(
            lookup(passwd, "fakeroot"),
            None,
            "root gains nothing from another root"
        );
    }
}

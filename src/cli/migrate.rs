//! `posthorn migrate`: makes the schema, or brings it up to date.

use std::io::{self, Write};

use anyhow::anyhow;

use super::database::DatabaseArgs;
use crate::config::builtin_profiles;
use crate::store::schema::{Migrated, migrate};

/// Makes the schema `posthorn` in a database, or brings it up to date. Safe to run
/// again, and from two machines at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Slices of the merchants that workers share out, fixed at the first migration; 64
    /// if not given
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let migrated = migrate(&args.database.url()?, args.shards, &builtin_profiles())
        .await
        .map_err(|error| anyhow!("{error}{}", error.remedy()))?;
    if migrated.owner.is_superuser {
        let role = &migrated.owner.role;
        writeln!(
            io::stderr(),
            "warning: the role {role} is a superuser, and some of Posthorn's functions run with \
             their owner's rights for those who publish, send and read: a fault in one of them \
             would open the whole server, and not just this schema. Let a plain role own the \
             database: CREATE ROLE … LOGIN, and ALTER DATABASE … OWNER TO it. While nothing is in \
             the schema yet, DROP SCHEMA posthorn CASCADE and run `posthorn migrate` as that role; \
             otherwise restore a dump of the schema as that role, with pg_restore --no-owner"
        )?;
    }
    Ok(io::stdout().write_all(told(&migrated).as_bytes())?)
}

fn told(migrated: &Migrated) -> String {
    let Migrated {
        migrations, shards, ..
    } = migrated;
    let done = match migrated.applied.as_slice() {
        _ if migrated.is_new => "made the schema".to_owned(),
        [] => "nothing was missing".to_owned(),
        applied => format!("applied {}", applied.join(", ")),
    };
    let fates = migrated.rights.fates.iter().cloned();
    let roles = match migrated.rights.roles {
        0 => None,
        1 => Some("1 role has the rights of its parts in this version".to_owned()),
        roles => Some(format!(
            "{roles} roles have the rights of their parts in this version"
        )),
    };
    let end = format!("the schema is up to date: {migrations} migrations, {shards} shards");
    let lines = std::iter::once(done).chain(fates).chain(roles).chain([end]);
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::grants::Settled;
    use crate::store::owner::Owner;

    #[test]
    fn what_was_missing_is_named_and_so_is_what_became_of_parts() {
        let mut migrated = Migrated {
            owner: Owner {
                role: "posthorn".to_owned(),
                is_superuser: false,
            },
            shards: 64,
            migrations: 30,
            is_new: false,
            applied: vec!["0029 a".to_owned(), "0030 b".to_owned()],
            rights: Settled {
                roles: 2,
                fates: vec!["the role x was dropped, and is a viewer no more".to_owned()],
            },
        };
        assert_eq!(
            told(&migrated),
            "applied 0029 a, 0030 b\nthe role x was dropped, and is a viewer no more\n\
             2 roles have the rights of their parts in this version\n\
             the schema is up to date: 30 migrations, 64 shards\n"
        );
        migrated.applied.clear();
        assert!(told(&migrated).starts_with("nothing was missing\n"));
    }
}

//! Whose the schema is. What is made in it belongs to whoever makes it, and much of it runs
//! with its owner's rights: so nobody else may own any of it, or be able to put anything there.

use sqlx::PgConnection;

use super::StoreError;

/// The role that works on the schema and owns it; names are as SQL would have them.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its name.
    pub role: String,
    /// Whether it is a superuser: what runs with the owner's rights may do anything on the server
    /// then.
    pub is_superuser: bool,
}

/// Why a role must not work on the schema: something in it is, or could be, another's.
#[derive(Debug, thiserror::Error)]
pub enum NotAlone {
    /// The schema belongs to another role.
    #[error(
        "the schema posthorn belongs to the role {owner}, and this is {role}; connect as {owner}, \
         or, if {owner} is not to be the owner, look at what is in the schema and give it away: \
         ALTER SCHEMA posthorn OWNER TO {role}"
    )]
    OfAnother {
        /// To whom it belongs.
        owner: String,
        /// Who works on it.
        role: String,
    },
    /// Somebody else may create in the schema.
    #[error(
        "{who} may create in the schema posthorn, and would own what Posthorn then runs with its \
         own owner's rights; take that away: REVOKE CREATE ON SCHEMA posthorn FROM {who}"
    )]
    OpenTo {
        /// Who may create in it.
        who: String,
    },
    /// Something in the schema belongs to another role.
    #[error(
        "posthorn.{name} belongs to the role {owner}, and the schema to {role}; whoever put it \
         there could change what Posthorn runs. DROP it, or, if it is known to be right, give it \
         to {role} by ALTER … OWNER TO"
    )]
    Within {
        /// What it is called.
        name: String,
        /// To whom it belongs.
        owner: String,
        /// To whom the schema belongs.
        role: String,
    },
    /// The database does not say.
    #[error("cannot look whose the schema is: {}", .0.words())]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for NotAlone {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The role, whether it is a superuser, and of the schema another owner and who may create in it.
type Schema = (String, bool, Option<String>, Option<String>);

/// The current role, if it owns the schema `posthorn` and all that is in it, and nobody else
/// may create there. The trigger functions of sources may be another role's: whoever attached
/// them, and nothing of Posthorn's own calls them.
pub(super) async fn sole_owner(connection: &mut PgConnection) -> Result<Owner, NotAlone> {
    let (role, is_superuser, other_owner, open_to): Schema = sqlx::query_as(
        "
        SELECT quote_ident(current_user), r.rolsuper,
               CASE WHEN n.nspowner <> r.oid THEN n.nspowner::regrole::text END,
               (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                  FROM aclexplode(n.nspacl) AS a
                 WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
                 ORDER BY a.grantee LIMIT 1)
          FROM pg_namespace n, pg_roles r
         WHERE n.nspname = 'posthorn' AND r.rolname = current_user
        ",
    )
    .fetch_one(&mut *connection)
    .await?;
    if let Some(owner) = other_owner {
        return Err(NotAlone::OfAnother { owner, role });
    }
    if let Some(who) = open_to {
        return Err(NotAlone::OpenTo { who });
    }
    let foreign: Option<(String, String)> = sqlx::query_as(
        "
        SELECT quote_ident(o.name), o.owner::regrole::text
          FROM (SELECT relname, relowner, relnamespace FROM pg_class
                UNION ALL
                SELECT typname, typowner, typnamespace FROM pg_type
                UNION ALL
                SELECT oprname, oprowner, oprnamespace FROM pg_operator
                UNION ALL
                SELECT proname, proowner, pronamespace FROM pg_proc
                 WHERE prorettype <> 'trigger'::regtype OR NOT starts_with(proname, 'source_')
               ) AS o (name, owner, namespace)
         WHERE o.namespace = 'posthorn'::regnamespace
           AND o.owner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
         ORDER BY 1 LIMIT 1
        ",
    )
    .fetch_optional(connection)
    .await?;
    match foreign {
        Some((name, owner)) => Err(NotAlone::Within { name, owner, role }),
        None => Ok(Owner { role, is_superuser }),
    }
}

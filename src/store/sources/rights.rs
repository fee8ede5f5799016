//! What the role that compares a table may do, and what it may not.

use sqlx::PgConnection;

use super::SourceFailed;
use super::quote::identifier;
use super::table::Table;
use crate::model::source::Compare;

/// Columns of every table: where a row lies, and which transaction wrote it.
const OF_THE_SYSTEM: [&str; 2] = ["ctid", "xmin"];

/// What a role has, or can take, that is not to be in the hands of a table's owner, as the end of
/// a sentence about it. None: it is a stranger. Without a role it is the session's own.
pub async fn what_it_knows(
    connection: &mut PgConnection,
    role: Option<&str>,
) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query!(
        r#"
        SELECT me.rolname::text AS "me!", r.rolname::text AS "role!",
               CASE WHEN r.rolsuper THEN 'a superuser'
                    WHEN r.rolcreaterole THEN 'allowed to make roles'
                    WHEN r.rolreplication THEN 'allowed to read every change of the server'
                    WHEN r.rolname LIKE 'pg\_%' THEN 'allowed more than a plain role'
                    ELSE 'allowed to use the schema posthorn' END AS "fault!"
          FROM pg_roles me
          JOIN pg_roles r ON pg_has_role(me.oid, r.oid, 'MEMBER')
         WHERE me.rolname = coalesce($1::text, session_user::text)
           AND (r.rolsuper OR r.rolcreaterole OR r.rolreplication
                OR has_schema_privilege(r.oid, to_regnamespace('posthorn')::oid, 'USAGE')
                OR r.rolname LIKE 'pg\_%')
         ORDER BY r.oid <> me.oid, r.rolname LIMIT 1
        "#,
        role
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| {
        if found.me == found.role {
            format!("is {}", found.fault)
        } else {
            format!("can become {}, which is {}", found.role, found.fault)
        }
    }))
}

/// The statements that let the role read what is compared, if there are any that it needs.
pub async fn missing_grants(
    connection: &mut PgConnection,
    compare: &Compare,
    table: &Table,
    columns: &[String],
) -> Result<Vec<String>, SourceFailed> {
    let Compare { role, made_at } = compare;
    if let Some(because) = what_it_knows(connection, Some(role)).await? {
        return Err(SourceFailed::KnowsPosthorn {
            role: role.clone(),
            because,
        });
    }
    if let Some(others) = table_of_another_owner(connection, role, table).await? {
        return Err(SourceFailed::SharedRole {
            role: role.clone(),
            others,
        });
    }
    if let Some(column) = made_at {
        is_a_time(connection, table, column).await?;
    }
    let Some(lacks) = Lacks::find(connection, role, table, columns).await? else {
        return Err(SourceFailed::NoRole(role.clone()));
    };
    let grants = lacks.grants(role, table);
    if lacks.may_be_granted() {
        Ok(grants)
    } else {
        Err(SourceFailed::NotGranted {
            role: role.clone(),
            grants: grants.join("; "),
        })
    }
}

/// A source's table that the role compares too, and that belongs to somebody else.
async fn table_of_another_owner(
    connection: &mut PgConnection,
    role: &str,
    table: &Table,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT format('%I.%I', n.nspname, c.relname) AS "name!"
             FROM posthorn.sources s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE s.compare_role = $1 AND c.relowner <> (SELECT t.relowner FROM pg_class t WHERE t.oid = $2)
            ORDER BY 1 LIMIT 1"#,
        role,
        table.oid
    )
    .fetch_optional(connection)
    .await
}

/// What a role cannot read of a table.
struct Lacks {
    schema: String,
    /// Whether we may grant the use of the schema; none: the role may use it already.
    schema_is_ours: Option<bool>,
    columns: Vec<String>,
    table_is_ours: bool,
}

impl Lacks {
    /// Looks what the role cannot read; none: there is no such role.
    async fn find(
        connection: &mut PgConnection,
        role: &str,
        table: &Table,
        columns: &[String],
    ) -> Result<Option<Self>, sqlx::Error> {
        let columns = columns.iter().map(String::as_str).chain(OF_THE_SYSTEM);
        let columns: Vec<String> = columns.map(ToOwned::to_owned).collect();
        sqlx::query_as!(
            Self,
            r#"
            SELECT n.nspname::text AS "schema!",
                   CASE WHEN NOT has_schema_privilege(r.oid, n.oid, 'USAGE')
                        THEN has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION') END AS schema_is_ours,
                   ARRAY(SELECT a.attname::text FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attname = ANY ($3::text[])
                            AND NOT has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
                          ORDER BY a.attnum) AS "columns!",
                   (SELECT bool_and(has_column_privilege(c.oid, a.attnum, 'SELECT WITH GRANT OPTION'))
                      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($3::text[])) AS "table_is_ours!"
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
             WHERE c.oid = $1 AND r.rolname = $2
            "#,
            table.oid,
            role,
            &columns
        )
        .fetch_optional(connection)
        .await
    }

    /// The statements that give the role what it lacks.
    fn grants(&self, role: &str, table: &Table) -> Vec<String> {
        let to = identifier(role);
        let mut grants = vec![];
        if self.schema_is_ours.is_some() {
            grants.push(format!(
                "GRANT USAGE ON SCHEMA {} TO {to}",
                identifier(&self.schema)
            ));
        }
        if !self.columns.is_empty() {
            let columns: Vec<String> = self.columns.iter().map(|name| identifier(name)).collect();
            grants.push(format!(
                "GRANT SELECT ({}) ON {} TO {to}",
                columns.join(", "),
                table.name
            ));
        }
        grants
    }

    /// Whether whoever attaches may run them.
    fn may_be_granted(&self) -> bool {
        self.schema_is_ours != Some(false) && (self.columns.is_empty() || self.table_is_ours)
    }
}

async fn is_a_time(
    connection: &mut PgConnection,
    table: &Table,
    column: &str,
) -> Result<(), SourceFailed> {
    let of_type = sqlx::query_scalar!(
        r#"SELECT format_type(a.atttypid, NULL) AS "of_type!" FROM pg_attribute a
            WHERE a.attrelid = $1 AND a.attname = $2
              AND a.atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)"#,
        table.oid,
        column
    )
    .fetch_optional(connection)
    .await?;
    match of_type {
        None => Ok(()),
        Some(of_type) => Err(SourceFailed::NoTime {
            column: column.to_owned(),
            of_type,
        }),
    }
}

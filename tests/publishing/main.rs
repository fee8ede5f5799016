//! How applications publish: the crate `posthorn-publish`, and the examples that a newcomer
//! copies, each as a role that may publish and no more.

#[path = "../support/mod.rs"]
mod support;

mod examples;
mod library;

use support::{Database, posthorn};

/// The application's connection, whose role has a table of payments and may publish; `merchants`
/// are further arguments of `posthorn grant`.
async fn application(database: &Database, merchants: &[&str]) -> Database {
    let role = database.login("app").await;
    database
        .execute(&format!(
            "CREATE TABLE public.payments (id text PRIMARY KEY, status text);
             INSERT INTO public.payments VALUES ('T-1', 'created');
             GRANT SELECT, UPDATE ON public.payments TO {role}"
        ))
        .await;
    let mut grant = vec![
        "grant",
        "--publisher",
        &role,
        "--database-url",
        &database.url,
    ];
    grant.extend(merchants);
    let (status, said) = posthorn(&grant).await;
    assert!(status.success(), "{said}");
    Database::connect(&database.name, database.url_of(&role))
}

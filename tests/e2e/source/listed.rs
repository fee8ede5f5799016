//! Seeing, trying out and taking away.

use super::{NOTHING, Shop};
use crate::support::posthorn;

#[tokio::test]
async fn a_dry_run_changes_nothing_and_prints_sql_that_does() {
    let shop = Shop::new().await;
    let attach = "attach shop.payments --merchant merchant_id --id id --status status --dry-run";
    let options = ["--when", "new.note LIKE '%$posthorn$%'"];
    let (status, script) = shop.source_with(attach, &options).await;
    assert!(status.success(), "{script}");
    assert!(shop.list().await.contains("there are no sources"));
    shop.run(&script).await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new', 1, 'a $posthorn$ b'), (2, 'm', 'new', 1, NULL)")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 new"]);

    let (status, script) = shop.source("detach payments --dry-run").await;
    assert!(status.success(), "{script}");
    assert!(shop.list().await.contains("payments: shop.payments\n"));
    shop.run(&script).await;
    assert!(shop.list().await.contains("there are no sources"));
    shop.run("UPDATE shop.payments SET status = 'paid'").await;
    assert_eq!(shop.told().await, NOTHING);
}

#[tokio::test]
async fn the_list_shows_the_command_that_makes_each_source() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &["--when", "new.status <> 'it''s'"])
        .await;
    let list = shop.list().await;
    assert_eq!(
        list,
        "payments: shop.payments\n  posthorn source attach shop.payments --merchant merchant_id --id id --status status \
         --kind payments --when 'new.status <> '\\''it'\\'''\\''s'\\''' --on-failure block --name payments\n"
    );
    // A shell understands it, and it makes the same source.
    shop.source("detach payments").await;
    let command = list.lines().nth(1).unwrap().replace(
        "posthorn",
        &format!(
            "{} --database-url '{}'",
            env!("CARGO_BIN_EXE_posthorn"),
            shop.database.url
        ),
    );
    let command = command.replacen(
        &format!(" --database-url '{}' source attach", shop.database.url),
        &format!(" source attach --database-url '{}'", shop.database.url),
        1,
    );
    let status = tokio::process::Command::new("sh")
        .args(["-c", &command])
        .status()
        .await
        .unwrap();
    assert!(status.success(), "{command}");
    assert_eq!(shop.list().await, list);
}

#[tokio::test]
async fn a_source_outlives_its_tables_name_and_is_reported_without_its_table() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    shop.run(
        "ALTER TABLE shop.payments RENAME TO payments_v2;
         INSERT INTO shop.payments_v2 VALUES (1, 'm', 'new')",
    )
    .await;
    assert_eq!(shop.told().await, ["m payments 1 new"]);
    assert!(
        shop.list()
            .await
            .starts_with("payments: shop.payments_v2\n")
    );
    shop.run("DROP TABLE shop.payments_v2").await;
    let list = shop.list().await;
    assert!(
        list.contains("payments\n  ! its table was dropped; run `posthorn source detach payments`"),
        "{list}"
    );
    let (status, said) = shop.source("detach payments").await;
    assert!(status.success(), "{said}");
    assert!(shop.list().await.contains("there are no sources"));
}

#[tokio::test]
async fn a_viewer_sees_the_sources() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &["--on-failure", "record"])
        .await;
    shop.run("INSERT INTO shop.payments VALUES (1, NULL, 'new')")
        .await;
    let role = shop.database.login("viewer").await;
    shop.database.grant("--viewer", &role).await;
    let url = shop.database.url_of(&role);
    let (status, said) = posthorn(&["source", "list", "--database-url", &url]).await;
    assert!(status.success(), "{said}");
    assert!(said.contains("changes that became no event: 1"), "{said}");
}

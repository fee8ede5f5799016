//! What `posthorn.cluster()` says: which tables these are, and which run of their server.

/// The part of a cluster's name that says which tables they are. Where it differs, a database or
/// the schema was made anew, restored, copied or upgraded: nothing that was read from the others
/// says anything here. Where only the rest differs, the server was restarted, or a standby took its
/// place.
#[must_use]
pub fn tables_of(cluster: &str) -> &str {
    cluster.split('/').next().unwrap_or(cluster)
}

/// The part of a cluster's name that `posthorn.tables()` gives: the database and the table of
/// the shards, without the server's own identifier.
#[must_use]
pub fn tables_in_their_server(cluster: &str) -> &str {
    let tables = tables_of(cluster);
    tables.split_once('.').map_or(tables, |(_, tables)| tables)
}

#[cfg(test)]
mod tests {
    use super::{tables_in_their_server, tables_of};

    #[test]
    fn a_restart_or_a_failover_leaves_the_tables_what_they_are() {
        let before = "7412.16384.16402/00000001/1700000000.5";
        let tables = tables_of(before);
        assert_eq!(tables_of("7412.16384.16402/00000002/1700000009.1"), tables);
        assert_eq!(tables_in_their_server(before), "16384.16402");
        for other in [
            "7413.16384.16402/00000001/1700000000.5",
            "7412.16999.16402/00000001/1700000000.5",
            "7412.16384.17777/00000001/1700000000.5",
        ] {
            assert_ne!(tables_of(other), tables);
        }
    }
}

//! What a store holds, for comparing two.

use std::path::Path;

/// Every row of every table of a store. Where its pages lie in the file is SQLite's own affair.
pub(crate) fn contents(store: &Path) -> Vec<u8> {
    let store = rusqlite::Connection::open(store).expect("a store");
    let mut tables = store
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .expect("a query");
    let names: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("tables");
    assert!(names.len() > 5, "{names:?}");
    let mut all = String::new();
    for name in names {
        let mut rows = store
            .prepare(&format!("SELECT * FROM \"{name}\""))
            .expect("a query");
        let columns = rows.column_count();
        let mut rows = rows.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for at in 0..columns {
                let value: rusqlite::types::Value = row.get(at).expect("a value");
                all.push_str(&format!("{name} {value:?}\n"));
            }
        }
    }
    all.into_bytes()
}

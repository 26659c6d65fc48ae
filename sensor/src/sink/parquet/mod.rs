//! Flows as Parquet files: columns that a data frame or an SQL engine reads without being told what they are.
//!
//! The columns are those of the CSV files under the same names: the flow, its features, and the verdict where there is one. A
//! feature that is not known is null. A reader sees whole files only: each is written under another name, synchronised, and then
//! given its own.

mod columns;
mod file;
mod outlet;
mod writer;

pub use self::{
    columns::{Column, Form, columns},
    file::ParquetFile,
    outlet::{Folder, Rows, outlet},
    writer::{GROUP_ROWS, Writer},
};

/// Whether a file's name says that it is one.
pub fn is_named(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

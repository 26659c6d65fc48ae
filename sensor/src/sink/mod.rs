//! What leaves the program: CSV, JSON, the terminal, the HTML report. Names outside are chosen only here.

pub mod csv;
pub mod escape;
pub mod flows;
pub mod json;
pub mod report;
pub mod summary;
pub mod table;

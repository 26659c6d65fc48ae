//! Tables of features that this program wrote, read back to the same bits.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ::csv::{Reader, StringRecord};

use crate::{
    capture::input::is_standard_input,
    features::{COUNT, PROTOCOL, Row, TABLE},
    flow::{ARP, protocol_name, protocol_number},
    sink::csv::VERDICT_COLUMNS,
};

/// Why a table cannot be used; one line.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not CSV, or has another number of fields.
    #[error("{}: {what}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        what: ::csv::Error,
    },
    /// A column of the model is not there.
    #[error(
        "{}: not a table of features: no column `{column}`; write one with `anomaly-detect features`",
        path.display()
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The first missing column.
        column: String,
    },
    /// A field is not a number.
    #[error("{}: line {line}: `{text}` in column `{column}` is not a number", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column.
        column: String,
        /// What is there.
        text: String,
    },
}

/// A table being read.
pub struct Table {
    path: PathBuf,
    reader: Reader<Box<dyn Read>>,
    /// Names of all columns.
    pub columns: Vec<String>,
    /// Column of each feature; `usize::MAX` where the table has none.
    features: [usize; COUNT],
    record: StringRecord,
}

impl Table {
    /// Opens a table and reads its header.
    ///
    /// # Errors
    /// Unreadable, or no CSV.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let source: Box<dyn Read> = if is_standard_input(path) {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(|source| TableError::Read {
                path: path.to_owned(),
                source,
            })?;
            Box::new(file)
        };
        let mut reader = ::csv::ReaderBuilder::new()
            .buffer_capacity(1 << 18)
            .from_reader(source);
        let columns: Vec<String> = reader
            .headers()
            .map_err(|what| TableError::Csv {
                path: path.to_owned(),
                what,
            })?
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').to_owned())
            .collect();
        let mut features = [usize::MAX; COUNT];
        for (column, feature) in features.iter_mut().zip(&TABLE) {
            if let Some(at) = columns.iter().position(|name| name == feature.name) {
                *column = at;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            columns,
            features,
            record: StringRecord::new(),
        })
    }

    /// Whether every feature of the model has a column.
    ///
    /// # Errors
    /// The first that has none.
    pub fn require_features(&self) -> Result<(), TableError> {
        let missing = TABLE
            .iter()
            .zip(&self.features)
            .find(|(feature, column)| feature.model && **column == usize::MAX);
        match missing {
            None => Ok(()),
            Some((feature, _)) => Err(TableError::Column {
                path: self.path.clone(),
                column: feature.name.to_owned(),
            }),
        }
    }

    /// Position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Positions of the columns that are no verdict of an earlier prediction.
    pub fn without_verdicts(&self) -> Vec<usize> {
        (0..self.columns.len())
            .filter(|at| !VERDICT_COLUMNS.contains(&self.columns[*at].as_str()))
            .collect()
    }

    /// Reads the next line; `None` at the end.
    ///
    /// # Errors
    /// No CSV.
    pub fn next_record(&mut self) -> Result<Option<&StringRecord>, TableError> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(what) => Err(TableError::Csv {
                path: self.path.clone(),
                what,
            }),
        }
    }

    /// The features of the line read last; NaN for empty fields and columns that are not there.
    ///
    /// # Errors
    /// A field that is no number.
    pub fn row(&self) -> Result<Row, TableError> {
        let mut row = [f32::NAN; COUNT];
        for (at, value) in row.iter_mut().enumerate() {
            let text = self.record.get(self.features[at]).unwrap_or("");
            if !text.is_empty() {
                *value = self.number(at, text)?;
            }
        }
        Ok(row)
    }

    fn number(&self, feature: usize, text: &str) -> Result<f32, TableError> {
        // Counters stand in the table as the whole numbers they are, protocols by name.
        let number = match text.parse::<f64>() {
            Ok(_) if text.contains('.') => text.parse::<f32>().ok(),
            Ok(number) => Some(number as f32),
            // Not an IP protocol, so missing.
            Err(_) if feature == PROTOCOL && Some(text) == protocol_name(ARP) => Some(f32::NAN),
            Err(_) if feature == PROTOCOL => protocol_number(text).map(f32::from),
            Err(_) => None,
        };
        number.ok_or_else(|| TableError::Number {
            path: self.path.clone(),
            line: self.record.position().map_or(0, ::csv::Position::line),
            column: TABLE[feature].name.to_owned(),
            text: text.chars().take(40).collect(),
        })
    }
}

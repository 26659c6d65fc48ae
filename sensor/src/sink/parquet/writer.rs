//! Rows to a Parquet file: columns are gathered for a row group and written together.

use std::{
    io::{self, Write},
    sync::Arc,
};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::{Type, TypePtr},
};

use super::columns::{Cell, Column, Form, columns};

/// Rows that are held in memory until they are written: about 20 MB.
pub const GROUP_ROWS: usize = 16_384;

/// A Parquet file being written.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    gathered: Vec<Gathered>,
    rows_in_group: usize,
    rows: u64,
}

/// A column of the row group.
struct Gathered {
    /// 1 for a value, 0 for null; empty for a column that is never null.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Long(Vec<i64>),
    Small(Vec<i32>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl Gathered {
    fn new(form: Form) -> Self {
        let values = match form {
            Form::Time | Form::Count => Values::Long(Vec::new()),
            Form::Small => Values::Small(Vec::new()),
            Form::Float => Values::Float(Vec::new()),
            Form::Double => Values::Double(Vec::new()),
            Form::Text => Values::Text(Vec::new()),
        };
        Self {
            levels: Vec::new(),
            values,
        }
    }

    /// Takes a cell of its own form; one of another is null.
    fn push(&mut self, cell: Cell<'_>) {
        let is_there = match (&mut self.values, cell) {
            (Values::Long(values), Cell::Long(value)) => return values.push(value),
            (Values::Long(values), _) => return values.push(0),
            (Values::Small(values), Cell::Small(Some(value))) => {
                values.push(value);
                true
            }
            (Values::Float(values), Cell::Float(value)) if !value.is_nan() => {
                values.push(value);
                true
            }
            (Values::Double(values), Cell::Double(value)) if !value.is_nan() => {
                values.push(value);
                true
            }
            (Values::Text(values), Cell::Text(Some(value))) => {
                values.push(ByteArray::from(value));
                true
            }
            _ => false,
        };
        self.levels.push(i16::from(is_there));
    }

    fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Long(values) => values.clear(),
            Values::Small(values) => values.clear(),
            Values::Float(values) => values.clear(),
            Values::Double(values) => values.clear(),
            Values::Text(values) => values.clear(),
        }
    }
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.form {
        Form::Time => (
            Physical::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        ),
        Form::Count => (Physical::INT64, None),
        Form::Small => (Physical::INT32, None),
        Form::Float => (Physical::FLOAT, None),
        Form::Double => (Physical::DOUBLE, None),
        Form::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition = match column.form {
        Form::Time | Form::Count => Repetition::REQUIRED,
        _ => Repetition::OPTIONAL,
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()
        .map(Arc::new)
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with [`columns`].
    ///
    /// # Errors
    /// What the output says.
    pub fn new(out: W, verdicts: bool) -> io::Result<Self> {
        let columns = columns(verdicts);
        let fields: Result<Vec<TypePtr>, _> = columns.iter().map(field).collect();
        let schema = fields
            .and_then(|fields| {
                Type::group_type_builder("flows")
                    .with_fields(fields)
                    .build()
            })
            .map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Ok(Self {
            file: SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
                .map_err(failed)?,
            gathered: columns.iter().map(|it| Gathered::new(it.form)).collect(),
            rows_in_group: 0,
            rows: 0,
        })
    }

    /// Rows so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a row: `fill` puts a cell for each column, in order.
    pub(super) fn row(&mut self, fill: impl FnOnce(&mut dyn FnMut(Cell<'_>))) -> io::Result<()> {
        let mut columns = self.gathered.iter_mut();
        fill(&mut |cell| {
            let column = columns.next();
            debug_assert!(column.is_some(), "a cell for each column");
            if let Some(column) = column {
                column.push(cell);
            }
        });
        debug_assert!(columns.next().is_none(), "a cell for each column");
        self.rows += 1;
        self.rows_in_group += 1;
        if self.rows_in_group == GROUP_ROWS {
            self.write_group().map_err(failed)?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows_in_group == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for Gathered { levels, values } in &self.gathered {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            let levels = (!levels.is_empty()).then_some(&levels[..]);
            match values {
                Values::Long(values) => column
                    .typed::<Int64Type>()
                    .write_batch(values, levels, None)?,
                Values::Small(values) => column
                    .typed::<Int32Type>()
                    .write_batch(values, levels, None)?,
                Values::Float(values) => column
                    .typed::<FloatType>()
                    .write_batch(values, levels, None)?,
                Values::Double(values) => column
                    .typed::<DoubleType>()
                    .write_batch(values, levels, None)?,
                Values::Text(values) => column
                    .typed::<ByteArrayType>()
                    .write_batch(values, levels, None)?,
            };
            column.close()?;
        }
        group.close()?;
        for column in &mut self.gathered {
            column.clear();
        }
        self.rows_in_group = 0;
        Ok(())
    }

    /// Writes what is left and the footer, and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_group().map_err(failed)?;
        self.file.into_inner().map_err(failed)
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

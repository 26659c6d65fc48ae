//! Just enough of NumPy's archives: a ZIP file (APPNOTE.TXT 4.3) of arrays in NPY format 1 to 3 (NEP 1).

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// An array with its values as doubles, in C order.
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// All arrays of an archive by name. These are test data: what does not fit is a panic.
pub(crate) fn read(path: &Path) -> HashMap<String, Array> {
    let bytes = std::fs::read(path).unwrap();
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = (0..bytes.len() - 21)
        .rev()
        .find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))
        .expect("a ZIP file");
    let mut entry = u32_at(end + 16);
    (0..u16_at(end + 10))
        .map(|_| {
            assert!(bytes[entry..].starts_with(b"PK\x01\x02"));
            let (method, size, name) = (u16_at(entry + 10), u32_at(entry + 20), u16_at(entry + 28));
            let local = u32_at(entry + 42);
            let file = String::from_utf8(bytes[entry + 46..][..name].to_vec()).unwrap();
            let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
            let stored = &bytes[start..start + size];
            let content = match method {
                0 => stored.to_vec(),
                8 => {
                    let mut out = Vec::new();
                    flate2::read::DeflateDecoder::new(stored)
                        .read_to_end(&mut out)
                        .unwrap();
                    out
                }
                other => panic!("{file}: compression {other}"),
            };
            entry += 46 + name + u16_at(entry + 30) + u16_at(entry + 32);
            (file.trim_end_matches(".npy").to_owned(), array(&content))
        })
        .collect()
}

fn array(bytes: &[u8]) -> Array {
    assert!(bytes.starts_with(b"\x93NUMPY"));
    let (start, length) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (
            12,
            u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize,
        ),
    };
    let header = std::str::from_utf8(&bytes[start..start + length]).unwrap();
    let after = |key: &str| &header[header.find(key).unwrap() + key.len()..];
    let kind = after("'descr': '").split('\'').next().unwrap();
    let fortran = after("'fortran_order': ").starts_with("True");
    let shape: Vec<usize> = after("'shape': (")
        .split(')')
        .next()
        .unwrap()
        .split(',')
        .filter_map(|size| size.trim().parse().ok())
        .collect();
    let body = &bytes[start + length..];
    let values: Vec<f64> = match kind {
        "<f8" => body
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect(),
        "<f4" => body
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()).into())
            .collect(),
        "<i8" => body
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
            .collect(),
        "<i4" => body
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()).into())
            .collect(),
        "<i2" => body
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]).into())
            .collect(),
        "|u1" => body.iter().map(|&b| b.into()).collect(),
        "|i1" => body.iter().map(|&b| (b as i8).into()).collect(),
        other => panic!("values of type {other}"),
    };
    assert_eq!(values.len(), shape.iter().product::<usize>());
    if !fortran || shape.len() < 2 {
        return Array { shape, values };
    }
    assert_eq!(shape.len(), 2, "tables only");
    let (rows, columns) = (shape[0], shape[1]);
    let values = (0..rows * columns)
        .map(|at| values[at % columns * rows + at / columns])
        .collect();
    Array { shape, values }
}

//! The stored form of what stands beside the forest; the layout is in `artifact.rs`.

use super::Ensemble;
use crate::artifact::write_calibration;

impl Ensemble {
    /// Appends the stored form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_calibration(out, &self.forest);
        out.push(u8::from(self.autoencoder.is_some()));
        if let Some((autoencoder, calibration)) = &self.autoencoder {
            out.extend((autoencoder.columns().len() as u16).to_le_bytes());
            let columns = autoencoder.columns().iter().zip(autoencoder.places());
            for ((column, places), spread) in columns.zip(autoencoder.spread()) {
                out.extend(column.to_le_bytes());
                out.extend(places.iter().flat_map(|place| place.to_le_bytes()));
                out.extend(spread.to_le_bytes());
            }
            out.push(autoencoder.layers().len() as u8);
            for layer in autoencoder.layers() {
                out.extend((layer.inputs() as u16).to_le_bytes());
                out.extend((layer.outputs() as u16).to_le_bytes());
                let (weights, bias) = layer.numbers();
                out.extend(weights.flat_map(f32::to_le_bytes));
                out.extend(bias.iter().flat_map(|value| value.to_le_bytes()));
            }
            write_calibration(out, calibration);
        }
        let Some(groups) = &self.groups else {
            out.push(0);
            return;
        };
        out.push(groups.columns().len() as u8);
        out.extend(groups.columns().iter().flat_map(|at| at.to_le_bytes()));
        out.push(groups.groups().len() as u8);
        for group in groups.groups() {
            out.extend(group.key.iter().flat_map(|part| part.to_le_bytes()));
            let surprisals = group.surprisals.iter().flatten();
            out.extend(surprisals.flat_map(|nats| nats.to_le_bytes()));
            let usual = group.usual.as_flattened().iter();
            out.extend(usual.flat_map(|value| value.to_le_bytes()));
            write_calibration(out, &group.calibration);
        }
    }
}

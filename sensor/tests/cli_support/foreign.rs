//! A model that is not for this program's features.

use std::path::Path;

/// Writes a sound model of one column called `else`.
pub(crate) fn write_model(path: &Path) {
    let column = model::Column::new("else", "1", model::Transform::Linear);
    let rows = model::Rows {
        values: (0..500_u16).map(f32::from).collect(),
        columns: 1,
    };
    let schema = model::Schema::new(vec![column]);
    let model = model::Model::train(&rows, &schema, &model::Settings::default()).expect("model");
    model.save(path).expect("model");
}

//! What the sensor tells and what it learns, over days that are made up here and in traffic time only.

mod budget;
mod control;
mod day;
mod made;
mod poison;
mod watch;

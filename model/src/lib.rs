//! Pure learning.

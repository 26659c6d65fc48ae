//! Accounting of one packet into [`FlowCounters`], and the exact merge of two deltas.

use crate::flow::FlowCounters;

//! Doubly linked lists threaded through slot numbers: order without moving anything and without allocation.

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    /// Caller's stamp, kept here because expiry looks at it far more often than at the slot.
    stamp: u64,
}

/// `N` lists over one set of slots; a slot is in at most one of them.
#[derive(Debug)]
pub(crate) struct Lists<const N: usize> {
    nodes: Vec<Node>,
    front: [u32; N],
    back: [u32; N],
    length: [u32; N],
}

impl<const N: usize> Lists<N> {
    /// For slots below `capacity`.
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            nodes: Vec::with_capacity(capacity as usize),
            front: [NONE; N],
            back: [NONE; N],
            length: [0; N],
        }
    }

    /// Slots in `list`.
    pub(crate) fn len(&self, list: usize) -> u32 {
        self.length[list]
    }

    /// Slot at the front of `list`, with its stamp.
    #[inline]
    pub(crate) fn front(&self, list: usize) -> Option<(u32, u64)> {
        let slot = self.front[list];
        (slot != NONE).then(|| (slot, self.nodes[slot as usize].stamp))
    }

    /// Stamp of a slot that is in a list.
    #[inline]
    pub(crate) fn stamp(&self, slot: u32) -> u64 {
        self.nodes[slot as usize].stamp
    }

    /// Asks the cache for the links of `slot`.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: u32) {
        super::prefetch(&self.nodes, slot as usize, 0);
    }

    /// Appends `slot`, which is in no list.
    #[inline]
    pub(crate) fn push_back(&mut self, list: usize, slot: u32, stamp: u64) {
        if self.nodes.len() <= slot as usize {
            self.nodes.resize(
                slot as usize + 1,
                Node {
                    previous: NONE,
                    next: NONE,
                    stamp: 0,
                },
            );
        }
        let last = self.back[list];
        self.nodes[slot as usize] = Node {
            previous: last,
            next: NONE,
            stamp,
        };
        if last == NONE {
            self.front[list] = slot;
        } else {
            self.nodes[last as usize].next = slot;
        }
        self.back[list] = slot;
        self.length[list] += 1;
    }

    /// Takes `slot` out of `list`, in which it is.
    #[inline]
    pub(crate) fn remove(&mut self, list: usize, slot: u32) {
        let Node { previous, next, .. } = self.nodes[slot as usize];
        if previous == NONE {
            self.front[list] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NONE {
            self.back[list] = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
        self.length[list] -= 1;
    }
}

//! Sums of gradients by code. They are integers: a sum has no order, and a difference no rounding.

/// First derivative, second derivative (both fixed point), rows.
pub(super) type Sums = [i64; 3];

/// Sums of every code of every column, one column after the other.
pub(super) type Histogram = Vec<Sums>;

/// Where the codes of each column begin, and at last where they end.
pub(super) fn offsets(codes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut at = 0;
    let mut offsets = vec![0];
    offsets.extend(codes.map(|count| {
        at += count;
        at
    }));
    offsets
}

/// Sums over `rows`, whose gradients are `gradients` in the same order.
pub(super) fn build(
    codes: &[Vec<u8>],
    columns: &[u32],
    offsets: &[usize],
    rows: &[u32],
    gradients: &[[i32; 2]],
    threads: usize,
) -> Histogram {
    /// Work below which a thread costs more than it saves.
    const FEW: usize = 1 << 17;
    let mut sums = vec![[0; 3]; offsets.last().copied().unwrap_or(0)];
    let fill = |columns: &[u32], start: usize, sums: &mut [Sums]| {
        for &column in columns {
            let column = column as usize;
            let sums = &mut sums[offsets[column] - start..offsets[column + 1] - start];
            for (&row, [first, second]) in rows.iter().zip(gradients) {
                let sum = &mut sums[usize::from(codes[column][row as usize])];
                sum[0] += i64::from(*first);
                sum[1] += i64::from(*second);
                sum[2] += 1;
            }
        }
    };
    let threads = threads.min(columns.len());
    if threads < 2 || rows.len() * columns.len() < FEW {
        fill(columns, 0, &mut sums);
        return sums;
    }
    std::thread::scope(|scope| {
        let (mut rest, mut start) = (&mut sums[..], 0);
        for columns in columns.chunks(columns.len().div_ceil(threads)) {
            let end = offsets[columns[columns.len() - 1] as usize + 1];
            let (mine, after) = rest.split_at_mut(end - start);
            let fill = &fill;
            scope.spawn(move || fill(columns, start, mine));
            (rest, start) = (after, end);
        }
    });
    sums
}

/// The histogram of the rest: the parent's less one child's.
pub(super) fn subtract(parent: &mut [Sums], child: &[Sums]) {
    for (sum, less) in parent.iter_mut().zip(child) {
        for (sum, less) in sum.iter_mut().zip(less) {
            *sum -= less;
        }
    }
}

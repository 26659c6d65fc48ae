//! Why a row scores as it does: how much each column shortens its path.

use crate::{Model, Scratch};

/// What one column has to do with a row's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The column.
    pub column: usize,
    /// Its share (above 0, at most 1) of what makes the row anomalous: see [`Model::explain`].
    pub weight: f32,
    /// The row's raw value.
    pub value: f32,
    /// Share of the baseline below the value, 0 to 1. Of a categorical column: share of baseline rows in more
    /// common categories.
    pub quantile: f32,
    /// 1 % quantile of the baseline: of the row's peer group, if it has one, else of all.
    pub low: f32,
    /// Median of the baseline.
    pub median: f32,
    /// 99 % quantile of the baseline.
    pub high: f32,
}

impl Model {
    /// The columns that make a row anomalous, at most `top`, heaviest first.
    ///
    /// A column's weight is what it does to the row's expected path length, times the square of how far out its value
    /// lies in the baseline; weights are given as shares of their sum over all columns.
    ///
    /// The first factor is the mean of two exact differences: of the row with this value put back to the baseline's
    /// median, and of the all-median row with only this value put in. The first alone overlooks columns that are
    /// anomalous together (each is enough without the other); the second alone overlooks what is odd only in
    /// company. They are the first and the last term of the column's Shapley value.
    ///
    /// Where an autoencoder or peer groups stand beside the forest, their share of the weight goes to the columns that
    /// the one cannot read back, or that are odd among peers.
    ///
    /// The second factor is the surprisal of the value's tail. A forest knows no "farther": to it everything beyond
    /// the last cut is one place, and with dozens of columns the chance of the draw lifts middling values above a
    /// value outside all that was ever seen. People mean the latter when they ask why.
    ///
    /// # Panics
    /// If the row has not the model's width.
    pub fn explain(&self, row: &[f32], top: usize) -> Vec<Contribution> {
        let width = self.schema().len();
        assert_eq!(
            row.len(),
            width,
            "a row has as many values as the model has columns"
        );
        let median: Vec<f32> = self
            .profiles()
            .iter()
            .map(crate::baseline::Profile::median)
            .collect();
        // The row and the all-median row, then, for each column, the two with their values in it exchanged.
        let sums: Vec<[f64; 2]> = self
            .sums_of_exchanges([row, &median])
            .into_iter()
            .map(|pair| pair.map(f64::from))
            .collect();
        let gains: Vec<f64> = (0..width)
            .map(|column| {
                let removed = sums[column + 1][0] - sums[0][0];
                let added = sums[0][1] - sums[column + 1][1];
                if removed + added <= 0.0 {
                    return 0.0;
                }
                let oddity = f64::from(self.profiles()[column].oddity(row[column]));
                (removed + added) * oddity * oddity
            })
            .collect();
        let gains = self.with_errors(row, gains);
        let total: f64 = gains.iter().sum();
        let mut order: Vec<usize> = (0..width).filter(|&column| gains[column] > 0.0).collect();
        order.sort_by(|&a, &b| gains[b].total_cmp(&gains[a]).then(a.cmp(&b)));
        order.truncate(top);
        order
            .into_iter()
            .map(|column| self.contribution(column, row, (gains[column] / total) as f32))
            .collect()
    }

    /// Joins what the forest says of each column with the columns' shares in what the autoencoder could not read back, and
    /// in what is odd among peers, by how surprised each of them is.
    fn with_errors(&self, row: &[f32], gains: Vec<f64>) -> Vec<f64> {
        let Some(ensemble) = self.ensemble() else {
            return gains;
        };
        let (parts, [errors, peers]) = self.reasons(ensemble, row);
        let total: f64 = gains.iter().sum();
        let forest = f64::from(parts.forest);
        let unit = if total > 0.0 { forest / total } else { 0.0 };
        gains
            .iter()
            .zip(errors.iter().zip(peers))
            .map(|(gain, (error, odd))| {
                gain * unit + f64::from(parts.autoencoder * error + parts.peers * odd)
            })
            .collect()
    }
}

/// A row is ordinary again when at least this share of the baseline scores as high: well inside, not just below
/// the threshold of alerts.
const ORDINARY: f64 = 0.1;
/// Exemplars that are tried as the answer to what a row should have looked like.
const TRIED: usize = 4;

/// Why a row is anomalous, and what it would have to be not to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The columns that together make the row anomalous, heaviest first; those of greatest weight if no few columns do.
    pub columns: Vec<Contribution>,
    /// A row of the baseline, the most like this one of those that are kept. Raw values in the order of the schema;
    /// empty if the model keeps none.
    pub normal: Vec<f32>,
    /// Mean difference from that row over all columns, 0 to 1, in shares of the baseline.
    pub distance: f32,
    /// Score of the row with the named columns as in [`Explanation::normal`].
    pub score_without: f32,
    /// Whether that is ordinary (a tenth of the baseline or more scores as high): the named columns are what the
    /// anomaly is made of.
    pub suffices: bool,
}

impl Model {
    /// Names the columns that together make a row anomalous, at most `most` (at least 1), and a similar row that is not.
    ///
    /// A counterfactual (Wachter, Mittelstadt, Russell 2017): beginning with the heaviest column of [`Model::explain`],
    /// columns are put to what they are in a similar row of the baseline, each time the one that lowers the score
    /// most, until at least a tenth of the baseline scores as high. Of a few similar rows the one that takes the fewest columns is
    /// told. A row that is not anomalous is explained by its heaviest column.
    ///
    /// # Panics
    /// If the row has not the model's width.
    pub fn counterfactual(&self, row: &[f32], most: usize) -> Explanation {
        let weights = self.explain(row, self.schema().len());
        let limit = self.threshold_for_p(ORDINARY).min(self.threshold());
        let mut scratch = Scratch::default();
        let mut best: Option<(Vec<usize>, usize, f32, f32)> = None;
        for (at, distance) in self.exemplars().nearest(row, TRIED, self.profiles()) {
            let normal = self.exemplars().rows().row(at);
            let (columns, score) =
                self.reset(&mut scratch, row, normal, &weights, limit, most.max(1));
            let enough = score < limit;
            let better =
                best.as_ref()
                    .is_none_or(|(named, _, _, before)| match (enough, *before < limit) {
                        (true, true) => columns.len() < named.len(),
                        (false, false) => score < *before,
                        (enough, _) => enough,
                    });
            if better {
                best = Some((columns, at, distance, score));
            }
        }
        let Some((named, at, distance, score_without)) = best else {
            return Explanation {
                columns: weights.into_iter().take(most).collect(),
                normal: Vec::new(),
                distance: 0.0,
                score_without: f32::NAN,
                suffices: false,
            };
        };
        let normal = self.exemplars().rows().row(at).to_vec();
        // Heaviest first; a column that weighs nothing alone may still be needed beside others.
        let columns = (weights.iter().copied())
            .filter(|one| named.contains(&one.column))
            .chain(
                (named.iter().copied())
                    .filter(|column| weights.iter().all(|one| one.column != *column))
                    .map(|column| self.contribution(column, row, 0.0)),
            )
            .collect();
        Explanation {
            columns,
            normal,
            distance,
            suffices: score_without < limit,
            score_without,
        }
    }

    /// Puts columns of a row to those of a normal one until the score is below `limit` or `most` are put; the
    /// columns and the score.
    fn reset(
        &self,
        scratch: &mut Scratch,
        row: &[f32],
        normal: &[f32],
        weights: &[Contribution],
        limit: f32,
        most: usize,
    ) -> (Vec<usize>, f32) {
        let differs = |column: &usize| row[*column].to_bits() != normal[*column].to_bits();
        let mut row_now = row.to_vec();
        let mut left: Vec<usize> = (0..row.len()).filter(differs).collect();
        let mut named = Vec::new();
        let mut score = [0.0];
        self.score_with(scratch, &row_now, &mut score);
        let heaviest = weights
            .first()
            .map(|one| one.column)
            .filter(|column| left.contains(column));
        while !left.is_empty() && named.len() < most {
            let mut variants = Vec::with_capacity(left.len() * row.len());
            for &column in &left {
                variants.extend_from_slice(&row_now);
                let at = variants.len() - row.len() + column;
                variants[at] = normal[column];
            }
            let mut scores = vec![0.0; left.len()];
            self.score_with(scratch, &variants, &mut scores);
            let chosen = match heaviest {
                Some(column) if named.is_empty() => left.iter().position(|&one| one == column),
                _ => (0..left.len()).min_by(|&a, &b| scores[a].total_cmp(&scores[b])),
            };
            let Some(chosen) = chosen else { break };
            score = [scores[chosen]];
            let column = left.remove(chosen);
            row_now[column] = normal[column];
            named.push(column);
            if score[0] < limit {
                break;
            }
        }
        (named, score[0])
    }

    /// What is told of a column.
    fn contribution(&self, column: usize, row: &[f32], weight: f32) -> Contribution {
        let profile = &self.profiles()[column];
        let (value, (low, high)) = (row[column], profile.tails());
        // What is usual among its peers, where they have a baseline of their own.
        let groups = self.ensemble().and_then(|beside| beside.groups.as_ref());
        let peers = groups.and_then(|groups| groups.of(row));
        let [low, median, high] = match peers.map(|group| group.usual[column]) {
            Some(usual) if !usual[1].is_nan() => usual,
            _ => [low, profile.median(), high],
        };
        Contribution {
            column,
            weight,
            value,
            quantile: profile.quantile(value),
            low,
            median,
            high,
        }
    }
}

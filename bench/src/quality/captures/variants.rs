//! What stands beside the forest, compared on all captures: an autoencoder, peer groups, both.

use std::path::Path;

use model::{Model, Rows, Settings, Shape};
use sensor::{features, pipeline::Batch};

use super::{
    super::{Part, QualityError, Ranking, ResultRow},
    Finished, Scorer,
    attacks::{ATTACKS, Attack},
    pass,
};

/// Name, weight of the autoencoder, weight of the peers.
const VARIANTS: [(&str, f32, f32); 4] = [
    ("forest", 0.0, 0.0),
    ("forest + autoencoder", 0.3, 0.0),
    ("forest + peers", 0.0, 0.3),
    ("all three", 0.3, 0.3),
];

/// For each variant the mean ranking of the captures' flows by the model's score alone, by part. Attacks by ARP, which no
/// model judges, are left out.
pub(super) fn measure(
    data: &Path,
    rows: &Rows,
    ordinary: &Batch,
    seeds: u64,
) -> Result<Vec<ResultRow>, QualityError> {
    let mut results = Vec::new();
    for (name, autoencoder, peers) in VARIANTS {
        let train = |seed| {
            let settings = Settings {
                seed,
                shape: Shape::Ordinary,
                autoencoder,
                peers,
                groups: features::PEERS.map(str::to_owned).to_vec(),
                ..Settings::default()
            };
            Model::train(rows, &features::schema(), &settings)
        };
        let models = (0..seeds).map(train).collect::<Result<Vec<_>, _>>()?;
        let mut beside = Vec::new();
        for model in &models {
            let mut scorer = Scorer::new(model);
            scorer.take(&mut ordinary.clone(), None);
            beside.push(scorer.outcome.flows);
        }
        for part in [Part::ChosenOn, Part::Confirmed] {
            let of_part = |attack: &&Attack| attack.part == part && !attack.is_arp;
            let mut rankings = Vec::new();
            for attack in ATTACKS.iter().filter(of_part) {
                rankings.push(rank(data, attack, &models, &beside)?);
            }
            let count = rankings.len() as f64;
            let mean = |of: fn(&Ranking) -> f64| rankings.iter().map(of).sum::<f64>() / count;
            let set = format!("mean of {} captures, by score", rankings.len());
            let mut row = ResultRow::new(set, name, part);
            row.ours = Some(Ranking {
                roc_auc: mean(|one| one.roc_auc),
                pr_auc: mean(|one| one.pr_auc),
            });
            results.push(row);
        }
    }
    Ok(results)
}

/// The attack's flows against the others of its capture and the ordinary ones.
fn rank(
    data: &Path,
    attack: &Attack,
    models: &[Model],
    beside: &[Vec<Finished>],
) -> Result<Ranking, QualityError> {
    let (mut scores, mut attacks) = (Vec::new(), Vec::new());
    for (model, ordinary) in models.iter().zip(beside) {
        let mut scorer = Scorer::new(model);
        pass(&data.join(attack.path), &mut |batch| {
            scorer.take(batch, Some((attack, 0.0)));
        })?;
        let is_ip = |flow: &&Finished| !flow.is_arp;
        let flows = scorer.outcome.flows.iter().chain(ordinary).filter(is_ip);
        attacks = flows.clone().map(|flow| flow.is_attack).collect();
        scores.push(flows.map(|flow| flow.score).collect());
    }
    Ok(Ranking::mean(&scores, &attacks))
}

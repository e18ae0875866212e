//! Confidence intervals for cases that come in clusters.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A 95% interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How often projects are drawn anew.
const DRAWS: usize = 2000;

/// Sum and number of the values of one cluster.
pub(super) type Cluster = (f64, usize);

impl Interval {
    /// The interval of the mean of all values, by drawing as many clusters as there are, with
    /// replacement, again and again (percentile bootstrap). Cases of one project resemble each
    /// other, so single cases must not be drawn. The same clusters give the same interval.
    pub(super) fn of_mean(clusters: &[Cluster]) -> Self {
        if clusters.is_empty() {
            return Self::default();
        }
        let mut random = StdRng::seed_from_u64(1);
        let mut means: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let (mut sum, mut count) = (0.0, 0);
                for _ in clusters {
                    let (s, n) = clusters[random.random_range(0..clusters.len())];
                    (sum, count) = (sum + s, count + n);
                }
                sum / count as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Self {
            low: means[DRAWS * 25 / 1000],
            high: means[DRAWS * 975 / 1000 - 1],
        }
    }
}

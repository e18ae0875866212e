//! Comparing logits, and collecting what is past its limit.

use std::collections::BTreeMap;

use crate::reference::Limits;

/// Collects what is past its limit, so that one run shows all of it, and the worst of the rest.
#[derive(Default)]
pub(crate) struct Report {
    failures: Vec<String>,
    checks: usize,
    worst: BTreeMap<String, (f64, f64)>,
}

impl Report {
    pub(crate) fn check(&mut self, right: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !right {
            self.failures.push(what());
        }
    }

    pub(crate) fn compare(
        &mut self,
        model: &str,
        place: &str,
        expected: &[f32],
        found: &[f32],
        limits: Limits,
    ) {
        assert_eq!(
            expected.len(),
            found.len(),
            "{model} {place}: number of logits"
        );
        let difference = expected
            .iter()
            .zip(found)
            .map(|(&e, &f)| (f64::from(e) - f64::from(f)).powi(2))
            .sum::<f64>()
            .sqrt();
        let rel_l2 = difference / norm(expected);
        let (z_expected, z_found) = (log_sum_exp(expected), log_sum_exp(found));
        let kl: f64 = expected
            .iter()
            .zip(found)
            .map(|(&e, &f)| (f64::from(e) - z_expected, f64::from(f) - z_found))
            .map(|(e, f)| e.exp() * (e - f))
            .sum();
        let worst = self.worst.entry(model.to_owned()).or_default();
        *worst = (worst.0.max(rel_l2), worst.1.max(kl));
        // A comparison with NaN is false, so that NaN fails.
        self.check(rel_l2 <= limits.rel_l2, || {
            format!(
                "{model} {place}: relative L2 {rel_l2:.1e}, at most {:.0e}",
                limits.rel_l2
            )
        });
        self.check(kl <= limits.kl, || {
            format!("{model} {place}: KL {kl:.1e}, at most {:.0e}", limits.kl)
        });
        let gap = margin(expected);
        self.check(
            best(expected) == best(found) || gap <= limits.margin,
            || {
                format!(
                    "{model} {place}: best token {}, expected {} (margin {gap:.3})",
                    best(found),
                    best(expected)
                )
            },
        );
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        for (model, (rel_l2, kl)) in &self.worst {
            eprintln!("{model:24} relative L2 {rel_l2:.1e}  KL {kl:.1e}");
        }
        if !std::thread::panicking() {
            assert!(self.checks > 0, "nothing was checked");
            let failures = &self.failures;
            assert!(
                failures.is_empty(),
                "{} of {} checks:\n{}",
                failures.len(),
                self.checks,
                failures.join("\n")
            );
        }
    }
}

pub(crate) fn best(logits: &[f32]) -> usize {
    (0..logits.len())
        .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
        .unwrap()
}

/// Natural logarithm of the sum of the exponentials.
pub(crate) fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = f64::from(logits[best(logits)]);
    top + logits
        .iter()
        .map(|&x| (f64::from(x) - top).exp())
        .sum::<f64>()
        .ln()
}

pub(crate) fn norm(logits: &[f32]) -> f64 {
    logits
        .iter()
        .map(|&x| f64::from(x).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// Distance of the best logit from the second.
pub(crate) fn margin(logits: &[f32]) -> f64 {
    let first = best(logits);
    let second = (0..logits.len())
        .filter(|&id| id != first)
        .map(|id| logits[id])
        .max_by(f32::total_cmp)
        .unwrap();
    f64::from(logits[first] - second)
}

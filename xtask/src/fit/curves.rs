//! The curves of the show filter as a picture: precision over the share of right answers that is kept.

use std::collections::BTreeMap;

use super::{Answer, Outcome};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 48.0;
const COLORS: &[&str] = &["#1b6ac9", "#c94f1b", "#2a8f4f", "#8a3fb0", "#8f7a1b"];

/// An SVG with one curve for each language.
pub(super) fn draw(languages: &BTreeMap<&str, Vec<&Answer>>) -> String {
    let x = |kept: f64| MARGIN + kept * (WIDTH - 2.0 * MARGIN);
    let y = |precision: f64| HEIGHT - MARGIN - precision * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for tenth in 0..=5 {
        let share = f64::from(tenth) / 5.0;
        let percent = tenth * 20;
        svg += &format!(
            "<path d=\"M{0:.0} {1:.0}V{2:.0}M{3:.0} {4:.0}H{5:.0}\" stroke=\"#ddd\"/>\n<text x=\"{0:.0}\" y=\"{6:.0}\" text-anchor=\"middle\">{percent}%</text>\n<text x=\"{7:.0}\" y=\"{8:.0}\" text-anchor=\"end\">{percent}%</text>\n",
            x(share),
            y(0.0),
            y(1.0),
            x(0.0),
            y(share),
            x(1.0),
            y(0.0) + 16.0,
            x(0.0) - 6.0,
            y(share) + 4.0,
        );
    }
    svg += &format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">right answers that are shown</text>\n<text x=\"{:.0}\" y=\"24\">shown answers that are right, by threshold (points: 0.01, 0.05, 0.2)</text>\n",
        WIDTH / 2.0,
        HEIGHT - 10.0,
        x(0.0),
    );
    for ((_, answers), color) in languages.iter().zip(COLORS.iter().cycle()) {
        let at = |threshold: f64| {
            let mut outcome = Outcome::default();
            outcome.add(answers, threshold);
            // Of nothing, no share is right.
            (outcome.shown > 0).then(|| (x(outcome.kept()), y(outcome.precision())))
        };
        let points: Vec<String> = (0..=100)
            .filter_map(|step| at(10f64.powf(-4.0 + 4.0 * f64::from(step) / 100.0)))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n",
            points.join(" ")
        );
        for threshold in [0.01, 0.05, 0.2] {
            let Some((x, y)) = at(threshold) else {
                continue;
            };
            svg += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>\n");
        }
    }
    for (index, ((language, _), color)) in languages.iter().zip(COLORS.iter().cycle()).enumerate() {
        let name = if *language == "*" {
            "all languages"
        } else {
            language
        };
        svg += &format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" fill=\"{color}\">{name}</text>\n",
            x(0.04),
            y(0.04 + 0.06 * index as f64),
        );
    }
    svg + "</svg>\n"
}

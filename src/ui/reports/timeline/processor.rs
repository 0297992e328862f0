//! The processor usage as an area chart below the bars, on the same time axis.

use crate::domain::processor::ProcessorUse;

/// More points than a screen has columns would not be visible.
const MOST_POINTS: usize = 1000;
/// The units of the drawing; the page stretches it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// The share of the processors' time that was used in total; `None` if nothing was measured.
pub(super) fn share(uses: &[ProcessorUse]) -> Option<f64> {
    let seconds: f64 = uses.iter().map(|used| used.until - used.from).sum();
    let used: f64 = uses.iter().map(|used| used.share * (used.until - used.from)).sum();
    (seconds > 0.0).then(|| used / seconds)
}

/// The curve as SVG, `seconds` wide.
pub(super) fn curve(uses: &[ProcessorUse], seconds: f64) -> String {
    let chunk = uses.len().div_ceil(MOST_POINTS).max(1);
    let mut path = String::new();
    for part in uses.chunks(chunk) {
        let (from, until) = (part[0].from, part[part.len() - 1].until.min(seconds));
        let height = HEIGHT * (1.0 - share(part).unwrap_or_default());
        let (left, right) = (WIDTH * from / seconds, WIDTH * until / seconds);
        if path.is_empty() {
            path = format!("M{left:.1} {HEIGHT}");
        }
        path.push_str(&format!("L{left:.1} {height:.1}H{right:.1}"));
    }
    if !path.is_empty() {
        path.push_str(&format!("V{HEIGHT}Z"));
    }
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path d=\"M0 50H{WIDTH}\" class=\"half\"/><path d=\"{path}\" class=\"area\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_while_counts_for_more() {
        let used = |from, until, share| ProcessorUse { from, until, share };
        assert_eq!(share(&[used(0.0, 3.0, 1.0), used(3.0, 4.0, 0.0)]), Some(0.75));
        assert_eq!(share(&[]), None);
    }

    #[test]
    fn a_long_run_has_no_more_points_than_a_screen() {
        let uses: Vec<ProcessorUse> =
            (0..7200).map(|at| ProcessorUse { from: f64::from(at), until: f64::from(at + 1), share: 0.5 }).collect();
        assert!(curve(&uses, 7200.0).matches('H').count() <= MOST_POINTS + 1);
    }
}
